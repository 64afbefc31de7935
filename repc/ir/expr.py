"""Weight expressions: everything that is computed from parameters and constants only.

A deployed weight is an expression over named parameters, not an array.  The same expression folds a checkpoint, folds a
second one of the same model, prints as mathematics, and is evaluated over a finite field to prove the fold.
Expressions form a DAG with shared parts; they compare by identity, and evaluation visits each part once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from repc.ir.operator import Operator
from repc.ir.types import TensorType


@dataclass(frozen=True, eq=False)
class Param:
    """A named parameter or buffer, as it is called in a state_dict."""

    path: str
    type: TensorType


@dataclass(frozen=True, eq=False)
class Apply:
    """An operator applied to expressions; constants are operators without operands."""

    op: Operator
    args: Mapping[str, Expr]
    type: TensorType


Expr: TypeAlias = Param | Apply


def apply(op: Operator, **args: Expr) -> Apply:
    """The expression ``op(args)``; raises `ShapeError` where the operands do not fit."""
    return Apply(op, args, op.infer({name: arg.type for name, arg in args.items()}))


def apply_all(op: Operator, args: Iterable[Expr]) -> Apply:
    """The same for a variadic operator."""
    return apply(op, **{str(i): arg for i, arg in enumerate(args)})


def walk(roots: Iterable[Expr]) -> Iterator[Expr]:
    """Every part of the expressions once, operands before the operators that use them."""
    seen: set[int] = set()
    stack: list[tuple[Expr, bool]] = [(root, False) for root in reversed(list(roots))]
    while stack:
        expr, ready = stack.pop()
        if ready:
            yield expr
        elif id(expr) not in seen:
            seen.add(id(expr))
            stack.append((expr, True))
            if isinstance(expr, Apply):
                stack.extend((arg, False) for arg in reversed(list(expr.args.values())))


def parameters(roots: Iterable[Expr]) -> dict[str, Param]:
    """The parameters that the expressions read, by path."""
    return {expr.path: expr for expr in walk(roots) if isinstance(expr, Param)}
