"""Operators that an affine map commutes with: what becomes of it when it passes one of them.

A map that varies along some axes is moved as the elements are: ``move(s·x + t) = move(s)·move(x) + move(t)``.
Reshapes, permutations, slices and concatenations move elements; averages and interpolations mix them, with weights that
add up to one, along axes that the map must be constant along.  Backwards, a map distributes over what is concatenated
or added; one factor of a product takes a scale; and where that is asked for, a scale whose sign is known passes a
nonlinearity with ``f(r·x) = r·f(x)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TypeAlias

from repc.ir.dims import Shape, volume
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId
from repc.ir.operator import Operator
from repc.ir.trace import Fact
from repc.ops import build
from repc.ops.arithmetic import Divide, Multiply, Sum
from repc.ops.attention import Attention
from repc.ops.function import Function, PRelu
from repc.ops.linear import MatMul
from repc.ops.pool import AdaptiveAvgPool, AvgPool
from repc.ops.reduce import Reduce
from repc.ops.resample import Upsample
from repc.ops.select import Roll, Take
from repc.ops.shape import Concat, Expand, Pad, Permute, Reshape, Slice
from repc.passes.maps import Map
from repc.passes.workspace import Workspace

HOMOGENEOUS = ("relu", "leaky_relu", "abs")
MOVES = frozenset((Reshape, Permute, Slice, Take, Roll, Expand, Pad, Upsample, AvgPool, AdaptiveAvgPool, Reduce))
GATHERS = frozenset((Concat, Sum))
PRODUCTS = frozenset((Multiply, Divide, MatMul, Attention))
SIGNED = frozenset((Function, PRelu))
PASSED = MOVES | GATHERS | PRODUCTS | SIGNED

Distributed: TypeAlias = tuple[tuple[NodeId, Map], ...]


def moves(graph: Graph, id: NodeId) -> bool:
    """Whether the node only moves or averages: what keeps a map from passing is the axis that it varies along.

    A weight that is expanded to a free size is a node without inputs.
    """
    if not graph[id].inputs:
        return False
    op = graph[id].op
    if isinstance(op, AvgPool):
        return not _counts_padding(op)
    return type(op) in MOVES and not (isinstance(op, Pad) and op.mode == "constant")


def passed(graph: Graph, id: NodeId) -> bool:
    """Whether some maps pass the node on the way up, so that the nodes on both sides of it may concern each other."""
    return type(graph[id].op) in PASSED


def passes_down(graph: Graph, id: NodeId) -> bool:
    """Whether some maps pass the node on the way down."""
    return type(graph[id].op) in MOVES or isinstance(graph[id].op, Concat)


def before(work: Workspace, id: NodeId, map: Map, *, signed: bool) -> Distributed | None:
    """The map after the node `id` as maps on its operands, or None where no such maps do the same.

    With `signed`, nonlinearities pass what they may.
    """
    node = work.graph[id]
    if type(node.op) in SIGNED:
        return _through_nonlinearity(work, node, map) if signed else None
    if isinstance(node.op, Concat | Sum):
        return _distributed(work, id, map)
    if type(node.op) in PRODUCTS:
        return _into_factor(work, node, map)
    if type(node.op) not in MOVES or len(node.inputs) != 1:
        return None
    (source,) = node.inputs
    admitted = _admitted(work, node, map, back=True)
    moved = admitted and _backward(work, id, source, admitted)
    return None if moved is None else ((source, moved),)


def behind(work: Workspace, id: NodeId, source: NodeId, map: Map) -> Map | None:
    """The map on the operand `source` of the node `id` as a map after it, or None where none does the same."""
    node = work.graph[id]
    if isinstance(node.op, Concat):
        return _among_others(work, node, source, map)
    if type(node.op) not in MOVES or len(node.inputs) != 1:
        return None
    admitted = _admitted(work, node, map, back=False)
    return admitted and _forward(work, id, source, admitted)


# ---------------------------------------------------------------- what passes


def _admitted(work: Workspace, node: Node, map: Map, *, back: bool) -> Map | None:
    """The map where the operator lets its shift pass, apart from the axes."""
    match node.op:
        case Pad(mode="constant"):
            return map if map.shift is None and not node.weights else None
        case AvgPool():
            return map if map.shift is None or not _counts_padding(node.op) else None
        case Reduce(kind="sum") if map.shift is not None:
            count = volume(work.graph[node.inputs[0]].type.shape[axis] for axis in node.op.axes)
            times = isinstance(count, int) and (Fraction(1, count) if back else Fraction(count))
            return replace(map, shift=build.scale(map.shift, times)) if times else None
        case Reduce(kind="norm"):
            return None
        case _:
            return map


def _counts_padding(op: AvgPool) -> bool:
    """Whether windows count zeros, so that a shift does not average to itself."""
    return op.count_include_pad and any(any(pair) for pair in op.padding)


def _through_nonlinearity(work: Workspace, node: Node, map: Map) -> Distributed | None:
    """A scale that is known not to be negative, before a function that scales alike."""
    alike = not isinstance(node.op, Function) or node.op.function in HOMOGENEOUS
    if not alike or map.shift is not None or map.scale is None or len(node.inputs) != 1:
        return None
    fact = Fact("nonnegative", map.scale)
    return ((node.inputs[0], replace(map, facts=(*map.facts, fact))),) if work.holds(fact) else None


def _into_factor(work: Workspace, node: Node, map: Map) -> Distributed | None:
    """A scale of a product as one of the first factor that has its axes and may take it in."""
    rank = node.type.rank
    if len(node.inputs) < 2 or node.weights or (map.shift is not None and not isinstance(node.op, Attention)):
        return None
    match node.op:
        case MatMul():
            # Rows are those of the first factor, columns those of the second.
            factors = [(node.inputs[0], rank - 1), (node.inputs[1], rank - 2)]
        case Attention():
            # The rows of a softmax add up to one, so that a shift passes as well.
            factors = [(node.inputs[2], rank - 2)]
        case Divide():
            factors = [(node.inputs[0], rank)]
        case _:
            factors = [(source, rank) for source in node.inputs]
    willing = (s for s, other in factors if other not in map.axes and _has_axes(work, s, node, map))
    source = next((source for source in willing if _made_by_linear(work, source)), None)
    return None if source is None else ((source, map),)


def _has_axes(work: Workspace, source: NodeId, node: Node, map: Map) -> bool:
    """Whether a factor that occurs once has the axes of a map of the product, and is not repeated along them."""
    shape = work.graph[source].type.shape
    return (
        node.inputs.count(source) == 1
        and len(shape) == node.type.rank
        and all(shape[axis] == node.type.shape[axis] for axis in map.axes)
    )


def _made_by_linear(work: Workspace, id: NodeId) -> bool:
    while moves(work.graph, id):
        id = work.graph[id].inputs[0]
    return work.linear(id) is not None


# ---------------------------------------------------------------- where it goes


def _backward(work: Workspace, id: NodeId, source: NodeId, map: Map) -> Map | None:
    op, inner, outer = work.graph[id].op, work.graph[source].type.shape, work.graph[id].type.shape
    if isinstance(op, Slice | Take):
        return _widened(work, id, source, map)
    if isinstance(op, Reshape):
        return map.reshaped(outer, inner)
    return map.renamed({there: here for here, there in _kept_axes(op, inner, outer)})


def _forward(work: Workspace, id: NodeId, source: NodeId, map: Map) -> Map | None:
    op, inner, outer = work.graph[id].op, work.graph[source].type.shape, work.graph[id].type.shape
    if isinstance(op, Slice | Take):
        return map.picked(op.axis, _places(op)) if op.axis in map.axes else map
    if isinstance(op, Reshape):
        return map.reshaped(inner, outer)
    return map.renamed(dict(_kept_axes(op, inner, outer)))


def _kept_axes(op: Operator, inner: Shape, outer: Shape) -> Iterable[tuple[int, int]]:
    """The axes along which the operator does the same everywhere: their numbers before it, and after it."""
    match op:
        case Permute(axes=axes):
            return [(axis, i) for i, axis in enumerate(axes)]
        case Expand():
            new = len(outer) - len(inner)
            return [(axis, axis + new) for axis, size in enumerate(inner) if outer[axis + new] == size]
        case Reduce(axes=axes, keep=keep):
            left = [axis for axis in range(len(inner)) if axis not in axes]
            return [(axis, axis if keep else i) for i, axis in enumerate(left)]
        case Pad(widths=widths):
            return [(axis, axis) for axis, pair in enumerate(widths) if not any(pair)]
        case Roll(axes=axes):
            return [(axis, axis) for axis in range(len(inner)) if axis not in axes]
        case _:
            return [(0, 0), (1, 1)]


def _places(op: Slice | Take) -> Sequence[int]:
    """What it takes of an axis of known size."""
    if isinstance(op, Take):
        return op.positions
    assert isinstance(op.stop, int)
    return range(op.start, op.stop, op.step)


def _widened(work: Workspace, id: NodeId, source: NodeId, map: Map) -> Map | None:
    """The map on a part as a map on the whole; what nobody else reads may change, other parts may not."""
    op, size = work.graph[id].op, work.graph[source].type.shape
    assert isinstance(op, Slice | Take)
    if op.axis not in map.axes and work.other_reader(source, [id]) is None:
        return map
    if isinstance(op, Take) or op.step != 1:
        return None
    parts = [(op.start, False), (op.stop - op.start, True), (size[op.axis] - op.stop, False)]
    return map.among(op.axis, work.graph[id].type.shape, parts)


def _among_others(work: Workspace, node: Node, source: NodeId, map: Map) -> Map | None:
    """The map on one operand of a concatenation as a map on all of it."""
    assert isinstance(node.op, Concat)
    axis, operands = node.op.axis, list(node.operands().values())
    if axis not in map.axes and all(operand == source for operand in operands):
        return map
    types = [work.graph[operand].type if isinstance(operand, int) else operand.type for operand in operands]
    parts = [(type.shape[axis], operand == source) for type, operand in zip(types, operands, strict=True)]
    return map.among(axis, work.graph[source].type.shape, parts)


def _distributed(work: Workspace, id: NodeId, map: Map) -> Distributed | None:
    """The map of a sum as one of each term, and of a concatenation as one of each part."""
    node = work.graph[id]
    if node.weights or len(node.inputs) < 2 or len(set(node.inputs)) < len(node.inputs):
        return None
    if isinstance(node.op, Concat):
        return _parts(work, node, map)
    assert isinstance(node.op, Sum)
    first, *others = node.op.coefficients
    if not all(node.op.coefficients) or any(work.graph[source].type != node.type for source in node.inputs):
        return None
    shifted = replace(map, shift=map.shift and build.scale(map.shift, 1 / first))
    plain = replace(map, shift=None)
    return tuple(zip(node.inputs, [shifted, *(plain for _ in others)], strict=True))


def _parts(work: Workspace, node: Node, map: Map) -> Distributed:
    assert isinstance(node.op, Concat)
    found: list[tuple[NodeId, Map]] = []
    start, axis = 0, node.op.axis
    for source in node.inputs:
        size = work.graph[source].type.shape[axis]
        if axis in map.axes and isinstance(size, int):
            found.append((source, map.picked(axis, range(start, start + size))))
            start += size
        else:
            found.append((source, map))
    return tuple(found)
