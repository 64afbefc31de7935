"""``x + s · a b`` in one pass over memory, which is what most of a merge is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import cast

import torch
from torch import Tensor

from repc.ir.expr import Apply, Expr, Param, apply, walk
from repc.ir.field import Field, T
from repc.ir.operator import Operator
from repc.ir.types import TensorType
from repc.ops.arithmetic import Multiply, Sum
from repc.ops.linear import MatMul


@dataclass(frozen=True)
class AddProduct(Operator):
    """x + coefficient · scale · (a b) of matrices, the scale being one number; ``torch.addmm``.

    `into` x itself where nothing else wants its value: memory that is at hand is faster than new one.
    """

    name = "add_product"
    required = ("x", "a", "b")
    optional = ("scale",)

    coefficient: Fraction
    into: bool

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        return given["x"]

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        x, a, b = (cast("Tensor", given[name]) for name in self.required)
        scale = float(cast("Tensor", given["scale"])) if "scale" in given else 1.0
        return cast("T", torch.addmm(x, a, b, alpha=float(self.coefficient) * scale, out=x if self.into else None))


def fused(root: Expr) -> Expr:
    """The expression with products of matrices added where they are made, some into parameters: the `overwritten`."""
    made: dict[Expr, Expr] = {}
    uses = Counter(arg for expr in walk([root]) if isinstance(expr, Apply) for arg in expr.args.values())
    for expr in walk([root]):
        made[expr] = expr
        if isinstance(expr, Apply):
            made[expr] = _added(apply(expr.op, **{name: made[arg] for name, arg in expr.args.items()}), uses)
    return made[root]


def overwritten(root: Expr) -> set[str]:
    """The parameters that must be copies, because evaluation puts other values in their place."""
    found: set[str] = set()
    for part in walk([root]):
        match part:
            case Apply(op=AddProduct(into=True), args={"x": Param() as x}):
                found.add(x.path)
            case _:
                pass
    return found


def _added(expr: Apply, uses: Mapping[Expr, int]) -> Apply:
    if not isinstance(expr.op, Sum) or expr.type.rank != 2:
        return expr
    products: list[tuple[Fraction, dict[str, Expr]]] = []
    others: list[tuple[Fraction, Expr]] = []
    for coefficient, term in zip(expr.op.coefficients, expr.args.values(), strict=True):
        factors = next(_factors(term, expr.type), None)
        if factors is None:
            others.append((coefficient, term))
        else:
            products.append((coefficient, factors))
    if [(coefficient, term.type) for coefficient, term in others] != [(1, expr.type)]:
        return expr
    total = others[0][1]
    into = isinstance(total, Param) and uses[total] == 1
    for coefficient, factors in products:
        total = apply(AddProduct(coefficient, into), x=total, **factors)
        into = True
    return total if isinstance(total, Apply) else expr


def _factors(expr: Expr, type: TensorType) -> Iterator[dict[str, Expr]]:
    """The factors of a product of two matrices, and the number that it is multiplied with, if there is one."""
    if not isinstance(expr, Apply) or expr.type != type:
        return
    args = expr.args
    if isinstance(expr.op, MatMul) and args["a"].type.rank == args["b"].type.rank == 2:
        yield dict(args)
    if isinstance(expr.op, Multiply):
        for scale, other in ((args["a"], args["b"]), (args["b"], args["a"])):
            if prod(scale.type.concrete()) == 1:
                yield from ({**found, "scale": scale} for found in _factors(other, type) if "scale" not in found)
