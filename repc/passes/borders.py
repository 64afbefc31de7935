"""How far from the border, and by how much, a fold across zero padding would be wrong."""

from __future__ import annotations

from repc.ir.expr import Expr, apply
from repc.ops import build
from repc.passes.views import LinearView

MAPPED = "pin the sizes and set border_maps = true"
"""The remedy that makes up for any border that is off by a constant."""


def reach(view: LinearView) -> str:
    """How far from the border an operator reads its padding, in words."""
    axes = zip(view.frame, view.stride, strict=True)
    widths = [-(-max(window.before, window.after) // stride) for window, stride in axes]
    return f"; up to {max(widths)} from the border the result would be wrong"


def missing(view: LinearView, shift: Expr) -> Expr:
    """What a convolution lacks where it reads zeros instead of a constant in each input channel: (1, o, spatial…).

    It is made for a value that is just so large that the borders do not meet.
    """
    rank, channels = len(view.frame), view.weight.type.concrete()[1] * view.groups
    sizes = [2 * window.dilation * (window.taps - 1) + 1 for window in view.frame]
    constant = build.expand(shift, (channels,))
    spread = build.expand(build.reshape(constant, (1, channels, *[1] * rank)), (1, channels, *sizes))
    everywhere = build.reshape(view.response(constant), (1, view.out_channels, *[1] * rank))
    return build.sub(everywhere, apply(view.op, x=spread, weight=view.weight))
