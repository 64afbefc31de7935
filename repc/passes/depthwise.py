"""Operators that store no kernel, as the depthwise convolutions that they are; None where they are none."""

from __future__ import annotations

from fractions import Fraction
from math import prod

from repc.ir.expr import Expr
from repc.ir.node import Node
from repc.ir.types import TensorType
from repc.ops import build
from repc.ops.conv import Conv
from repc.ops.pool import AvgPool
from repc.ops.shape import Pad
from repc.passes.absorb import vector
from repc.passes.views import AffineView, LinearView


def depthwise(node: Node, affine: AffineView | None, x: TensorType) -> LinearView | None:
    """A node that reads x of shape (n, c, spatial…); `affine` is how it is seen as a scale and shift."""
    if not 3 <= x.rank <= 5 or not isinstance(x.shape[1], int):
        return None
    if isinstance(node.op, AvgPool):
        return averaged(node.op, node, x.shape[1])
    if isinstance(node.op, Pad):
        return _padded(node.op, node, x.shape[1])
    return _scaled(affine, x.shape[1], x.rank - 2) if affine is not None else None


def averaged(op: AvgPool, node: Node, channels: int) -> LinearView | None:
    """F6.  What counts fewer values at the border, or in a last window that ends early, is no convolution."""
    padded = any(any(pair) for pair in op.padding)
    if (padded and not op.count_include_pad) or (op.ceil and set(op.stride) != {1}):
        return None
    weight = build.fill((channels, 1, *op.kernel), Fraction(1, prod(op.kernel)))
    conv = Conv(op.stride, op.padding, (1,) * len(op.kernel), channels)
    return LinearView(node.inputs[0], conv, weight, None, 1)


def _padded(op: Pad, node: Node, channels: int) -> LinearView | None:
    """Padding is the identity with padding of its own."""
    if any(any(pair) for pair in op.widths[:2]) or len(node.inputs) != 1:
        return None
    rank = len(op.widths) - 2
    conv = Conv((1,) * rank, op.widths[2:], (1,) * rank, channels, op.mode)
    fill = vector(node.weights.get("value"), channels)
    return LinearView(node.inputs[0], conv, _points(None, channels, rank), None, 1, fill)


def _scaled(view: AffineView, channels: int, rank: int) -> LinearView | None:
    if view.axis not in (None, 1):
        return None
    conv = Conv((1,) * rank, ((0, 0),) * rank, (1,) * rank, channels)
    return LinearView(view.source, conv, _points(view.scale, channels, rank), vector(view.shift, channels), 1)


def _points(scale: Expr | None, channels: int, rank: int) -> Expr:
    """A kernel of one tap for each channel: a scale, or one."""
    shape = (channels, 1, *[1] * rank)
    return build.fill(shape, 1) if scale is None else build.reshape(build.expand(scale, (channels,)), shape)
