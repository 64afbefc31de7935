"""One linear operator in the place of two that follow each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import gcd, prod

from repc.ir.expr import Expr, apply
from repc.ops import build
from repc.ops.conv import Conv, ConvTranspose
from repc.ops.linear import Einsum, Linear
from repc.passes.frames import Frame, Window
from repc.passes.kernels import regroup
from repc.passes.views import LinearView, plus

ZEROS = "reads zeros beyond the border, where {inner} would have put {what}"


def obstacle(outer: LinearView, inner: LinearView, *, bordered: bool) -> tuple[str, str] | None:
    """Why two operators in a row are not one: a reason, in which ``{inner}`` and ``{outer}`` are named, and a remedy.

    `bordered` says that the outer one pads with what the inner one makes of zeros, so that nothing shows at the border.
    """
    if outer.channel_axis != inner.channel_axis or len(outer.frame) != len(inner.frame):
        return "{inner} and {outer} act on different axes", "permute the channels onto one axis"
    if isinstance(outer.op, Linear):
        return None
    if outer.transposed or inner.transposed:
        return _transposed_obstacle(outer, inner)
    if not any(w.before or w.after for w in outer.frame):
        return None
    if not _pointwise(inner):
        what = "values that it makes of padding"
        return "{outer} " + ZEROS.format(inner="{inner}", what=what), "move all padding in front of {inner}"
    if outer.mode == "constant" and inner.bias is not None and not bordered:
        return "{outer} " + ZEROS.format(inner="{inner}", what="its bias"), "pad before {inner}, or leave its bias out"
    if outer.mode != "constant" and inner.stride != (1,) * len(inner.stride):
        return "{outer} repeats values that {inner} has skipped between", "give {inner} the stride 1"
    return None


def _transposed_obstacle(outer: LinearView, inner: LinearView) -> tuple[str, str] | None:
    """A transposed convolution composes with a pointwise one on either side."""
    one = inner if outer.transposed else outer
    if one.transposed or not _pointwise(one) or set(one.stride) != {1}:
        return "{outer} does not compose with {inner}", "only a 1x1 convolution of stride 1 joins a transposed one"
    if outer.transposed and inner.bias is not None:
        return "{outer} spreads the bias of {inner}, less of it at the border", "leave the bias of {inner} out"
    return None


def _pointwise(view: LinearView) -> bool:
    return all(w.taps == 1 and not w.before and not w.after for w in view.frame)


def compose(outer: LinearView, inner: LinearView) -> LinearView:
    """The operator ``outer(inner(x))``, where `obstacle` has none.

    Tap (a, i) of kernels K₁ and K₂ lands at ``d₁·a + s₁·d₂·i``: the kernel is K₁ spread by K₂, a transposed
    convolution.  The bias is ``b₂ + Σ K₂·b₁``.
    """
    bias = outer.bias if inner.bias is None else plus(outer.response(inner.bias), outer.bias)
    groups = gcd(outer.groups, inner.groups)
    first = regroup(inner.weight, inner.groups, groups)
    second = regroup(outer.weight, outer.groups, groups)
    if isinstance(outer.op, Linear):
        return replace(outer, source=inner.source, weight=build.matmul(second, first), bias=bias)
    if outer.transposed:
        weight = _join("gmc,gmok->gcok", first, second, groups)
        return replace(outer, source=inner.source, op=_grouped(outer.op, groups), weight=weight, bias=bias)
    if inner.transposed:
        weight = _join("gick,gpc->gipk", first, second, groups)
        return replace(inner, op=_grouped(inner.op, groups), weight=weight, bias=bias)
    frame = tuple(map(_window, outer.frame, inner.frame, inner.stride))
    op = Conv(
        stride=tuple(a * b for a, b in zip(outer.stride, inner.stride, strict=True)),
        padding=tuple((w.before, w.after) for w in frame),
        dilation=tuple(w.dilation for w in frame),
        groups=groups,
        mode=outer.mode or inner.mode or "constant",
    )
    weight = _spread(first, second, outer, inner, frame, groups)
    return LinearView(inner.source, op, weight, bias, inner.channel_axis)


def _window(outer: Window, inner: Window, stride: int) -> Window:
    """One axis: where the taps of both land, and the padding of the one that pads, counted in elements of the input."""
    steps = [inner.dilation] * (inner.taps > 1) + [stride * outer.dilation] * (outer.taps > 1)
    dilation = gcd(*steps) or 1
    reach = inner.dilation * (inner.taps - 1) + stride * outer.dilation * (outer.taps - 1)
    before, after = (inner.before + stride * outer.before, inner.after + stride * outer.after)
    return Window(reach // dilation + 1, before, after, dilation)


def _spread(first: Expr, second: Expr, outer: LinearView, inner: LinearView, frame: Frame, groups: int) -> Expr:
    """The composed kernel [o, c / groups, k…]."""
    axes = list(zip(outer.frame, inner.frame, inner.stride, frame, strict=True))
    op = ConvTranspose(
        stride=tuple(i.dilation // w.dilation if i.taps > 1 else 1 for _, i, _, w in axes),
        padding=((0, 0),) * len(axes),
        dilation=tuple(s * o.dilation // w.dilation if o.taps > 1 else 1 for o, _, s, w in axes),
        groups=groups,
        output_padding=(0,) * len(axes),
    )
    order = (1, 0, *range(2, first.type.rank))
    rows, middle, *taps = second.type.concrete()
    # Of each group, the middle channels in rows and the outputs in columns.
    split = build.reshape(second, (groups, rows // groups, middle, *taps))
    turned = build.permute(split, (0, 2, 1, *range(3, split.type.rank)))
    flat = build.reshape(turned, (groups * middle, rows // groups, *taps))
    return build.permute(apply(op, x=build.permute(first, order), weight=flat), order)


def _join(equation: str, first: Expr, second: Expr, groups: int) -> Expr:
    """Weights of a pointwise and a transposed convolution, contracted over the channels in between, group by group.

    Both have their rows in groups; the result has those of a transposed convolution, [c, o / groups, k…].
    """
    taps = max((expr.type.concrete()[2:] for expr in (first, second)), key=prod)
    letters = equation.partition("->")[0].split(",")
    parts = [_flat(expr, groups, word) for expr, word in zip((first, second), letters, strict=True)]
    joined = apply(Einsum(equation), a=parts[0], b=parts[1])
    _, rows, columns, _ = joined.type.concrete()
    return build.reshape(joined, (groups * rows, columns, *taps))


def _flat(weight: Expr, groups: int, word: str) -> Expr:
    rows, columns, *taps = weight.type.concrete()
    shape: Sequence[int] = (groups, rows // groups, columns, prod(taps))
    return build.reshape(weight, shape[: len(word)])


def _grouped(op: Conv | ConvTranspose | Linear, groups: int) -> Conv | ConvTranspose | Linear:
    return op if isinstance(op, Linear) else replace(op, groups=groups)
