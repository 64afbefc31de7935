"""How much arithmetic a network takes, as papers count it: the multiply-adds of convolutions and matrix products."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

from repc.ir.dims import Dim, evaluate, symbols
from repc.ir.expr import Apply, Expr, walk
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId
from repc.ir.operator import Operator
from repc.ir.types import TensorType
from repc.ops.attention import Attention
from repc.ops.conv import Conv, ConvTranspose
from repc.ops.linear import Einsum, Linear, MatMul

SIDE = 224


def nominal_sizes(graph: Graph, batch: int = 1) -> dict[str, int]:
    """A size for every free dimension where any will do: 224, and `batch` for those in front of an input."""
    front = symbols(dim for id in graph.inputs.values() for dim in graph[id].type.shape[:1])
    return {name: batch if name in front else SIDE for id in graph for name in sorted(symbols(graph[id].type.shape))}


def multiply_adds(graph: Graph, sizes: Mapping[str, int], nodes: Iterable[NodeId] | None = None) -> int:
    """The multiply-adds of one run of some nodes, or all; elementwise operators, norms and pools count for nothing."""
    return sum(_node(graph, graph[id], sizes) for id in (graph if nodes is None else nodes))


def _node(graph: Graph, node: Node, sizes: Mapping[str, int]) -> int:
    types = {
        name: graph[source].type if isinstance(source, int) else source.type for name, source in node.operands().items()
    }
    return prod(evaluate(dim, sizes) for dim in _factors(node.op, types, node.type))


def multiply_adds_of(exprs: Iterable[Expr]) -> int:
    """The multiply-adds of computing weights once; a part that several of them have is computed once."""
    parts = (part for part in walk(exprs) if isinstance(part, Apply))
    return sum(_once(part) for part in parts)


def _once(expr: Apply) -> int:
    sizes = _factors(expr.op, {name: arg.type for name, arg in expr.args.items()}, expr.type)
    return prod(evaluate(size, {}) for size in sizes)


def _factors(op: Operator, given: Mapping[str, TensorType], result: TensorType) -> tuple[Dim, ...]:
    """What the multiply-adds of an operator are the product of."""
    match op:
        case Conv():
            return (*result.shape, *given["weight"].shape[1:])
        case ConvTranspose():
            return (*given["x"].shape, *given["weight"].shape[1:])
        case Linear():
            return (*result.shape, given["weight"].shape[1])
        case MatMul():
            return (*result.shape, given["a"].shape[-1])
        case Attention():
            return (*result.shape[:-1], given["k"].shape[-2], given["q"].shape[-1] + result.shape[-1])
        case Einsum():
            left, right, _ = op.letters()
            shapes = (*given["a"].shape, *given["b"].shape)
            return tuple(dict(zip(left + right, shapes, strict=True)).values())
        case _:
            return (0,)
