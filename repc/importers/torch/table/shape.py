"""Movement: shapes, axes, parts and the joining of them.

The sizes that a call asks for are those of its result, which torch has worked out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import isinf

from repc.importers.torch.site import Number, Site, Unknown, Value, axis_of
from repc.ir.dims import Dim, Polynomial, divide
from repc.ops import Concat, Expand, Pad, Roll, Slice, Take

END = 2**63 - 1  # what torch writes for a slice that goes on to the end


def reshape(at: Site, x: Value, *rest: object) -> Value:
    """Any call that only changes the shape: ``view``, ``flatten``, ``squeeze`` and the like."""
    return at.reshape(x, at.result.shape)


def expand(at: Site, x: Value, *rest: object) -> Value:
    """``expand``, ``expand_as`` and ``broadcast_to``"""
    return x if x.type.shape == at.result.shape else at.add(Expand(at.result.shape), x=x)


def repeat(at: Site, x: Value, times: Sequence[Dim]) -> Value:
    """``repeat`` and ``tile``: a new axis before each, expanded and joined with it."""
    missing = len(times) - x.type.rank
    counts = (1,) * max(-missing, 0) + tuple(times)
    shape = (1,) * max(missing, 0) + x.type.shape
    if all(count == 1 for count in counts):
        return at.reshape(x, shape)
    repeated = [i for i, count in enumerate(counts) if count != 1]
    single = [part for i, size in enumerate(shape) for part in ((1, size) if i in repeated else (size,))]
    wide = [part for i, size in enumerate(shape) for part in ((counts[i], size) if i in repeated else (size,))]
    y = at.add(Expand(tuple(wide)), x=at.reshape(x, single))
    return at.reshape(y, at.result.shape)


def repeat_interleave(at: Site, x: Value, times: Dim, axis: int | None = None, *rest: object) -> Value:
    """Every element some times in a row, along one axis."""
    if axis is None:
        raise Unknown("elements of all axes repeated")
    place = axis_of(x, axis)
    before, size, behind = x.type.shape[:place], x.type.shape[place], x.type.shape[place + 1 :]
    y = at.reshape(x, (*before, size, 1, *behind))
    y = at.add(Expand((*before, size, times, *behind)), x=y)
    return at.reshape(y, (*before, size * times, *behind))


def permute(at: Site, x: Value, axes: Sequence[int]) -> Value:
    """``permute``"""
    return at.permute(x, [axis_of(x, axis) for axis in axes])


def transpose(at: Site, x: Value, one: int = 0, two: int = 1) -> Value:
    """``transpose`` and, for at most two axes, ``t``."""
    order = list(range(x.type.rank))
    if len(order) > 1:
        order[one], order[two] = order[two], order[one]
    return at.permute(x, order)


def reversed_axes(at: Site, x: Value) -> Value:
    """``x.T``"""
    return at.permute(x, range(x.type.rank)[::-1])


def movedim(at: Site, x: Value, source: Sequence[int] | int, target: Sequence[int] | int) -> Value:
    """``movedim``"""
    rank = x.type.rank
    sources = [axis % rank for axis in ([source] if isinstance(source, int) else source)]
    targets = [axis % rank for axis in ([target] if isinstance(target, int) else target)]
    rest = iter(axis for axis in range(rank) if axis not in sources)
    placed = dict(zip(targets, sources, strict=True))
    return at.permute(x, [placed[axis] if axis in placed else next(rest) for axis in range(rank)])


def slice_(
    at: Site, x: Value, axis: int = 0, start: Dim | None = None, stop: Dim | None = None, step: int = 1
) -> Value:
    """``x[start:stop:step]`` along one axis; all of an axis of any size is that axis."""
    if x.type.shape == at.result.shape and step == 1:
        return x
    axis = axis_of(x, axis)
    size = x.type.shape[axis]
    if isinstance(size, int) and not isinstance(start, Polynomial) and not isinstance(stop, Polynomial):
        taken = range(size)[start:stop:step]
        return _sliced(at, x, axis, taken.start, taken.stop, step)
    first, last = start or 0, size if stop is None or stop == END else stop
    if isinstance(last, int) and last < 0:
        last = size + last
    if not isinstance(first, int) or first < 0:
        raise Unknown(f"a part of {x.type} that begins at {first} of {size}")
    return _sliced(at, x, axis, first, last, step)


def select(at: Site, x: Value, axis: int, index: Dim) -> Value:
    """``x[index]`` along one axis, which disappears."""
    axis = axis_of(x, axis)
    size = x.type.shape[axis]
    first = index % size if isinstance(size, int) and isinstance(index, int) else index
    if not isinstance(first, int) or first < 0:
        raise Unknown(f"element {index} of {size} in {x.type}")
    return at.reshape(_sliced(at, x, axis, first, first + 1), at.result.shape)


def diagonal(at: Site, x: Value, offset: int = 0, one: int = 0, two: int = 1) -> Value:
    """The diagonal of two axes as a last one: of a matrix in a row, every element that is a row and one further."""
    ends = (axis_of(x, one), axis_of(x, two))
    lead = [axis for axis in range(x.type.rank) if axis not in ends]
    height, width, count = x.type.shape[ends[0]], x.type.shape[ends[1]], at.result.shape[-1]
    if not isinstance(height, int) or not isinstance(width, int) or not isinstance(count, int):
        raise Unknown(f"the diagonal of free sizes of {x.type}")
    row = at.reshape(at.permute(x, [*lead, *ends]), (*at.result.shape[:-1], height * width))
    start = offset if offset >= 0 else -offset * width
    stop = min(start + count * (width + 1), height * width)
    return _sliced(at, row, len(lead), start, stop, width + 1)


def narrow(at: Site, x: Value, axis: int, start: Dim, length: Dim) -> Value:
    """``narrow``"""
    return slice_(at, x, axis, start, start + length)


def split(at: Site, x: Value, sizes: Sequence[Dim] | Dim, axis: int = 0) -> list[Value]:
    """``split``, ``split_with_sizes`` and ``chunk``, by the sizes of the results."""
    axis = axis_of(x, axis)
    found = [result.shape[axis] for result in at.results]
    return pieces(at, x, axis, [size for size in found if isinstance(size, int)]) if len(found) > 1 else [x]


def unbind(at: Site, x: Value, axis: int = 0) -> list[Value]:
    """Every element of an axis."""
    return [select(at, x, axis, index) for index in range(len(at.results))]


def pieces(at: Site, x: Value, axis: int, sizes: Sequence[int]) -> list[Value]:
    """The parts of an axis one after another."""
    axis = axis_of(x, axis)
    bounds = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
    return [_sliced(at, x, axis, start, stop) for start, stop in pairwise(bounds)]


def concat(at: Site, parts: Sequence[Value], axis: int = 0) -> Value:
    """``cat``; an empty tensor adds nothing."""
    axis %= at.result.rank
    full = [part for part in parts if part.type.shape != (0,) and part.type.shape[axis] != 0]
    joined = [at.cast(part, at.result.dtype) for part in full or parts[:1]]
    return joined[0] if len(joined) == 1 else at.add_all(Concat(axis), joined)


def stack(at: Site, parts: Sequence[Value], axis: int = 0) -> Value:
    """``stack``: a new axis, then ``cat``."""
    axis %= at.result.rank
    shape = [1 if i == axis else size for i, size in enumerate(at.result.shape)]
    return concat(at, [at.reshape(part, shape) for part in parts], axis)


def copy(at: Site, x: Value, source: Value, *rest: object) -> Value:
    """``x.copy_(source)``: the source in the shape and type of x."""
    return expand(at, at.cast(source, at.result.dtype))


def slice_scatter(
    at: Site, x: Value, part: Value, axis: int = 0, start: Dim | None = None, stop: Dim | None = None, step: int = 1
) -> Value:
    """``x[start:stop:step] = part``: what lies before and behind, with the part in between."""
    if x.type == part.type:
        return part
    axis = axis_of(x, axis)
    size = x.type.shape[axis]
    if not isinstance(size, int) or isinstance(start, Polynomial) or isinstance(stop, Polynomial):
        raise Unknown(f"a part of a free size put into {x.type}")
    taken = range(size)[start:stop:step]
    if step != 1:
        places = tuple(size + taken.index(i) if i in taken else i for i in range(size))
        return at.add(Take(axis, places), x=concat(at, [x, part], axis))
    ends = [(0, taken.start), (taken.stop, size)]
    before, behind = ([_sliced(at, x, axis, *end)] if end[0] < end[1] else [] for end in ends)
    return concat(at, [*before, part, *behind], axis)


def select_scatter(at: Site, x: Value, part: Value, axis: int, index: Dim) -> Value:
    """``x[index] = part`` along one axis."""
    axis = axis_of(x, axis)
    size = x.type.shape[axis]
    if not isinstance(size, int) or not isinstance(index, int):
        raise Unknown(f"element {index} put into {x.type}")
    single = at.reshape(part, [1 if i == axis else dim for i, dim in enumerate(x.type.shape)])
    return slice_scatter(at, x, single, axis, index % size, index % size + 1)


def filled(value: Number | None, at: Site, *args: object) -> Value:
    """``zeros``, ``ones``, ``full`` and ``fill`` of a free size or a tensor's; with None, of a value that is given."""
    number = next((arg for arg in args[1:] if isinstance(arg, Number)), None) if value is None else value
    if at.result.dtype == "c64" or not isinstance(number, Number):
        raise Unknown(f"{number} as {at.result}")
    return expand(at, at.number(number, at.result.dtype))


