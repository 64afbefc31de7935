"""The few ways in which rules look at operators; nothing is rewritten to be looked at.

Many operators are one kind of map: a batch norm, a layer scale, a constant factor and a dropout are all
``scale·x + shift`` along one axis.  Rules are written over views, so that there are few of them; an operator that no
rule touches stays exactly what it was, with its own parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import TypeAlias

from repc.ir.expr import Expr
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId
from repc.ir.types import TensorType
from repc.ops import build
from repc.ops.arithmetic import Affine, Detach, Divide, Multiply, Sum
from repc.ops.conv import Conv, ConvTranspose
from repc.ops.function import Dropout
from repc.ops.linear import Linear, MatMul
from repc.ops.norm import BatchNorm
from repc.passes.frames import Frame, Window
from repc.passes.kernels import scale_columns, scale_rows

FLOAT = "f32"  # the compute type; constants of the algebra have it too


@dataclass(frozen=True, eq=False, slots=True)
class AffineView:
    """``scale·x + shift``: vectors along `axis`, or scalars where it is None; a missing part is 1 or 0."""

    source: NodeId
    axis: int | None = None
    scale: Expr | None = None
    shift: Expr | None = None

    @property
    def identity(self) -> bool:
        return self.scale is None and self.shift is None

    def after(self, inner: AffineView) -> AffineView:
        """This map applied to the result of another one; one axis at most may be involved."""
        assert self.axis is None or inner.axis is None or self.axis == inner.axis
        axis = inner.axis if self.axis is None else self.axis
        return AffineView(inner.source, axis, times(inner.scale, self.scale), self.shifted(inner.shift))

    def shifted(self, bias: Expr | None) -> Expr | None:
        """``scale·bias + shift``, with nothing where nothing is added."""
        return plus(times(bias, self.scale) if bias is not None else None, self.shift)


def times(a: Expr | None, b: Expr | None) -> Expr | None:
    """The product of two factors, of which either may be missing."""
    if a is None or b is None:
        return b if a is None else a
    return build.mul(a, b)


def plus(a: Expr | None, b: Expr | None) -> Expr | None:
    """The sum of two terms, of which either may be missing."""
    if a is None or b is None:
        return b if a is None else a
    return build.add(a, b)


# ---------------------------------------------------------------- linear


LinearOperator: TypeAlias = Conv | ConvTranspose | Linear


@dataclass(frozen=True, eq=False, slots=True)
class LinearView:
    """A convolution, a transposed one, or a linear layer, which is a convolution without spatial axes.

    `fill` is what it reads beyond the border, a vector over the input channels; None is zero, all that an operator can.
    """

    source: NodeId
    op: LinearOperator
    weight: Expr
    bias: Expr | None
    channel_axis: int
    fill: Expr | None = None

    @property
    def transposed(self) -> bool:
        return isinstance(self.op, ConvTranspose)

    @property
    def groups(self) -> int:
        return 1 if isinstance(self.op, Linear) else self.op.groups

    @property
    def stride(self) -> tuple[int, ...]:
        return () if isinstance(self.op, Linear) else self.op.stride

    @property
    def pointwise(self) -> bool:
        """Whether every position of the result comes from the same position of the source."""
        return all(window == Window(1, dilation=window.dilation) for window in self.frame) and set(self.stride) <= {1}

    @property
    def mode(self) -> str | None:
        """How it pads; None where it does not read beyond the edge."""
        padded = isinstance(self.op, Conv) and any(any(pair) for pair in self.op.padding)
        return self.op.mode if isinstance(self.op, Conv) and padded else None

    @property
    def frame(self) -> Frame:
        if isinstance(self.op, Linear):
            return ()
        taps = self.weight.type.concrete()[2:]
        extra = self.op.output_padding if isinstance(self.op, ConvTranspose) else (0,) * len(taps)
        axes = zip(taps, self.op.padding, self.op.dilation, extra, strict=True)
        return tuple(Window(k, before, after, dilation, e) for k, (before, after), dilation, e in axes)

    @property
    def out_channels(self) -> int:
        rows, columns = self.weight.type.concrete()[:2]
        return columns * self.groups if self.transposed else rows

    def scale_out(self, scale: Expr | None) -> Expr:
        """The weight with each output channel scaled: rows, or the columns of each group if transposed."""
        if scale is None:
            return self.weight
        return scale_columns(self.weight, scale, self.groups) if self.transposed else scale_rows(self.weight, scale)

    def scale_in(self, scale: Expr | None) -> Expr:
        """The weight with each input channel scaled."""
        if scale is None:
            return self.weight
        return scale_rows(self.weight, scale) if self.transposed else scale_columns(self.weight, scale, self.groups)

    def response(self, shift: Expr) -> Expr:
        """What each output channel makes of a constant in each input channel, where every tap reads it: [o]."""
        moved = self.scale_in(shift)
        rows, columns, *taps = moved.type.concrete()
        if not self.transposed:
            return build.reduce(moved, "sum", range(1, len(taps) + 2))
        split = build.reshape(moved, (self.groups, rows // self.groups, columns, *taps))
        return build.reshape(build.reduce(split, "sum", (1, *range(3, len(taps) + 3))), (self.out_channels,))

    def operator(self, groups: int, frame: Frame, mode: str | None) -> LinearOperator:
        """The operator of the same kind with another frame."""
        if isinstance(self.op, Linear):
            return self.op
        op = replace(
            self.op,
            groups=groups,
            padding=tuple((w.before, w.after) for w in frame),
            dilation=tuple(w.dilation for w in frame),
        )
        if isinstance(op, ConvTranspose):
            return replace(op, output_padding=tuple(w.extra for w in frame))
        return replace(op, mode=mode or "constant")


def linear_view(graph: Graph, id: NodeId) -> LinearView | None:
    """The node as a linear operator with constant weights."""
    node = graph[id]
    if len(node.inputs) != 1 or node.type.dtype != FLOAT:
        return None
    weights, (source,) = node.weights, node.inputs
    if isinstance(node.op, Conv | ConvTranspose | Linear) and "weight" in weights:
        axis = node.type.rank - 1 if isinstance(node.op, Linear) else 1
        return LinearView(source, node.op, weights["weight"], weights.get("bias"), axis)
    if isinstance(node.op, MatMul) and "b" in weights and weights["b"].type.rank == 2:
        return LinearView(source, Linear(), build.permute(weights["b"], (1, 0)), None, node.type.rank - 1)
    return None


# ---------------------------------------------------------------- affine


def affine_view(graph: Graph, id: NodeId) -> AffineView | None:
    """The node as a map with constant scale and shift along one axis."""
    node = graph[id]
    view = _AFFINE.get(type(node.op))
    if view is None or len(node.inputs) != 1 or node.type != graph[node.inputs[0]].type or node.type.dtype != FLOAT:
        return None
    found = view(node, node.type)
    if found is None or found.axis is None or node.type.shape[found.axis] != 1:
        return found
    # Along an axis of size 1 a vector is a scalar, which every operator takes.
    scale, shift = (None if part is None else build.reshape(part, ()) for part in (found.scale, found.shift))
    return AffineView(found.source, None, scale, shift)


def _identity(node: Node, x: TensorType) -> AffineView:
    return AffineView(node.inputs[0])


def _affine(node: Node, x: TensorType) -> AffineView:
    assert isinstance(node.op, Affine)
    return AffineView(node.inputs[0], node.op.axis, node.weights.get("weight"), node.weights.get("bias"))


def _batch_norm(node: Node, x: TensorType) -> AffineView | None:
    """With running statistics: scale = γ / sqrt(σ² + ε), shift = β − μ · scale."""
    assert isinstance(node.op, BatchNorm)
    given = node.weights
    if "running_mean" not in given or "running_var" not in given:
        return None
    inverse = build.rsqrt(build.add(given["running_var"], build.fill((), node.op.eps)))
    scale = build.mul(given["weight"], inverse) if "weight" in given else inverse
    moved = build.mul(given["running_mean"], scale)
    shift = build.sub(given["bias"], moved) if "bias" in given else build.scale(moved, Fraction(-1))
    return AffineView(node.inputs[0], 1, scale, shift)


def _multiply(node: Node, x: TensorType) -> AffineView | None:
    (factor,) = node.weights.values()
    found = _vector(factor, x)
    return found and AffineView(node.inputs[0], found.axis, found.values)


def _depthwise(node: Node, x: TensorType) -> AffineView | None:
    """A convolution with one tap that keeps channels apart."""
    op, weight = node.op, node.weights.get("weight")
    assert isinstance(op, Conv)
    if weight is None or op.groups != x.shape[1] or prod(weight.type.concrete()) != op.groups or set(op.stride) != {1}:
        return None
    return AffineView(node.inputs[0], 1, build.reshape(weight, (op.groups,)), node.weights.get("bias"))


def _divide(node: Node, x: TensorType) -> AffineView | None:
    if "b" not in node.weights:
        return None
    found = _vector(node.weights["b"], x)
    return found and AffineView(node.inputs[0], found.axis, build.div(build.fill((), 1), found.values))


def _sum(node: Node, x: TensorType) -> AffineView | None:
    assert isinstance(node.op, Sum)
    operands = zip(node.op.coefficients, node.operands().values(), strict=True)
    scale, shift, axis = None, None, None
    for coefficient, operand in operands:
        if isinstance(operand, int):
            scale = None if coefficient == 1 else build.fill((), coefficient)
            continue
        found = _vector(operand, x)
        if found is None or (axis is not None and found.axis not in (None, axis)):
            return None
        axis = found.axis if axis is None else axis
        shift = plus(shift, build.scale(found.values, coefficient))
    return AffineView(node.inputs[0], axis, scale, shift)


@dataclass(frozen=True, eq=False, slots=True)
class _Vector:
    values: Expr
    axis: int | None


def _vector(weight: Expr, x: TensorType) -> _Vector | None:
    """A weight that broadcasts over all axes of x but one, as a vector; a scalar has no axis."""
    shape = weight.type.concrete()
    if prod(shape) == 1:
        return _Vector(build.reshape(weight, ()), None)
    axes = [x.rank - len(shape) + i for i, size in enumerate(shape) if size != 1]
    return _Vector(build.reshape(weight, (prod(shape),)), axes[0]) if len(axes) == 1 else None


_AFFINE: Mapping[type, Callable[[Node, TensorType], AffineView | None]] = {
    Affine: _affine,
    BatchNorm: _batch_norm,
    Conv: _depthwise,
    Multiply: _multiply,
    Divide: _divide,
    Sum: _sum,
    Dropout: _identity,
    Detach: _identity,
}
