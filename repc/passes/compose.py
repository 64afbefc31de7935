"""Two linear operators in a row as one: the composed kernel, and where it would differ from the two.

Output y of a convolution reads x at ``s·y + d·j − p``, so that of two in a row reads it at
``s₁s₂·y + (d₁·i + s₁d₂·j) − (p₁ + s₁p₂)``: tap (i, j) lands at ``d₁·i + s₁d₂·j``, and the kernels multiply like
polynomials.  Their product is itself a transposed convolution, of the outer kernel with the inner one.  Two transposed
convolutions compose as the convolutions that they are the transposes of, in the other order.
"""

from __future__ import annotations

from dataclasses import replace
from math import gcd
from typing import NamedTuple

from repc.ir.expr import Expr, Param, apply
from repc.ir.types import TensorType
from repc.ops import build
from repc.ops.conv import Conv, ConvTranspose
from repc.ops.linear import Linear
from repc.passes.borders import MAPPED, reach
from repc.passes.equal import equal
from repc.passes.frames import Window
from repc.passes.kernels import flip, gather_rows, regroup, spread_rows, swap
from repc.passes.views import LinearView, plus


class Fault(NamedTuple):
    """Why a composition is not what the two operators compute; `outer` and `inner` stand for their names.

    `constant` says that the difference is the same for every input.
    """

    reason: str
    remedy: str
    constant: bool = False


def aligned(outer: LinearView, inner: LinearView) -> tuple[LinearView, LinearView] | None:
    """Both as operators of one kind, or None where no formula composes them."""
    if outer.channel_axis != inner.channel_axis or len(outer.stride) != len(inner.stride):
        return None
    if outer.transposed == inner.transposed:
        return outer, inner
    turned = _turned(outer), _turned(inner)
    return None if turned[0] is None or turned[1] is None else (turned[0], turned[1])


def compose(outer: LinearView, inner: LinearView) -> LinearView:
    """The composition of two operators of one kind, where no `fault` says that there is none."""
    found = outline(outer, inner)
    bias = outer.bias if inner.bias is None else plus(outer.bias, outer.response(inner.bias))
    if isinstance(found.op, Linear):
        return replace(found, weight=build.matmul(outer.weight, inner.weight), bias=bias)
    first, then = (outer, inner) if outer.transposed else (inner, outer)
    steps = [_steps(*axis) for axis in zip(first.frame, then.frame, first.stride, strict=True)]
    return replace(found, weight=_product(then, first, found.groups, steps), bias=bias)


def outline(outer: LinearView, inner: LinearView) -> LinearView:
    """The composition with blanks for its weight and bias: all that is needed to weigh it, and made in no time."""
    bias = None if outer.bias is inner.bias is None else _blank(outer.out_channels)
    rows, (columns, *_) = outer.weight.type.concrete()[0], inner.weight.type.concrete()[1:]
    if isinstance(outer.op, Linear):
        return replace(outer, source=inner.source, weight=_blank(rows, columns), bias=bias)
    groups = gcd(outer.groups, inner.groups)
    first, then = (outer, inner) if outer.transposed else (inner, outer)
    frame = tuple(_window(*axis) for axis in zip(first.frame, then.frame, first.stride, strict=True))
    if outer.transposed:
        rows, columns = inner.weight.type.concrete()[0], outer.out_channels // groups
    else:
        columns = columns * inner.groups // groups
    weight = _blank(rows, columns, *(window.taps for window in frame))
    stride = tuple(a * b for a, b in zip(outer.stride, inner.stride, strict=True))
    op = replace(outer.operator(groups, frame, inner.mode or outer.mode), stride=stride)
    return LinearView(inner.source, op, weight, bias, outer.channel_axis, inner.fill)


def _blank(*shape: int) -> Expr:
    return Param("", TensorType(shape))


def fault(outer: LinearView, inner: LinearView) -> Fault | None:
    """Why the composition of two operators of one kind differs from them somewhere, or None where it is exact."""
    if isinstance(outer.op, ConvTranspose):
        return _transposed_fault(outer, inner)
    if outer.mode is None or (outer.mode != "constant" and inner.pointwise):
        return None
    if all(width <= 0 for window in outer.frame for width in (window.before, window.after)):
        return None  # cropping reads nothing beyond the border
    if outer.mode != "constant" or inner.mode not in (None, "constant") or inner.fill is not None:
        return Fault("{outer} and {inner} pad in two ways", "pad once, before {inner}")
    if not all(_leaves(i, stride, o) for i, o, stride in zip(inner.frame, outer.frame, inner.stride, strict=True)):
        reason = "beyond the border {outer} reads its padding, where {inner} would go on reading its input"
        return Fault(reason + reach(outer), "pad before {inner} as much as both need, and not in between")
    if equal(outer.fill, inner.bias):
        return None
    if outer.fill is None:
        reason = "{outer} reads zeros beyond the border, where {inner} would have put its bias"
        remedy = f"pad before {{inner}} or with its bias, leave its bias out, or {MAPPED}"
        return Fault(reason + reach(outer), remedy, constant=True)
    reason = "{outer} pads with another value than the bias of {inner}, which is what it makes of zeros"
    return Fault(reason + reach(outer), "pad before {inner}, or with its bias")


