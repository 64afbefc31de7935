"""Random layers: every rank, kernel, padding, stride, dilation and grouping that is legal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from repc.ir.node import NodeId
from tests.passes.build import Net

Draw = Callable[[st.SearchStrategy[Any]], Any]
MODES = ("constant", "constant", "reflect", "replicate", "circular")
quick = settings(max_examples=40, deadline=None)


@dataclass
class Geometry:
    """What parallel branches have in common."""

    net: Net
    x: NodeId
    rank: int
    stride: int
    channels: int
    out: int


def geometry(
    draw: Draw, ranks: tuple[int, int] = (1, 3), strides: tuple[int, int] = (1, 2), sizes: tuple[int, int] = (6, 8)
) -> Geometry:
    """A random input (n, c, spatial…), wide enough for every branch, and what is to be made of it."""
    rank = draw(st.integers(*ranks))
    net = Net(draw(st.integers(0, 99)))
    channels, out = draw(st.sampled_from([(4, 4), (6, 6), (4, 8), (6, 4)]))
    x = net.input(2, channels, *(draw(st.integers(*sizes)) for _ in range(rank)))
    return Geometry(net, x, rank, draw(st.integers(*strides)), channels, out)


def groups(draw: Draw, g: Geometry) -> int:
    return draw(st.sampled_from([n for n in (1, 2, 3, 4, 6) if g.channels % n == 0 and g.out % n == 0]))


def conv(draw: Draw, g: Geometry, path: str, surplus: int, mode: str = "constant") -> NodeId:
    """A convolution whose padding exceeds its reach by `surplus` in all, so that all branches have one output size."""
    kernel, dilation, padding = window(draw, g.rank, surplus, mode)
    return g.net.conv(
        g.x,
        path,
        g.out,
        kernel,
        padding=padding,
        stride=g.stride,
        dilation=dilation,
        groups=groups(draw, g),
        mode=mode,
        bias=draw(st.booleans()),
    )


def window(draw: Draw, rank: int, surplus: int, mode: str) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """Even, rectangular and dilated kernels, with padding that need not be symmetric."""
    kernel, dilation, padding = list[int](), list[int](), list[tuple[int, int]]()
    for _ in range(rank):
        taps, step = draw(st.sampled_from([(1, 1), (1, 2), (2, 1), (3, 1), (2, 2), (3, 2), (4, 1), (5, 1)]))
        reach = step * (taps - 1)
        if reach + surplus < 0:
            taps, step, reach = 3, 1, 2
        before = draw(st.integers(0, reach + surplus))
        kernel.append(taps)
        dilation.append(step)
        padding.append((before, reach + surplus - before))
    return kernel, dilation, padding


def conv_transpose(draw: Draw, g: Geometry, path: str, surplus: int, extra: int) -> NodeId:
    """A transposed convolution that cuts `surplus` less than its reach."""
    kernel, dilation, padding = window(draw, g.rank, -surplus, "constant")
    padding = [(before, after + extra) for before, after in padding]
    return g.net.conv_transpose(
        g.x,
        path,
        g.out,
        kernel,
        padding=padding,
        stride=g.stride,
        dilation=dilation,
        groups=groups(draw, g),
        extra=extra,
        bias=draw(st.booleans()),
    )


def affine(draw: Draw, net: Net, x: NodeId, path: str, axis: int = 1) -> NodeId:
    """One of the operators that scale and shift along an axis."""
    kind = draw(st.sampled_from(["batch_norm", "plain_norm", "affine", "scale", "shift"]))
    if axis == 1 and "norm" in kind:
        return net.batch_norm(x, path, affine=kind == "batch_norm")
    return net.affine(x, path, axis, scale=kind != "shift", shift=kind != "scale")
