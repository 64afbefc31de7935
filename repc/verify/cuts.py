"""Cuts: the values that the network as trained and as deployed both compute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TypeAlias

from torch import Tensor

from repc.diagnostics import Span
from repc.ir.dims import evaluate
from repc.ir.expr import Param
from repc.ir.graph import Graph, value_names
from repc.ir.node import NodeId
from repc.ir.operator import Operator
from repc.ir.storage import storage
from repc.ops import (
    AdaptiveAvgPool,
    Attention,
    AvgPool,
    Conv,
    ConvTranspose,
    CumSum,
    GroupNorm,
    LayerNorm,
    Linear,
    LogSoftmax,
    MatMul,
    MaxPool,
    Pad,
    Reduce,
    RMSNorm,
    Softmax,
)

LIBRARY = "repc:std/"


@dataclass(frozen=True, eq=False)
class Cut:
    """A value to compare: what it is called, where the spec says it, and how many outermost positions see padding."""

    label: str
    place: str = ""
    border: int = 0

    def __str__(self) -> str:
        return f"{self.label} ({self.place})" if self.place else self.label


Values: TypeAlias = Mapping[Cut, Tensor]


@dataclass(frozen=True, eq=False)
class Correspondence:
    """The node that makes each cut's value, in either graph; cuts in the order of the training graph."""

    train: Mapping[Cut, NodeId]
    fused: Mapping[Cut, NodeId]


def outputs(graph: Graph, nodes: Mapping[Cut, NodeId]) -> list[Cut]:
    """The cuts that are the outputs of a graph, in its order."""
    made_by = {id: cut for cut, id in nodes.items()}
    return [made_by[id] for id in graph.outputs.values()]


def correspondence(train: Graph, fused: Graph) -> Correspondence:
    """Every activation that is in both graphs, and the outputs.

    A rewrite never changes what a node id denotes, so the same id is the same value; outputs correspond by name.
    """
    given = set(train.inputs.values())
    results = {id: fused.outputs[name] for name, id in train.outputs.items()}
    ids = (id for id in train.order() if id in results or (id in fused and id not in given))
    return corresponding(train, {id: results.get(id, id) for id in ids})


def corresponding(train: Graph, pairs: Mapping[NodeId, NodeId]) -> Correspondence:
    """The cuts between these nodes of the training graph, in its order, and those of another."""
    borders = _borders(train, pairs)
    labels = _labels(train, pairs)
    cuts = {id: Cut(labels[id], place(train[id].origin), borders[id]) for id in pairs}
    return Correspondence(
        {cuts[id]: id for id in pairs},
        {cuts[id]: twin for id, twin in pairs.items()},
    )


def deployed(graph: Graph) -> Graph:
    """The graph as it is stored: every weight but a number is a tensor of its own, under its stored name."""
    names = storage(graph).names
    stored = graph.copy()
    for id in graph:
        node = graph[id]
        if node.weights:
            weights = {
                operand: Param(names[id, operand], expr.type) if (id, operand) in names else expr
                for operand, expr in node.weights.items()
            }
            stored.replace(id, replace(node, weights=weights))
    return stored


def segment(graph: Graph, id: NodeId, cuts: Collection[NodeId]) -> list[NodeId]:
    """The nodes between a value and the cuts before it, in order; the value itself is the last."""
    found: set[NodeId] = set()
    waiting = [id]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(source for source in graph[node].inputs if source not in cuts)
    return [node for node in graph.order() if node in found]


def longest_sums(graph: Graph, sizes: Mapping[str, int]) -> dict[NodeId, int]:
    """For each value, how many terms the longest sum on the way to it adds up."""
    longest: dict[NodeId, int] = {}
    for id in graph.order():
        node = graph[id]
        types = {name: graph[of].type if isinstance(of, int) else of.type for name, of in node.operands().items()}
        shapes = {name: [evaluate(dim, sizes) for dim in type.shape] for name, type in types.items()}
        terms = _terms(node.op, shapes, [evaluate(dim, sizes) for dim in node.type.shape])
        longest[id] = max(terms, *(longest[source] for source in node.inputs), 1)
    return longest


def _terms(op: Operator, given: Mapping[str, Sequence[int]], result: Sequence[int]) -> int:
    """How many terms one element of the result is a sum of."""
    match op:
        case Conv() | Linear():
            return prod(given["weight"][1:])
        case ConvTranspose():
            return prod(given["weight"]) // given["weight"][1]
        case MatMul():
            return given["a"][-1]
        case AdaptiveAvgPool() | Reduce():
            return prod(given["x"]) // prod(result)
        case LayerNorm() | RMSNorm():
            return prod(given["x"][-op.axes :])
        case GroupNorm():
            return prod(given["x"][1:]) // op.groups
        case Softmax() | LogSoftmax() | CumSum():
            return given["x"][op.axis]
        case Attention():
            return given["q"][-1] + given["k"][-2]
        case _:
            return 1


def place(origin: tuple[Span, ...]) -> str:
    """``file:line`` of the innermost place that is not in the standard library; empty where there is none."""
    own = [span for span in origin if not span.source.name.startswith(LIBRARY)]
    return str(own[-1]).rpartition(":")[0] if own else ""


def _labels(graph: Graph, cuts: Collection[NodeId]) -> dict[NodeId, str]:
    """The path of each cut, with the operator where that alone is not one value."""
    times = Counter(graph[id].path for id in cuts)
    names = value_names(graph, lambda node: node.op.title)
    return {id: graph[id].path if graph[id].path and times[graph[id].path] == 1 else name for id, name in names}


def _borders(graph: Graph, cuts: Collection[NodeId]) -> dict[NodeId, int]:
    """The widest padding between each value and the cuts before it."""
    widths: dict[NodeId, int] = {}
    for id in graph.order():
        before = (widths[source] for source in graph[id].inputs if source not in cuts)
        widths[id] = max(_padding(graph[id].op), *before, 0)
    return {id: widths[id] for id in cuts}


def _padding(op: Operator) -> int:
    match op:
        case Conv() | MaxPool() | AvgPool():
            return max(width for pair in op.padding for width in pair)
        case Pad():
            return max(width for pair in op.widths for width in pair)
        case ConvTranspose():
            return 1
        case _:
            return 0
