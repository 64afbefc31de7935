"""The values of weight expressions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from repc.diagnostics import Diagnostic, Failure
from repc.evaluate import errors
from repc.ir.expr import Apply, Expr, Param, walk
from repc.ir.field import Field, T

K = TypeVar("K")


def evaluate(exprs: Mapping[K, Expr], field: Field[T], parameters: Mapping[str, T]) -> dict[K, T]:
    """The value of every expression; each shared part is computed once and dropped after its last use.

    Raises `Failure` where a parameter is missing or has another shape than declared, naming all of them.
    """
    values = Values(exprs, field, parameters)
    return {key: values.take(key) for key in exprs}


class Values(Generic[K, T]):
    """The values of expressions, one after another as they are taken, so that few of them are held at once.

    Each is taken once.  Raises `Failure` as `evaluate`.
    """

    def __init__(self, exprs: Mapping[K, Expr], field: Field[T], parameters: Mapping[str, T]) -> None:
        parts = list(walk(exprs.values()))
        _check(parts, field, parameters)
        self._exprs, self._field, self._parameters = exprs, field, parameters
        self._uses = Counter(arg for part in parts if isinstance(part, Apply) for arg in part.args.values())
        self._uses.update(exprs.values())
        self._known: dict[Expr, T] = {}

    def take(self, key: K) -> T:
        """The value of one expression."""
        waiting = [self._exprs[key]]
        while waiting:
            expr = waiting[-1]
            missing = [] if isinstance(expr, Param) or expr in self._known else self._missing(expr)
            if missing:
                waiting += reversed(missing)
            else:
                waiting.pop()
                self._compute(expr)
        return self._used(self._exprs[key])

    def _missing(self, expr: Apply) -> list[Expr]:
        return [arg for arg in expr.args.values() if arg not in self._known]

    def _compute(self, expr: Expr) -> None:
        if expr in self._known:
            return
        if isinstance(expr, Param):
            self._known[expr] = self._field.lift(self._parameters[expr.path])
        else:
            self._known[expr] = expr.op.apply(self._field, {name: self._known[arg] for name, arg in expr.args.items()})
            for arg in expr.args.values():
                self._used(arg)

    def _used(self, expr: Expr) -> T:
        """A value for one of its uses; after the last it is forgotten."""
        self._uses[expr] -= 1
        return self._known[expr] if self._uses[expr] else self._known.pop(expr)


def _check(parts: Sequence[Expr], field: Field[T], given: Mapping[str, T]) -> None:
    found: list[Diagnostic] = []
    for path, parameter in {part.path: part for part in parts if isinstance(part, Param)}.items():
        if path not in given:
            found.append(errors.parameter_missing(path, parameter.type, given))
        elif field.shape(given[path]) != parameter.type.shape:
            found.append(errors.parameter_misfit(path, field.shape(given[path]), parameter.type))
    if found:
        raise Failure(found)
