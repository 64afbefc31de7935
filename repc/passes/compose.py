"""Two linear operators in a row as one: the composed kernel, and where it would differ from the two.

Output y of a convolution reads x at ``s·y + d·j − p``, so that of two in a row reads it at ``s₁s₂·y + (d₁·i + s₁d₂·j) −
(p₁ + s₁p₂)``: tap (i, j) lands at ``d₁·i + s₁d₂·j``, and the kernels multiply like polynomials.  Their product is itself
a transposed convolution, of the outer kernel with the inner one.  Two transposed convolutions compose as the
convolutions that they are the transposes of, in the other order.
"""

from __future__ import annotations

from dataclasses import replace
from math import gcd
from typing import NamedTuple

from repc.ir.expr import Expr, apply
from repc.ops import build
from repc.ops.conv import Conv, ConvTranspose
from repc.ops.linear import Linear
from repc.passes.equal import equal
from repc.passes.frames import Frame, Window
from repc.passes.kernels import gather_rows, regroup, spread_rows, swap
from repc.passes.views import LinearView, plus


class Fault(NamedTuple):
    """Why a composition is not what the two operators compute; `outer` and `inner` stand for their names."""

    reason: str
    remedy: str


def aligned(outer: LinearView, inner: LinearView) -> tuple[LinearView, LinearView] | None:
    """Both as operators of one kind, or None where no formula composes them."""
    if outer.channel_axis != inner.channel_axis or len(outer.stride) != len(inner.stride):
        return None
    if outer.transposed and inner.pointwise:
        inner = _turned(inner)
    elif inner.transposed and outer.pointwise:
        outer = _turned(outer)
    return (outer, inner) if type(outer.op) is type(inner.op) else None


def compose(outer: LinearView, inner: LinearView) -> LinearView:
    """The composition of two operators of one kind, where no `fault` says that there is none."""
    groups = gcd(outer.groups, inner.groups)
    bias = outer.bias if inner.bias is None else plus(outer.bias, outer.response(inner.bias))
    if isinstance(outer.op, Linear):
        return replace(outer, source=inner.source, weight=build.matmul(outer.weight, inner.weight), bias=bias)
    first, then = (outer, inner) if outer.transposed else (inner, outer)
    steps = [_steps(*windows) for windows in zip(first.frame, then.frame, first.stride, strict=True)]
    weight = _product(then, first, groups, steps)
    axes = zip(first.frame, then.frame, first.stride, steps, strict=True)
    frame = tuple(_window(a, b, stride, step) for a, b, stride, step in axes)
    stride = tuple(a * b for a, b in zip(outer.stride, inner.stride, strict=True))
    op = replace(outer.operator(groups, frame, inner.mode or outer.mode), stride=stride)
    return LinearView(inner.source, op, weight, bias, outer.channel_axis, inner.fill)


def fault(outer: LinearView, inner: LinearView) -> Fault | None:
    """Why the composition of two operators of one kind differs from them somewhere, or None where it is exact."""
    if isinstance(outer.op, ConvTranspose):
        return _transposed_fault(outer, inner)
    if outer.mode is None or (outer.mode != "constant" and inner.pointwise):
        return None
    if outer.mode != "constant" or inner.mode not in (None, "constant") or inner.fill is not None:
        return Fault("{outer} and {inner} pad in two ways", "pad once, before {inner}")
    if not all(_leaves(i, stride, o) for i, o, stride in zip(inner.frame, outer.frame, inner.stride, strict=True)):
        reason = "beyond the border {outer} reads its padding, where {inner} would go on reading its input"
        return Fault(reason + _reach(outer), "pad before {inner} as much as both need, and not in between")
    if equal(outer.fill, inner.bias):
        return None
    if outer.fill is None:
        reason = "{outer} reads zeros beyond the border, where {inner} would have put its bias"
        return Fault(reason + _reach(outer), "pad before {inner}, pad with its bias, or leave its bias out")
    reason = "{outer} pads with another value than the bias of {inner}, which is what it makes of zeros"
    return Fault(reason + _reach(outer), "pad before {inner}, or with its bias")


def _transposed_fault(outer: LinearView, inner: LinearView) -> Fault | None:
    if outer.pointwise:
        return None
    if inner.bias is not None:
        reason = "not every output of {outer} reads the bias of {inner} through every tap"
        return Fault(reason, "leave the bias of {inner} out")
    if any(window.before or window.after or window.extra for window in inner.frame):
        reason = "{inner} cuts its result before {outer} reads it"
        return Fault(reason, "cut behind {outer} as much as both need, and not in between")
    return None


def _leaves(inner: Window, stride: int, outer: Window) -> bool:
    """Whether the inner window, where it stands in the padding of the outer one, reads padding only."""
    before = not outer.before or inner.last < stride
    return before and (not outer.after or inner.last + inner.before <= inner.after)


def _reach(outer: LinearView) -> str:
    """How far from the border the difference shows."""
    axes = zip(outer.frame, outer.stride, strict=True)
    widths = [-(-max(window.before, window.after) // stride) for window, stride in axes]
    return f"; up to {max(widths)} from the border the result would be wrong"


def _steps(first: Window, then: Window, stride: int) -> tuple[int, int, int]:
    """How far apart the taps of the composed window are, and in these steps those of the outer and the inner one."""
    apart, inner = stride * then.dilation, first.dilation
    step = gcd(*([apart] if then.taps > 1 else []), *([inner] if first.taps > 1 else [])) or 1
    return step, apart // step if then.taps > 1 else 1, inner // step if first.taps > 1 else 1


def _window(first: Window, then: Window, stride: int, steps: tuple[int, int, int]) -> Window:
    step, outer, inner = steps
    return Window(
        outer * (then.taps - 1) + inner * (first.taps - 1) + 1,
        first.before + stride * then.before,
        first.after + stride * then.after,
        step,
        first.extra + stride * then.extra,
    )


def _product(outer: LinearView, inner: LinearView, groups: int, steps: list[tuple[int, int, int]]) -> Expr:
    """(o, c / groups, taps…) of (o, m / groups₂, k…) and (m, c / groups₁, l…): Σ over m, and over equal places."""
    left, right = regroup(outer.weight, outer.groups, groups), regroup(inner.weight, inner.groups, groups)
    nothing = ((0, 0),) * len(steps)
    apart, between = tuple(step[1] for step in steps), tuple(step[2] for step in steps)
    op = ConvTranspose(apart, nothing, between, groups, (0,) * len(steps))
    return gather_rows(apply(op, x=spread_rows(left, groups), weight=right), groups)


def _turned(view: LinearView) -> LinearView:
    """A pointwise convolution as a transposed one, or the other way round, which differ in the order of the axes."""
    rank = len(view.stride)
    ones, nothing = (1,) * rank, ((0, 0),) * rank
    weight = swap(view.weight, view.groups)
    if view.transposed:
        return replace(view, op=Conv(ones, nothing, ones, view.groups), weight=weight)
    return replace(view, op=ConvTranspose(ones, nothing, ones, view.groups, (0,) * rank), weight=weight)
