"""The values of weight expressions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

from repc.diagnostics import Diagnostic, Failure
from repc.evaluate import errors
from repc.ir.expr import Apply, Expr, walk
from repc.ir.expr import parameters as parameters_of
from repc.ir.field import Field, T

K = TypeVar("K")


def evaluate(exprs: Mapping[K, Expr], field: Field[T], parameters: Mapping[str, T]) -> dict[K, T]:
    """The value of every expression; each shared part is computed once and dropped after its last use.

    Raises `Failure` where a parameter is missing or has another shape than declared, naming all of them.
    """
    _check(exprs, field, parameters)
    order = list(walk(exprs.values()))
    uses = Counter(arg for expr in order if isinstance(expr, Apply) for arg in expr.args.values())
    uses.update(exprs.values())
    values: dict[Expr, T] = {}
    for expr in order:
        if isinstance(expr, Apply):
            values[expr] = expr.op.apply(field, {name: values[arg] for name, arg in expr.args.items()})
            for arg in expr.args.values():
                uses[arg] -= 1
                if not uses[arg]:
                    del values[arg]
        else:
            values[expr] = field.lift(parameters[expr.path])
    return {key: values[expr] for key, expr in exprs.items()}


def _check(exprs: Mapping[K, Expr], field: Field[T], given: Mapping[str, T]) -> None:
    found: list[Diagnostic] = []
    for path, parameter in parameters_of(exprs.values()).items():
        if path not in given:
            found.append(errors.parameter_missing(path, parameter.type, given))
        elif field.shape(given[path]) != parameter.type.shape:
            found.append(errors.parameter_misfit(path, field.shape(given[path]), parameter.type))
    if found:
        raise Failure(found)
