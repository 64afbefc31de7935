"""Whether two vectors are equal for every value of the parameters that they are made of.

Expressions over vectors are brought into normal form: sums of products of powers, with rational coefficients, so that
order, grouping, ``1/sqrt`` or ``rsqrt``, and how a vector is turned to broadcast do not matter.  What is no sum,
product, quotient or root of vectors is an atom, equal to others of the same operator on equal operands.  The answer yes
is always right; expressions that are equal by any other law are taken for different ones.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from fractions import Fraction
from typing import TypeAlias

from repc.ir.expr import Apply, Expr, Param, walk
from repc.ops.arithmetic import Detach, Divide, Multiply, Sum
from repc.ops.constant import Fill
from repc.ops.function import Dropout, Function
from repc.ops.shape import Expand, Reshape

Power: TypeAlias = tuple[int, Fraction]
Polynomial: TypeAlias = tuple[tuple[tuple[Power, ...], Fraction], ...]
"""Products of powers of atoms, each with its coefficient, in order; an atom is known by its number."""

LARGEST = 32  # products in a polynomial; a larger one is an atom
MOVES = (Reshape, Expand, Detach, Dropout)
ROOTS = {"sqrt": Fraction(1, 2), "rsqrt": Fraction(-1, 2)}


def equal(a: Expr | None, b: Expr | None) -> bool:
    """Whether two vectors are equal; None is zero."""
    if a is b:
        return True
    forms = _Forms()
    for expr in walk(part for part in (a, b) if part is not None):
        forms.add(expr)
    return forms[a] == forms[b]


class _Forms:
    """The normal forms of expressions, which are added after their operands."""

    def __init__(self) -> None:
        self.atoms: dict[Hashable, int] = {}
        self.forms: dict[Expr | None, Polynomial] = {None: ()}

    def __getitem__(self, expr: Expr | None) -> Polynomial:
        return self.forms[expr]

    def add(self, expr: Expr) -> None:
        found = self._polynomial(expr) if isinstance(expr, Apply) and _vector(expr) else None
        if found is None or len(found) > LARGEST:
            found = self._atom(expr.path if isinstance(expr, Param) else (expr.op, self._numbers(expr)))
        self.forms[expr] = found

    def _polynomial(self, expr: Apply) -> Polynomial | None:
        """The form of a sum, product, quotient or root of vectors; None for any other operator."""
        operands = [self.forms[arg] for arg in expr.args.values()]
        match expr.op:
            case Fill(value=value):
                return _collected([((), value)])
            case Sum(coefficients=coefficients):
                terms = zip(coefficients, operands, strict=True)
                return _collected([(powers, c * factor) for c, form in terms for powers, factor in form])
            case Multiply():
                return _product(*operands)
            case Divide():
                return _product(operands[0], self._power(operands[1], Fraction(-1)))
            case Function(function=name) if name in ROOTS:
                return self._power(operands[0], ROOTS[name])
            case _:
                return operands[0] if isinstance(expr.op, MOVES) and all(map(_vector, expr.args.values())) else None

    def _power(self, form: Polynomial, exponent: Fraction) -> Polynomial:
        """A power of what has one term without a square in it is a product again, of anything else an atom."""
        if len(form) == 1 and exponent.denominator == 1:
            ((powers, factor),) = form
            return _collected([(tuple((atom, e * exponent) for atom, e in powers), factor ** int(exponent))])
        if len(form) == 1 and form[0][1] == 1 and [e for _, e in form[0][0]] == [1]:
            ((atom, _),) = form[0][0]
            return ((((atom, exponent),), Fraction(1)),)
        return ((((self._number(form), exponent),), Fraction(1)),)

    def _atom(self, key: Hashable) -> Polynomial:
        return ((((self._number(key), Fraction(1)),), Fraction(1)),)

    def _numbers(self, expr: Apply) -> tuple[Hashable, ...]:
        """Each operand with its type: of a vector the form does not say along which axis it lies."""
        return tuple((name, arg.type, self._number(self.forms[arg])) for name, arg in expr.args.items())

    def _number(self, key: Hashable) -> int:
        return self.atoms.setdefault(key, len(self.atoms))


def _product(a: Polynomial, b: Polynomial) -> Polynomial | None:
    if len(a) * len(b) > LARGEST:
        return None
    return _collected([((*p, *q), m * n) for p, m in a for q, n in b])


def _collected(terms: Sequence[tuple[tuple[Power, ...], Fraction]]) -> Polynomial:
    """Equal powers and equal products joined, what is zero left out."""
    total: dict[tuple[Power, ...], Fraction] = {}
    for powers, factor in terms:
        exponents: dict[int, Fraction] = {}
        for atom, exponent in powers:
            exponents[atom] = exponents.get(atom, Fraction(0)) + exponent
        key = tuple(sorted((atom, e) for atom, e in exponents.items() if e))
        total[key] = total.get(key, Fraction(0)) + factor
    return tuple(sorted((powers, factor) for powers, factor in total.items() if factor))


def _vector(expr: Expr) -> bool:
    """Whether at most one axis is longer than 1: then broadcasting cannot turn one axis into two."""
    return sum(size != 1 for size in expr.type.shape) <= 1
