"""Windows that overlap, as tensors: taken out of one, and added up into one."""

from __future__ import annotations

from collections.abc import Sequence

from repc.importers.torch.site import Site, Unknown, Value, axis_of
from repc.importers.torch.table.linear import equal_sides, every
from repc.ir.dims import Dim
from repc.ir.types import TensorType
from repc.ops import ConvTranspose, Expand, Eye, Pad, Take
from repc.ops.windows import Ints


def unfold(at: Site, x: Value, axis: int, size: int, step: int) -> Value:
    """``x.unfold``: windows along an axis, with their elements in a new last one."""
    axis = axis_of(x, axis)
    y = _spread(at, x, axis, (at.result.shape[axis], step), (size, 1))
    return at.permute(y, [*(i for i in range(y.type.rank) if i != axis + 1), axis + 1])


def im2col(
    at: Site, x: Value, kernel: Sequence[int], dilation: Sequence[int], padding: Sequence[int], stride: Sequence[int]
) -> Value:
    """``F.unfold``: every tap of a window over an image is a channel, and every window a position."""
    lead = x.type.rank - 2
    if any(padding):
        x = at.add(Pad((*((0, 0),) * lead, *equal_sides(every(padding, 2)))), x=x)
    sizes = _image(x.type)
    taps, steps, gaps = every(kernel, 2), every(stride, 2), every(dilation, 2)
    counts = _counts(sizes, taps, steps, gaps)
    for axis in (1, 0):
        x = _spread(at, x, lead + axis, (taps[axis], gaps[axis]), (counts[axis], steps[axis]))
    y = at.permute(x, (*range(lead), lead, lead + 2, lead + 1, lead + 3))
    return at.reshape(y, at.result.shape)


def col2im(
    at: Site,
    x: Value,
    size: Sequence[Dim],
    kernel: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[int],
    stride: Sequence[int],
) -> Value:
    """``F.fold``, the transpose of `im2col`: a depthwise transposed convolution that puts every tap at its place."""
    taps, steps, gaps, sides = (every(given, 2) for given in (kernel, stride, dilation, padding))
    *batch, channels, _, _ = at.result.shape
    if not isinstance(channels, int):
        raise Unknown(f"windows added up to {at.result}")
    wide = tuple(size + 2 * pad for size, pad in zip(_image(at.result), sides, strict=True))
    counts = _counts(wide, taps, steps, gaps)
    reached = [
        (count - 1) * step + gap * (tap - 1) + 1
        for count, step, gap, tap in zip(counts, steps, gaps, taps, strict=True)
    ]
    extra = tuple(size - end for size, end in zip(wide, reached, strict=True))
    number = taps[0] * taps[1]
    every_tap = at.add(Expand((channels, number, number)), x=at.add(Eye(number)))
    y = at.reshape(x, (*(batch or (1,)), channels * number, *counts))
    op = ConvTranspose(steps, equal_sides(sides), gaps, channels, extra)
    y = at.add(op, x=y, weight=at.reshape(every_tap, (channels * number, 1, *taps)))
    return at.reshape(y, at.result.shape)


def _spread(at: Site, x: Value, axis: int, outer: tuple[Dim, int], inner: tuple[int, int]) -> Value:
    """An axis as two, counts and steps of which are given: the element at both is that at the sum of their steps."""
    (count, step), (size, gap) = outer, inner
    shape = x.type.shape
    if not isinstance(count, int):
        if (step, gap) != (size, 1) or shape[axis] != count * size:
            raise Unknown(f"windows over the free size {shape[axis]}")
    else:
        places = [i * step + j * gap for i in range(count) for j in range(size)]
        x = x if shape[axis] == len(places) and places == [*range(len(places))] else at.add(Take(axis, (*places,)), x=x)
    return at.reshape(x, (*shape[:axis], count, size, *shape[axis + 1 :]))


def _image(type: TensorType) -> Ints:
    """The last two sizes."""
    sizes = tuple(size for size in type.shape[-2:] if isinstance(size, int))
    if len(sizes) != 2:
        raise Unknown(f"windows over {type}")
    return sizes


def _counts(sizes: Ints, taps: Ints, steps: Ints, gaps: Ints) -> Ints:
    """How many windows there are along each axis."""
    return tuple(
        (size - gap * (tap - 1) - 1) // step + 1 for size, tap, step, gap in zip(sizes, taps, steps, gaps, strict=True)
    )
