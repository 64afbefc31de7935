"""Movement of elements."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from repc.importers.onnx.site import Site
from repc.importers.onnx.values import Misfit, Operand
from repc.ir.dims import Dim, divide, volume
from repc.ir.types import broadcast
from repc.ops.select import Gather, Take
from repc.ops.shape import Concat, Expand, Pad, Permute, Reshape, Slice

PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}
FAR = 2**31 - 1
"""From here on, a place beyond the end of any axis: exporters write the largest integer of some type."""


def identity(site: Site) -> Operand:
    """Identity."""
    return site[0]


def reshape(site: Site) -> Operand:
    """Reshape: 0 copies a size, and one -1 stands for what is left."""
    x = site[0]
    wanted = list(site.dims(1) if site.opset >= 5 else site.attribute("shape"))
    return reshaped(site, x, wanted, copies=not site.attribute("allowzero", 0))


def reshaped(site: Site, x: Operand, wanted: Sequence[Dim], *, copies: bool = False) -> Operand:
    """x in another shape, with ONNX's signs for sizes."""
    given = site.type(x).shape
    shape: list[Dim] = [given[axis] if size == 0 and copies else size for axis, size in enumerate(wanted)]
    if -1 in shape:
        rest = divide(volume(given), volume(size for size in shape if size != -1))
        if rest is None:
            raise Misfit(f"the size left open is not known to be whole: {site.type(x)} as {[str(s) for s in shape]}")
        shape[shape.index(-1)] = rest
    return x if tuple(shape) == given else site.add(Reshape(tuple(shape)), x=x)


