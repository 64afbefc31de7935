"""How often random values are multiplied on the way to a value: the degree in the bound of Schwartz and Zippel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from repc.ir.expr import Apply, Expr, walk
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ir.operator import Operator
from repc.ops import (
    AdaptiveAvgPool,
    Affine,
    AvgPool,
    BatchNorm,
    Binary,
    Cast,
    Concat,
    Conv,
    ConvTranspose,
    CumSum,
    Detach,
    Divide,
    Dropout,
    Einsum,
    Expand,
    Eye,
    Fill,
    Gather,
    Linear,
    MatMul,
    Multiply,
    Pad,
    Permute,
    Reshape,
    Roll,
    Slice,
    Sum,
    Take,
    TakeAlong,
    Upsample,
)
from repc.ops.binary import BINARY

MULTILINEAR = (
    *(Conv, ConvTranspose, Linear, MatMul, Einsum, Multiply, Divide, Affine, CumSum),
    *(AvgPool, AdaptiveAvgPool, Upsample, Pad, Reshape, Permute, Expand, Slice, Take, Gather, TakeAlong, Roll),
    *(Detach, Dropout, Cast, Fill, Eye),
)


def degree(graph: Graph, nodes: Sequence[NodeId]) -> int:
    """A bound on the degree of the last node's value in what is drawn for weights and for what the nodes start from."""
    of_weights: dict[Expr, int] = {}
    for expr in walk(weight for id in nodes for weight in graph[id].weights.values()):
        if isinstance(expr, Apply):
            of_weights[expr] = _step(expr.op, {name: of_weights[arg] for name, arg in expr.args.items()})
        else:
            of_weights[expr] = 1
    found: dict[NodeId, int] = {}
    for id in nodes:
        operands = graph[id].operands().items()
        degrees = {name: found.get(of, 1) if isinstance(of, int) else of_weights[of] for name, of in operands}
        found[id] = _step(graph[id].op, degrees)
    return found[nodes[-1]] if nodes else 1


def _step(op: Operator, operands: Mapping[str, int]) -> int:
    """The degree after an operator.

    The value of a table is a variable of its own, and what it is a table of counts too, since two that should differ
    may meet; so it is with comparisons.  Apart from sums and products, no operator multiplies its operands more than
    three times.
    """
    total = sum(operands.values(), start=0)
    if isinstance(op, (Sum, Concat)):
        return max(operands.values())
    if isinstance(op, MULTILINEAR):
        return max(total, 1)
    if isinstance(op, BatchNorm) and "running_var" in operands:
        return total + 1
    if isinstance(op, Binary) and "bool" in BINARY[op.function]:
        return total + 1
    return 3 * total + 1
