"""The parameter of a weight that can be set so that the whole has a given value, whatever the others are."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from repc.ir.expr import Apply, Expr, Param, parameters
from repc.ops import build
from repc.ops.arithmetic import Divide, Multiply, Sum
from repc.ops.shape import Reshape


@dataclass(frozen=True, eq=False, slots=True)
class Form:
    """An expression as ``factor · p + rest`` for a parameter p of its type, entry by entry; None is 1, or 0."""

    factor: Expr | None
    rest: Expr | None

    def scaled(self, by: Expr) -> Form:
        """The form of a multiple."""
        factor = by if self.factor is None else build.mul(self.factor, by)
        return Form(factor, self.rest and build.mul(self.rest, by))

    def solution(self, value: Expr) -> Expr:
        """What the parameter has to be for the expression to have a value."""
        left = value if self.rest is None else build.sub(value, self.rest)
        return left if self.factor is None else build.div(left, self.factor)


def solved(expr: Expr, value: Expr, fixed: set[str]) -> tuple[Param, Expr] | None:
    """The first parameter, in order, that can make the expression equal to the value, and what it has to be for that.

    Those that are `fixed` stay as they are.  None where each is mixed with others, as by a matrix, or stands in a
    product with itself.
    """
    for param in parameters([expr]).values():
        if param.path not in fixed and param.type == expr.type == value.type:
            form = _form(expr, param)
            if form is not None:
                return param, form.solution(value)
    return None


def _form(expr: Expr, param: Param) -> Form | None:
    if isinstance(expr, Param):
        return Form(None, None) if expr.path == param.path else None
    reading = [name for name, arg in expr.args.items() if param.path in parameters([arg])]
    if len(reading) != 1:
        return None
    (name,) = reading
    inner = expr.args[name]
    form = _form(inner, param)
    if form is None:
        return None
    match expr.op:
        case Sum(coefficients=coefficients) if inner.type == expr.type:
            return _of_sum(expr, name, form, coefficients)
        case Multiply() if inner.type == expr.type:
            return form.scaled(expr.args["b" if name == "a" else "a"])
        case Divide() if inner.type == expr.type and name == "a":
            return form.scaled(build.div(build.fill((), 1), expr.args["b"]))
        case Reshape(shape=shape):
            parts = (part and build.reshape(build.expand(part, inner.type.shape), shape) for part in _parts(form))
            return Form(*parts)
        case _:
            return None


def _of_sum(expr: Apply, name: str, form: Form, coefficients: tuple[Fraction, ...]) -> Form:
    by_name = dict(zip(expr.args, coefficients, strict=True))
    own = form if by_name[name] == 1 else form.scaled(build.fill((), by_name[name]))
    others = [(by_name[other], arg) for other, arg in expr.args.items() if other != name]
    if own.rest is not None:
        others.append((Fraction(1), own.rest))
    return Form(own.factor, build.combine(others) if others else None)


def _parts(form: Form) -> tuple[Expr | None, Expr | None]:
    return form.factor, form.rest
