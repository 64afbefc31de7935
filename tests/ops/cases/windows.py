"""Convolutions and pools."""

from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from repc.ops import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, Conv, ConvTranspose, MaxPool
from tests.ops.cases.case import Case, Draw, flag, integers, optional, several, tensor

CONV = (F.conv1d, F.conv2d, F.conv3d)
CONV_TRANSPOSE = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
MAX_POOL = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
AVG_POOL = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)
ADAPTIVE = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
ADAPTIVE_MAX = (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)


def symmetric(pairs):
    return all(before == after for before, after in pairs)


def flat(pairs):
    """Widths as torch's pad takes them: the last axis first."""
    return [width for pair in reversed(pairs) for width in pair]


@st.composite
def conv(draw: Draw) -> Case:
    rank, groups = integers(draw, 1, 3), integers(draw, 1, 3)
    mode = draw(st.sampled_from(("constant", "constant", "reflect", "replicate", "circular")))
    kernel, stride = several(draw, rank, 1, 4 if rank < 3 else 3), several(draw, rank, 1, 3)
    dilation = several(draw, rank, 1, 3)
    before = several(draw, rank, 0, 2)
    padding = tuple(zip(before, before if flag(draw) else several(draw, rank, 0, 2), strict=True))
    sizes = [
        max(step * (k - 1) + 1 - sum(pair), max(pair) + (mode != "constant"), 1) + extra
        for k, step, pair, extra in zip(kernel, dilation, padding, several(draw, rank, 0, 4), strict=True)
    ]
    per_group, out = integers(draw, 1, 2), groups * integers(draw, 1, 2)
    x, weight = tensor(draw, integers(draw, 1, 2), groups * per_group, *sizes), tensor(draw, out, per_group, *kernel)
    bias = optional(draw, "bias", out)
    settings = {"bias": bias.get("bias"), "stride": stride, "dilation": dilation, "groups": groups}
    if mode == "constant" and symmetric(padding):
        expected = CONV[rank - 1](x, weight, padding=[before for before, _ in padding], **settings)
    else:
        expected = CONV[rank - 1](F.pad(x, flat(padding), mode), weight, **settings)
    op = Conv(stride, padding, dilation, groups, mode)
    return Case(op, {"x": x, "weight": weight, **bias}, expected, {"x": (0, *range(2, rank + 2))})


@st.composite
def conv_transpose(draw: Draw) -> Case:
    rank, groups = integers(draw, 1, 3), integers(draw, 1, 3)
    kernel, stride, dilation = several(draw, rank, 1, 3), several(draw, rank, 1, 3), several(draw, rank, 1, 3)
    output_padding = tuple(integers(draw, 0, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True))
    before = several(draw, rank, 0, 2)
    padding = tuple(zip(before, before if flag(draw) else several(draw, rank, 0, 2), strict=True))
    sizes = [integers(draw, 1, 3) + sum(pair) for pair in padding]
    channels, per_group = groups * integers(draw, 1, 2), integers(draw, 1, 2)
    x, weight = tensor(draw, integers(draw, 1, 2), channels, *sizes), tensor(draw, channels, per_group, *kernel)
    bias = optional(draw, "bias", per_group * groups)
    settings = {"bias": bias.get("bias"), "stride": stride, "dilation": dilation, "groups": groups}
    settings["output_padding"] = output_padding
    if symmetric(padding):
        expected = CONV_TRANSPOSE[rank - 1](x, weight, padding=before, **settings)
    else:
        expected = CONV_TRANSPOSE[rank - 1](x, weight, **settings)
        for axis, (low, high) in enumerate(padding, start=2):
            expected = expected.narrow(axis, low, expected.shape[axis] - low - high)
    op = ConvTranspose(stride, padding, dilation, groups, output_padding)
    return Case(op, {"x": x, "weight": weight, **bias}, expected, {"x": (0, *range(2, rank + 2))})


def pool_window(draw: Draw, rank: int, max_dilation: int):
    """Kernel, stride, padding, dilation and input sizes that torch accepts."""
    kernel, stride = several(draw, rank, 1, 4), several(draw, rank, 1, 4)
    dilation = several(draw, rank, 1, max_dilation)
    extents = [step * (size - 1) + 1 for size, step in zip(kernel, dilation, strict=True)]
    before = [integers(draw, 0, size // 2) for size in kernel]
    after = before if flag(draw) else [integers(draw, 0, size // 2) for size in kernel]
    sizes = [extent + extra for extent, extra in zip(extents, several(draw, rank, 0, 5), strict=True)]
    return kernel, stride, tuple(zip(before, after, strict=True)), dilation, sizes


@st.composite
def max_pool(draw: Draw) -> Case:
    rank, ceil = integers(draw, 1, 3), flag(draw)
    kernel, stride, padding, dilation, sizes = pool_window(draw, rank, 2)
    x, pool = tensor(draw, 2, 2, *sizes), MAX_POOL[rank - 1]
    if symmetric(padding):
        before = [before for before, _ in padding]
        expected = pool(x, kernel, stride, before, dilation, ceil_mode=ceil)
    else:
        ceil = False
        expected = pool(F.pad(x, flat(padding), value=-float("inf")), kernel, stride, 0, dilation)
    return Case(MaxPool(kernel, stride, padding, dilation, ceil), {"x": x}, expected, {"x": range(rank + 2)})


@st.composite
def avg_pool(draw: Draw) -> Case:
    rank, ceil, count_include_pad = integers(draw, 1, 3), flag(draw), flag(draw)
    kernel, stride, padding, _, sizes = pool_window(draw, rank, 1)
    x, pool = tensor(draw, 2, 2, *sizes), AVG_POOL[rank - 1]
    if symmetric(padding):
        before = [before for before, _ in padding]
        expected = pool(x, kernel, stride, before, ceil, count_include_pad)
    else:
        ceil = False
        inside = F.pad(x * 0 + 1, flat(padding), value=float(count_include_pad))
        expected = pool(F.pad(x, flat(padding)), kernel, stride) / pool(inside, kernel, stride)
    return Case(AvgPool(kernel, stride, padding, ceil, count_include_pad), {"x": x}, expected, {"x": range(rank + 2)})


@st.composite
def adaptive_avg_pool(draw: Draw) -> Case:
    rank = integers(draw, 1, 3)
    output = several(draw, rank, 1, 5)
    x = tensor(draw, 2, 2, *several(draw, rank, 1, 9))
    free = [0, 1, *(axis for axis, count in enumerate(output, start=2) if count == 1)]
    return Case(AdaptiveAvgPool(output), {"x": x}, ADAPTIVE[rank - 1](output)(x), {"x": free})


@st.composite
def adaptive_max_pool(draw: Draw) -> Case:
    rank = integers(draw, 1, 3)
    output = several(draw, rank, 1, 5)
    x = tensor(draw, 2, 2, *several(draw, rank, 1, 9))
    free = [0, 1, *(axis for axis, count in enumerate(output, start=2) if count == 1)]
    return Case(AdaptiveMaxPool(output), {"x": x}, ADAPTIVE_MAX[rank - 1](output)(x), {"x": free})


CASES = {
    Conv: conv(),
    ConvTranspose: conv_transpose(),
    MaxPool: max_pool(),
    AvgPool: avg_pool(),
    AdaptiveAvgPool: adaptive_avg_pool(),
    AdaptiveMaxPool: adaptive_max_pool(),
}
