"""The values of weight expressions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
    return dict(Program(exprs).run(field, parameters))


class Program(Generic[K]):
    """Expressions in the order in which their parts are computed, for any number of runs."""

    def __init__(self, exprs: Mapping[K, Expr]) -> None:
        self._exprs = exprs
        self._parts = list(walk(exprs.values()))
        self._uses = Counter(arg for part in self._parts if isinstance(part, Apply) for arg in part.args.values())
        self._uses.update(exprs.values())

    def run(self, field: Field[T], parameters: Mapping[str, T]) -> Iterator[tuple[K, T]]:
        """The value of one expression after another, so that few of them are held at once; raises as `evaluate`."""
        _check(self._parts, field, parameters)
        return self._values(field, parameters)

    def _values(self, field: Field[T], parameters: Mapping[str, T]) -> Iterator[tuple[K, T]]:
        known: dict[Expr, T] = {}
        uses = self._uses.copy()

        def used(expr: Expr) -> T:
            uses[expr] -= 1
            return known[expr] if uses[expr] else known.pop(expr)

        parts = iter(self._parts)
        for key, root in self._exprs.items():
            while root not in known:
                part = next(parts)
                if isinstance(part, Param):
                    known[part] = field.lift(parameters[part.path])
                else:
                    known[part] = part.op.apply(field, {name: known[arg] for name, arg in part.args.items()})
                    for arg in part.args.values():
                        used(arg)
            yield key, used(root)


def _check(parts: Sequence[Expr], field: Field[T], given: Mapping[str, T]) -> None:
    found: list[Diagnostic] = []
    for path, parameter in {part.path: part for part in parts if isinstance(part, Param)}.items():
        if path not in given:
            found.append(errors.parameter_missing(path, parameter.type, given))
        elif field.shape(given[path]) != parameter.type.shape:
            found.append(errors.parameter_misfit(path, field.shape(given[path]), parameter.type))
    if found:
        raise Failure(found)