# ------------------------------------------------------------ padding


def pad(at: Site, x: Value, widths: Sequence[Dim], mode: str = "constant", value: Number | None = None) -> Value:
    """``F.pad``: the last axis first; negative widths crop.  Infinity is for pools, which know what it means."""
    if value is not None and isinf(value):
        raise Unknown(f"the constant {value}")
    if not all(isinstance(width, int) for width in widths):
        raise Unknown(f"padding by free sizes: {list(widths)}")
    numbers = [width for width in widths if isinstance(width, int)]
    pairs = [(0, 0)] * x.type.rank
    for i in range(len(numbers) // 2):
        pairs[-1 - i] = (numbers[2 * i], numbers[2 * i + 1])
    for axis, (before, after) in enumerate(pairs):
        size = x.type.shape[axis]
        if min(before, after) < 0:
            x = _sliced(at, x, axis, max(-before, 0), size - max(-after, 0))
    wide = tuple((max(before, 0), max(after, 0)) for before, after in pairs)
    if not any(map(any, wide)):
        return x
    fill = at.number(value, x.type.dtype) if value else None
    return at.add(Pad(wide, mode), x=x, value=fill)


def constant_pad(at: Site, x: Value, widths: Sequence[Dim], value: Number = 0) -> Value:
    """``constant_pad_nd``"""
    return pad(at, x, widths, "constant", value)


def padding(mode: str, at: Site, x: Value, widths: Sequence[Dim]) -> Value:
    """``reflection_pad2d`` and the like."""
    return pad(at, x, widths, mode)


# ------------------------------------------------------------ orders of elements


def roll(at: Site, x: Value, shifts: Sequence[Dim], axes: Sequence[int]) -> Value:
    """``roll`` along axes."""
    moves = tuple(shift for shift in shifts if isinstance(shift, int))
    if not axes or len(moves) != len(axes):
        raise Unknown("elements rolled over all axes, or by a free size")
    return at.add(Roll(moves, tuple(axis_of(x, axis) for axis in axes)), x=x)


def flip(at: Site, x: Value, axes: Sequence[int]) -> Value:
    """The last element first."""
    for axis in axes:
        size = x.type.shape[axis]
        if not isinstance(size, int):
            raise Unknown(f"a free size of {x.type} turned around")
        x = at.add(Take(axis_of(x, axis), tuple(reversed(range(size)))), x=x)
    return x


def pixel_shuffle(at: Site, x: Value, factor: int) -> Value:
    """Channels become positions: ``(c·r², h, w)`` to ``(c, h·r, w·r)``."""
    *batch, channels, h, w = x.type.shape
    lead, inner = len(batch), divide(channels, factor * factor)
    if inner is None:
        raise Unknown(f"{channels} channels in squares of {factor}")
    y = at.reshape(x, (*batch, inner, factor, factor, h, w))
    y = at.permute(y, (*range(lead), lead, lead + 3, lead + 1, lead + 4, lead + 2))
    return at.reshape(y, at.result.shape)


def pixel_unshuffle(at: Site, x: Value, factor: int) -> Value:
    """Positions become channels: ``(c, h·r, w·r)`` to ``(c·r², h, w)``."""
    *batch, channels, _, _ = x.type.shape
    *_, h, w = at.result.shape
    lead = len(batch)
    y = at.reshape(x, (*batch, channels, h, factor, w, factor))
    y = at.permute(y, (*range(lead), lead, lead + 2, lead + 4, lead + 1, lead + 3))
    return at.reshape(y, at.result.shape)


def channel_shuffle(at: Site, x: Value, groups: int) -> Value:
    """Channels of all groups in turn."""
    batch, channels, *spatial = x.type.shape
    each = divide(channels, groups)
    if each is None:
        raise Unknown(f"{channels} channels in {groups} groups")
    y = at.reshape(x, (batch, groups, each, *spatial))
    y = at.permute(y, (0, 2, 1, *range(3, 3 + len(spatial))))
    return at.reshape(y, at.result.shape)


def _sliced(at: Site, x: Value, axis: int, start: int, stop: Dim, step: int = 1) -> Value:
    if (start, stop, step) == (0, x.type.shape[axis], 1):
        return x
    if isinstance(stop, int) and start >= stop:
        empty = (*x.type.shape[:axis], 0, *x.type.shape[axis + 1 :])
        return at.add(Expand(empty), x=at.number(0, x.type.dtype))
    return at.add(Slice(axis, start, stop, step), x=x)