def _transposed_fault(outer: LinearView, inner: LinearView) -> Fault | None:
    found = outline(outer, inner)
    if any(w.extra >= max(stride, w.dilation) for w, stride in zip(found.frame, found.stride, strict=True)):
        return Fault("{outer} and {inner} in one would need more output padding than there is", "use less in {outer}")
    reaches = (window.before + window.last for window in outer.frame)
    cuts = (min(window.before, window.after - window.extra) for window in outer.frame)
    if set(outer.stride) == {1} and all(cut >= reach for cut, reach in zip(cuts, reaches, strict=True)):
        return None  # it reads all that is there through every tap, as a convolution that does not pad
    if any(window.before or window.after or window.extra for window in inner.frame):
        reason = "{inner} cuts its result before {outer} reads it"
        return Fault(reason, "cut behind {outer} as much as both need, and not in between")
    if inner.bias is not None:
        reason = "not every output of {outer} reads the bias of {inner} through every tap"
        remedy = f"leave the bias of {{inner}} out, or {MAPPED}"
        return Fault(reason, remedy, constant=True)
    return None


def _leaves(inner: Window, stride: int, outer: Window) -> bool:
    """Whether the inner window, where it stands in the padding of the outer one, reads padding only."""
    before = outer.before <= 0 or inner.last < stride
    return before and (outer.after <= 0 or inner.last + inner.before <= inner.after)


def _steps(first: Window, then: Window, stride: int) -> tuple[int, int, int]:
    """How far apart the taps of the composed window are, and in these steps those of the second and the first one."""
    apart, between = stride * then.dilation * (then.taps > 1), first.dilation * (first.taps > 1)
    step = gcd(apart, between) or 1
    return step, apart // step or 1, between // step or 1


def _window(first: Window, then: Window, stride: int) -> Window:
    step, apart, between = _steps(first, then, stride)
    return Window(
        apart * (then.taps - 1) + between * (first.taps - 1) + 1,
        first.before + stride * then.before,
        first.after + stride * then.after,
        step,
        first.extra + stride * then.extra,
    )


def _product(outer: LinearView, inner: LinearView, groups: int, steps: list[tuple[int, int, int]]) -> Expr:
    """(o, c / groups, taps…) of (o, m / groups₂, k…) and (m, c / groups₁, l…): Σ over m, and over equal places."""
    left, right = regroup(outer.weight, outer.groups, groups), regroup(inner.weight, inner.groups, groups)
    _, apart, between = zip(*steps, strict=True)
    op = ConvTranspose(apart, ((0, 0),) * len(steps), between, groups, (0,) * len(steps))
    return gather_rows(apply(op, x=spread_rows(left, groups), weight=right), groups)


def as_convolution(view: LinearView) -> LinearView | None:
    """A transposed convolution with stride 1 as a convolution, which reads through the taps in the other order.

    What it does not cut of the reach of its kernel is padded; where it cuts more, there is none.
    """
    pads = tuple((w.last, w.last + w.before - w.after + w.extra) for w in view.frame)
    if not view.transposed or set(view.stride) != {1} or min(map(min, pads)) < 0:
        return None
    op = Conv((1,) * len(pads), pads, tuple(w.dilation for w in view.frame), view.groups)
    return replace(view, op=op, weight=flip(swap(view.weight, view.groups)))


def _turned(view: LinearView) -> LinearView | None:
    """A convolution with stride 1 as a transposed one, which writes through the taps in the other order.

    What it does not pad of the reach of its kernel is cut.
    """
    if isinstance(view.op, ConvTranspose):
        return view
    cuts = tuple((w.last, w.last + w.before - w.after) for w in view.frame)
    if set(view.stride) != {1} or view.mode not in (None, "constant") or view.fill or min(map(min, cuts)) < 0:
        return None
    rank = len(cuts)
    op = ConvTranspose((1,) * rank, cuts, tuple(w.dilation for w in view.frame), view.groups, (0,) * rank)
    return replace(view, op=op, weight=flip(swap(view.weight, view.groups)))
