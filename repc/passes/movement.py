"""Operators that a per-channel affine map commutes with: where its vector goes when it passes one of them.

Reshapes and permutations move elements.  Averages have weights that add up to one, and mix elements along the spatial
axes only: a map along one of those does not pass.  Passing a reshape that joins or splits axes, each entry of the
vector belongs to a block of the longer axis, or recurs in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from repc.ir.dims import Dim, Shape, divide, volume
from repc.ir.expr import Expr
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ir.operator import Operator
from repc.ops import build
from repc.ops.pool import AdaptiveAvgPool, AvgPool
from repc.ops.shape import Permute, Reshape
from repc.passes.views import AffineView


@dataclass(frozen=True, slots=True)
class _Carry:
    """The axis on the other side, and how its vector repeats: each entry `inner` times, the whole `outer` times."""

    axis: int
    outer: int = 1
    inner: int = 1


def moves(graph: Graph, id: NodeId, *, shift: bool = False) -> bool:
    """Whether some scale commutes with the node, and a shift too where there is one."""
    op = graph[id].op
    if isinstance(op, AvgPool):
        # Windows that count zeros do not average a shift to itself.
        return not (shift and op.count_include_pad and any(any(pair) for pair in op.padding))
    return isinstance(op, Reshape | Permute | AdaptiveAvgPool)


def before(graph: Graph, id: NodeId, view: AffineView) -> AffineView | None:
    """The map after the node `id` as a map before it, or None where it is not one along a single axis."""
    node = graph[id]
    source = graph[node.inputs[0]].type.shape
    back = node.op.axes if isinstance(node.op, Permute) else None
    return _passed(node.op, view, node.type.shape, source, back)


def behind(graph: Graph, id: NodeId, view: AffineView) -> AffineView | None:
    """The map before the node `id` as a map after it, or None where it is not one along a single axis."""
    node = graph[id]
    source = graph[node.inputs[0]].type.shape
    order = node.op.axes if isinstance(node.op, Permute) else None
    return _passed(node.op, view, source, node.type.shape, order and [order.index(axis) for axis in range(len(order))])


def _passed(
    op: Operator, view: AffineView, here: Shape, there: Shape, order: Sequence[int] | None
) -> AffineView | None:
    if view.axis is None:
        return view
    if isinstance(op, AvgPool | AdaptiveAvgPool):
        return view if view.axis < 2 else None
    if order is not None:
        carry = _Carry(order[view.axis])
    elif len(here) == len(there) and here[view.axis] == there[view.axis] and here[: view.axis] == there[: view.axis]:
        carry = _Carry(view.axis)
    else:
        carry = _reshaped(here, view.axis, there)
    if carry is None:
        return None
    scale, shift = (_repeat(part, carry) for part in (view.scale, view.shift))
    return AffineView(view.source, carry.axis, scale, shift)


def _reshaped(here: Shape, axis: int, there: Shape) -> _Carry | None:
    """The axis whose range of strides holds that of the given one; at most one does, since its size is not 1."""
    for other in range(len(there)):
        outer = _whole(volume(here[:axis]), volume(there[:other]))
        inner = _whole(volume(here[axis + 1 :]), volume(there[other + 1 :]))
        if outer and inner:
            return _Carry(other, outer, inner)
    return None


def _whole(dim: Dim, divisor: Dim) -> int | None:
    ratio = divide(dim, divisor)
    return ratio if isinstance(ratio, int) else None


def _repeat(part: Expr | None, carry: _Carry) -> Expr | None:
    if part is None or not part.type.rank or carry.outer == carry.inner == 1:
        return part
    (size,) = part.type.concrete()
    spread = build.expand(build.reshape(part, (1, size, 1)), (carry.outer, size, carry.inner))
    return build.reshape(spread, (carry.outer * size * carry.inner,))
