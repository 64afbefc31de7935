"""Convolutions and pools: what slides over the spatial axes."""

from __future__ import annotations

from collections.abc import Sequence

from repc.importers.onnx.site import Site
from repc.importers.onnx.values import Misfit, Operand
from repc.ir.dims import Dim
from repc.ops.conv import Conv, ConvTranspose
from repc.ops.padding import Pairs
from repc.ops.pool import AdaptiveAvgPool, AvgPool, MaxPool
from repc.ops.reduce import Reduce
from repc.ops.windows import Ints


def conv(site: Site) -> Operand:
    """Conv."""
    x, weight = site[0], site[1]
    kernel = site.type(weight).concrete()[2:]
    stride, dilation = spatial(site, "strides", len(kernel)), spatial(site, "dilations", len(kernel))
    padding = pads(site, site.type(x).shape[2:], kernel, stride, dilation)
    op = Conv(stride, padding, dilation, site.attribute("group", 1))
    return site.add(op, x=x, weight=weight, bias=site.optional(2))


def conv_transpose(site: Site) -> Operand:
    """ConvTranspose; a size that is asked for would have to be turned into padding first."""
    x, weight = site[0], site[1]
    site.only(auto_pad="NOTSET", output_shape=None)
    kernel = site.type(weight).concrete()[2:]
    op = ConvTranspose(
        spatial(site, "strides", len(kernel)),
        pads(site, (), kernel, (), ()),
        spatial(site, "dilations", len(kernel)),
        site.attribute("group", 1),
        spatial(site, "output_padding", len(kernel), 0),
    )
    return site.add(op, x=x, weight=weight, bias=site.optional(2))


def max_pool(site: Site) -> Operand:
    """MaxPool without the indices."""
    x, kernel = site[0], tuple(site.attribute("kernel_shape"))
    stride, dilation = spatial(site, "strides", len(kernel)), spatial(site, "dilations", len(kernel))
    padding = pads(site, site.type(x).shape[2:], kernel, stride, dilation)
    return site.add(MaxPool(kernel, stride, padding, dilation, bool(site.attribute("ceil_mode", 0))), x=x)


def average_pool(site: Site) -> Operand:
    """AveragePool; whether what `ceil_mode` adds counts as padding differs between versions."""
    x, kernel = site[0], tuple(site.attribute("kernel_shape"))
    stride, ceil = spatial(site, "strides", len(kernel)), bool(site.attribute("ceil_mode", 0))
    site.only(dilations=[1] * len(kernel))
    padding = pads(site, site.type(x).shape[2:], kernel, stride, (1,) * len(kernel))
    counted = bool(site.attribute("count_include_pad", 0)) and any(map(any, padding))
    if ceil and counted:
        raise Misfit("ceil_mode and count_include_pad together, which runtimes read in two ways")
    return site.add(AvgPool(kernel, stride, padding, ceil, counted), x=x)


def global_average_pool(site: Site) -> Operand:
    """GlobalAveragePool."""
    x = site[0]
    return site.add(AdaptiveAvgPool((1,) * (site.type(x).rank - 2)), x=x)


def global_max_pool(site: Site) -> Operand:
    """GlobalMaxPool."""
    x = site[0]
    return site.add(Reduce("max", tuple(range(2, site.type(x).rank)), keep=True), x=x)


def spatial(site: Site, name: str, rank: int, default: int = 1) -> Ints:
    """An attribute with an entry for each spatial axis."""
    return tuple(site.attribute(name, [default] * rank))


def pads(site: Site, sizes: Sequence[Dim], kernel: Ints, stride: Ints, dilation: Ints) -> Pairs:
    """(before, after) for each spatial axis, as they are listed or as `auto_pad` chooses them."""
    mode, rank = site.attribute("auto_pad", "NOTSET"), len(kernel)
    if mode == "VALID":
        return ((0, 0),) * rank
    if mode == "NOTSET":
        listed = site.attribute("pads", [0] * 2 * rank)
        return tuple(zip(listed[:rank], listed[rank:], strict=True))
    return tuple(
        _same(size, k, s, d, upper=mode == "SAME_UPPER")
        for size, k, s, d in zip(sizes, kernel, stride, dilation, strict=True)
    )


def _same(size: Dim, kernel: int, stride: int, dilation: int, *, upper: bool) -> tuple[int, int]:
    """As much padding as leaves ⌈size / stride⌉ windows, an odd one at the end if `upper`."""
    reach = dilation * (kernel - 1) + 1
    if stride == 1:
        total = reach - 1
    elif isinstance(size, int):
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    else:
        raise Misfit(f"auto_pad, which depends on the size {size}")
    less, more = total // 2, total - total // 2
    return (less, more) if upper else (more, less)