def flatten(site: Site) -> Operand:
    """Flatten into a matrix."""
    x = site[0]
    shape = site.type(x).shape
    axis = site.attribute("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return reshaped(site, x, (volume(shape[:axis]), volume(shape[axis:])))


def squeeze(site: Site) -> Operand:
    """Squeeze."""
    x = site[0]
    shape = site.type(x).shape
    axes = site.axes(1, len(shape))
    if axes is None:
        if not all(isinstance(size, int) for size in shape):
            raise Misfit(f"which axes of {site.type(x)} have size 1 is not known")
        axes = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return reshaped(site, x, [size for axis, size in enumerate(shape) if axis not in axes])


def unsqueeze(site: Site) -> Operand:
    """Unsqueeze; its axes are those of the result."""
    x = site[0]
    count = len(site.ints(1)) if site.has(1) else len(site.attribute("axes"))
    rank = site.type(x).rank + count
    axes = site.axes(1, rank) or ()
    sizes = iter(site.type(x).shape)
    return reshaped(site, x, [1 if axis in axes else next(sizes) for axis in range(rank)])


def transpose(site: Site) -> Operand:
    """Transpose, which by default turns all axes around."""
    x = site[0]
    rank = site.type(x).rank
    axes = tuple(site.attribute("perm", range(rank - 1, -1, -1)))
    return x if axes == tuple(range(rank)) else site.add(Permute(axes), x=x)


def expand(site: Site) -> Operand:
    """Expand, which broadcasts both ways."""
    x = site[0]
    type = site.type(x)
    shape = broadcast([type, type.with_shape(site.dims(1))]).shape
    return x if shape == type.shape else site.add(Expand(shape), x=x)


def concat(site: Site) -> Operand:
    """Concat."""
    operands = site.all()
    return site.add_all(Concat(site.axis(0, site.type(operands[0]).rank)), operands)


def slice_of(site: Site) -> Operand:
    """Slice: one Slice of repc for each axis of which something is cut off."""
    x = site[0]
    rank = site.type(x).rank
    if site.opset >= 10:
        starts, stops = site.dims(1), site.dims(2)
        steps = site.ints(4) if site.has(4) else (1,) * len(starts)
        axes = site.axes(3, rank) or range(rank)
    else:
        starts, stops = site.attribute("starts"), site.attribute("ends")
        steps, axes = (1,) * len(starts), site.axes(FAR, rank) or range(rank)
    for axis, start, stop, step in zip(axes, starts, stops, steps, strict=False):
        x = _cut(site, x, axis, start, stop, step)
    return x


def _cut(site: Site, x: Operand, axis: int, start: Dim, stop: Dim, step: int) -> Operand:
    size = site.type(x).shape[axis]
    if step < 1 or not isinstance(start, int):
        raise Misfit(f"it goes from {start} by {step}")
    first = _place(size, start)
    last = stop if not isinstance(stop, int) else size if stop >= FAR else _place(size, stop)
    if isinstance(size, int) and isinstance(last, int):
        last = min(last, size)
    if not isinstance(first, int):
        raise Misfit(f"it starts at {first} of {size}")
    return x if (first, last, step) == (0, size, 1) else site.add(Slice(axis, first, last, step), x=x)


def _place(size: Dim, place: int) -> Dim:
    """A place counted from the beginning."""
    if place >= 0:
        return place
    found = size + place
    return max(found, 0) if isinstance(found, int) else found


def split(site: Site) -> list[Operand]:
    """Split into parts of the given sizes, or of equal ones, of which the last may be smaller."""
    x = site[0]
    axis = site.axis(0, site.type(x).rank)
    size, count = site.type(x).shape[axis], len(site.node.output)
    sizes = site.ints(1) if site.has(1) else site.attribute("split")
    if sizes is None:
        if not isinstance(size, int):
            raise Misfit(f"axis {axis} has the size {size}")
        each = -(-size // count)
        sizes = [min(each, size - index * each) for index in range(count)]
    ends = list(accumulate(sizes))
    return [_cut(site, x, axis, end - part, end, 1) for part, end in zip(sizes, ends, strict=True)]


def split_to_sequence(site: Site) -> list[tuple[Operand, ...]]:
    """SplitToSequence, whose parts of equal size are given by one number."""
    x = site[0]
    axis = site.axis(0, site.type(x).rank)
    size = site.type(x).shape[axis]
    site.only(keepdims=1)
    sizes = site.ints(1) if site.has(1) else (1,)
    if not site.has(1) or not site.shape(1):
        if not isinstance(size, int):
            raise Misfit(f"axis {axis} has the size {size}")
        each = sizes[0]
        sizes = tuple(min(each, size - start) for start in range(0, size, each))
    ends = list(accumulate(sizes))
    return [tuple(_cut(site, x, axis, end - part, end, 1) for part, end in zip(sizes, ends, strict=True))]


def sequence_at(site: Site) -> Operand:
    """SequenceAt of a sequence that is known, at a place that is."""
    parts, (index,) = site.network[site.node.input[0]], site.ints(1)
    if not isinstance(parts, tuple):
        raise Misfit("its sequence is computed")
    return parts[index]


def gather(site: Site) -> Operand:
    """Gather: at places that are known a slice or a choice, else at computed ones."""
    x = site[0]
    axis = site.axis(0, site.type(x).rank)
    try:
        places = site.ints(1)
    except Misfit:
        return site.add(Gather(axis), x=x, index=site[1])
    return _gathered(site, x, axis, places, site.shape(1))


def gather_nd(site: Site) -> Operand:
    """GatherND along the first axis only, at places that are known."""
    shape = site.shape(1)
    site.only(batch_dims=0)
    if shape[-1] != 1:
        raise Misfit(f"its places have {shape[-1]} coordinates")
    return _gathered(site, site[0], 0, site.ints(1), shape[:-1])


def _gathered(site: Site, x: Operand, axis: int, places: Sequence[int], wanted: Sequence[Dim]) -> Operand:
    shape = site.type(x).shape
    size = shape[axis]
    if not isinstance(size, int):
        raise Misfit(f"axis {axis} has the size {size}")
    taken = _taken(site, x, axis, tuple(place % size for place in places))
    return reshaped(site, taken, (*shape[:axis], *wanted, *shape[axis + 1 :]))


def _taken(site: Site, x: Operand, axis: int, places: tuple[int, ...]) -> Operand:
    first, last = places[0], places[-1]
    if places == tuple(range(first, last + 1)):
        return _cut(site, x, axis, first, last + 1, 1)
    return site.add(Take(axis, places), x=x)


def pad(site: Site) -> Operand:
    """Pad; widths, value and axes are inputs from opset 11 on."""
    x = site[0]
    rank = site.type(x).rank
    listed = site.ints(1) if site.opset >= 11 else tuple(site.attribute("pads"))
    axes = site.axes(3, rank) or range(rank)
    half = len(listed) // 2
    widths = [(0, 0)] * rank
    for axis, before, after in zip(axes, listed[:half], listed[half:], strict=True):
        widths[axis] = before, after
    if not any(map(any, widths)):
        return x
    value = None
    if site.opset < 11:
        number = site.number("value", "0")
        value = site.fill(number, x) if number else None
    elif site.has(2) and site.constant(2).any():
        value = site.add(Reshape(()), x=site[2])
    return site.add(Pad(tuple(widths), PAD_MODES[site.attribute("mode", "constant")]), x=x, value=value)


def depth_to_space(site: Site) -> Operand:
    """DepthToSpace: the block is in front of the channels, or behind them in mode CRD."""
    x, block = site[0], site.attribute("blocksize")
    batch, channels, height, width = site.type(x).shape
    depth = divide(channels, block * block)
    if depth is None:
        raise Misfit(f"{channels} channels do not divide by {block} twice")
    if site.attribute("mode", "DCR") == "DCR":
        x = site.add(Reshape((batch, block, block, depth, height, width)), x=x)
        x = site.add(Permute((0, 3, 4, 1, 5, 2)), x=x)
    else:
        x = site.add(Reshape((batch, depth, block, block, height, width)), x=x)
        x = site.add(Permute((0, 1, 4, 2, 5, 3)), x=x)
    return site.add(Reshape((batch, depth, height * block, width * block)), x=x)


def space_to_depth(site: Site) -> Operand:
    """SpaceToDepth: the block in front of the channels."""
    x, block = site[0], site.attribute("blocksize")
    batch, channels, height, width = site.type(x).shape
    rows, columns = divide(height, block), divide(width, block)
    if rows is None or columns is None:
        raise Misfit(f"{height} by {width} is not known to divide by {block}")
    x = site.add(Reshape((batch, channels, rows, block, columns, block)), x=x)
    x = site.add(Permute((0, 3, 5, 1, 2, 4)), x=x)
    return site.add(Reshape((batch, channels * (block * block), rows, columns)), x=x)
