"""Functions that move data: reshape, permute, tile, split, take, roll, pad, upsample, and slices in brackets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias

from repc.diagnostics import Span
from repc.ir.dims import Dim, divide, volume
from repc.ops.order import Order
from repc.ops.resample import MODES, Upsample
from repc.ops.select import Gather, Roll, Take
from repc.ops.shape import Expand, Pad, Permute, Reshape, Slice
from repc.semantics import errors
from repc.semantics.call import Call
from repc.semantics.context import Context
from repc.semantics.emission import emit
from repc.semantics.errors import Rejected
from repc.semantics.values import Tensor, Value, as_dim, as_integer


def flatten(c: Call) -> Value:
    """All axes from `start` on become one."""
    start = c.axis("start")
    shape = c.type("x").shape
    return c.emit(Reshape((*shape[:start], volume(shape[start:]))))


def reshape(c: Call) -> Value:
    """Sizes, one of which may be -1: whatever is left."""
    sizes = _sizes(c, "shape", rest=True)
    whole = volume(c.type("x").shape)
    if -1 in sizes:
        known = volume([size for size in sizes if size != -1])
        rest = divide(whole, known)
        if rest is None:
            raise Rejected(errors.not_divisible(c.span, whole, known))
        sizes = [rest if size == -1 else size for size in sizes]
    elif volume(sizes) != whole:
        raise Rejected(errors.unequal_volume(c.span, whole, volume(sizes)))
    return c.emit(Reshape(tuple(sizes)))


def permute(c: Call) -> Value:
    """The axes in another order."""
    axes, rank = c.attributes["axes"], c.type("x").rank
    items = [as_integer(axis) for axis in axes] if isinstance(axes, tuple) else []
    order = tuple(axis % rank for axis in items if axis is not None and -rank <= axis < rank)
    if len(items) != rank or sorted(order) != list(range(rank)):
        raise c.wrong("axes", f"a list of all {rank} axes, each once")
    return c.emit(Permute(order))


def expand(c: Call) -> Value:
    """Axes of size one repeated to the given sizes."""
    return c.emit(Expand(tuple(_sizes(c, "shape"))))


def tile(c: Call) -> Value:
    """The whole of x so many times along each axis; ``torch.tile``."""
    shape = c.type("x").shape
    counts = c.integers("counts", len(shape), least=1)
    x = _reshaped(c, c.tensor("x"), [part for size in shape for part in (1, size)])
    wide = tuple(part for pair in zip(counts, shape, strict=True) for part in pair)
    x = emit(c.ctx, Expand(wide), {"x": x}, c.span)
    return _reshaped(c, x, [count * size for count, size in zip(counts, shape, strict=True)])


def split(c: Call) -> Value:
    """A number of equal parts, or their sizes."""
    axis, sizes = c.axis("axis"), c.attributes["sizes"]
    whole = c.type("x").shape[axis]
    if not isinstance(whole, int):
        raise Rejected(errors.unknown_size(c.span, axis, c.type("x")))
    if not isinstance(sizes, tuple):
        count = c.integer("sizes", least=1)
        if whole % count:
            raise Rejected(errors.not_divisible(c.span, whole, count))
        c.ctx.spend(c.span, count)
        sizes = (whole // count,) * count
    widths = [width for width in map(as_integer, sizes) if width is not None and width > 0]
    if len(widths) != len(sizes) or sum(widths) != whole:
        raise c.wrong("sizes", f"positive sizes that add up to {whole}")
    ends = list(accumulate(widths))
    return tuple(c.emit(Slice(axis, end - width, end)) for end, width in zip(ends, widths, strict=True))


def pad(c: Call) -> Value:
    """Widths of the trailing axes: spatial ones, unless the list has an entry for every axis; negative ones crop."""
    rank = c.type("x").rank
    widths = c.attributes["widths"]
    count = len(widths) if isinstance(widths, tuple) else c.spatial()
    mode = c.choice("mode", ("zeros", "reflect", "replicate", "circular"))
    if not count:
        raise c.wrong("widths", f"a list of {rank}, since x has no spatial axes")
    pairs = ((0, 0),) * (rank - count) + c.pairs("widths", count, negative=True)
    return c.emit(Pad(pairs, "constant" if mode == "zeros" else mode))


def part(c: Call) -> Value:
    """Every `step`-th element of an axis from `start` until before `stop`; both may count from the end."""
    axis, stop = c.axis("axis"), c.attributes["stop"]
    size, last = c.type("x").shape[axis], as_dim(stop)
    if last is None and stop is not None:
        raise c.wrong("stop", "a size, or none")
    low, high = _bounds(slice(c.integer("start"), last), size)
    return c.emit(Slice(axis, low, high, c.integer("step", least=1)))


def take(c: Call) -> Value:
    """The elements of an axis at a list of positions."""
    positions = c.attributes["positions"]
    count = len(positions) if isinstance(positions, tuple) else 1
    return c.emit(Take(c.axis("axis"), c.integers("positions", count, least=0)))


def order(c: Call) -> Value:
    """Where the largest elements of an axis are, or the smallest ones; `count` of them."""
    count = as_dim(c.attributes["count"])
    if count is None:
        raise c.wrong("count", "a size")
    return c.emit(Order(c.axis("axis"), count, c.flag("largest")))


def roll(c: Call) -> Value:
    """A shift for one axis, or one for each of several."""
    axes = c.axes("axis")
    return c.emit(Roll(c.integers("shift", len(axes), least=None), axes))


def embedding(c: Call) -> Value:
    """The rows of a weight at the positions of an index."""
    return emit(c.ctx, Gather(0), {"x": c.tensor("weight"), "index": c.tensor("index")}, c.span)


def upsample(c: Call) -> Value:
    """By a scale, or to a size; one for all spatial axes or one for each."""
    n, (scale, size) = c.spatial(), (c.attributes[name] for name in ("scale", "size"))
    if (scale is None) == (size is None):
        raise c.wrong("scale", "a scale or a size, one of the two")
    wanted = () if size is None else tuple(_sizes(c, "size") if isinstance(size, tuple) else _sizes(c, "size") * n)
    factors = () if scale is None else c.fractions("scale", n)
    return c.emit(Upsample(factors, c.choice("mode", MODES), c.flag("align_corners"), wanted))


def index(ctx: Context, value: Tensor, items: Sequence[int | slice], span: Span) -> Tensor:
    """``x[0, a:b]``: an integer takes one entry and drops the axis, a slice takes a range."""
    if len(items) > value.type.rank:
        raise Rejected(errors.too_many_indices(span, len(items), value.type))
    dropped: list[int] = []
    for axis, item in enumerate(items):
        size = value.type.shape[axis]
        if item == slice(None):
            continue
        low, high = _bounds(item, size)
        if isinstance(item, int):
            dropped.append(axis)
        if not isinstance(size, int):
            if low < 0:
                raise Rejected(errors.unknown_size(span, axis, value.type))
        elif not isinstance(high, int) or low >= high or (isinstance(item, int) and not -size <= item < size):
            raise Rejected(errors.index_out_of_range(span, axis, value.type))
        value = emit(ctx, Slice(axis, low, high), {"x": value}, span)
    if dropped:
        shape = tuple(size for axis, size in enumerate(value.type.shape) if axis not in dropped)
        value = emit(ctx, Reshape(shape), {"x": value}, span)
    return value


def _bounds(item: int | slice, size: Dim) -> tuple[int, Dim]:
    """Where a part of an axis starts and stops; a start that counts from the end of a free size stays negative."""
    start, stop = (item, item + 1) if isinstance(item, int) else (item.start, item.stop)
    if not isinstance(size, int):
        return start or 0, size if stop is None else stop if stop >= 0 else size + stop
    if isinstance(item, int):
        return item % max(size, 1), item % max(size, 1) + 1
    low, high, _ = item.indices(size)
    return low, high


def _sizes(c: Call, name: str, rest: bool = False) -> list[Dim]:
    """The sizes of a shape; one may be -1 where a `rest` is allowed."""
    value = c.attributes[name]
    items = value if isinstance(value, tuple) else (value,)
    sizes = [size for size in map(as_dim, items) if size is not None]
    negative = [size for size in sizes if isinstance(size, int) and size < 0]
    if len(sizes) != len(items) or negative not in ([], [-1] if rest else []):
        raise c.wrong(name, "a list of sizes" + (", one of which may be -1" if rest else ""))
    return sizes


# ---------------------------------------------------------------- rearrange

Axes: TypeAlias = list[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Pattern:
    left: Axes
    right: Axes


def rearrange(c: Call) -> Value:
    """``b (s c) h w -> b s c h w`` with sizes for split axes as keywords, as in einops (Rogozhnikov 2022)."""
    pattern = _parse(c)
    sizes = _solve(c, pattern)
    flat = [name for group in pattern.left for name in group]
    order = tuple(flat.index(name) for group in pattern.right for name in group)
    x = _reshaped(c, c.tensor("x"), [sizes[name] for name in flat])
    if order != tuple(range(len(order))):
        x = emit(c.ctx, Permute(order), {"x": x}, c.span)
    return _reshaped(c, x, [volume([sizes[name] for name in group]) for group in pattern.right])


def _reshaped(c: Call, x: Tensor, shape: list[Dim]) -> Tensor:
    return x if tuple(shape) == x.type.shape else emit(c.ctx, Reshape(tuple(shape)), {"x": x}, c.span)


def _parse(c: Call) -> _Pattern:
    groups = [_groups(side) for side in c.text("pattern").split("->")]
    names = [sorted(name for group in side for name in group if name != "1") for side in groups]
    legal = all(re.fullmatch(r"[A-Za-z_]\w*|1", name) for side in groups for group in side for name in group)
    if len(groups) != 2 or not legal or names[0] != names[1] or len(set(names[0])) != len(names[0]):
        raise c.wrong("pattern", 'a pattern such as "b (s c) h w -> b s c h w" that names each axis once on each side')
    if len(groups[0]) != c.type("x").rank:
        raise c.wrong("pattern", f"one group for each of the {c.type('x').rank} axes of {c.type('x')}")
    left, right = ([tuple(name for name in group if name != "1") for group in side] for side in groups)
    return _Pattern(left, right)


def _groups(side: str) -> Axes:
    """The groups of one side; a mark that belongs to none is left as a name, which it cannot be."""
    tokens = re.findall(r"\([\w\s]*\)|\w+|\S", side)
    return [tuple(token[1:-1].split()) if token[0] == "(" and len(token) > 1 else (token,) for token in tokens]


def _solve(c: Call, pattern: _Pattern) -> dict[str, Dim]:
    """The size of every axis: as given, as it stands alone, or what is left of its group."""
    sizes = _given(c, {name for group in pattern.left for name in group})
    for group, whole in zip(pattern.left, c.type("x").shape, strict=True):
        unknown = [name for name in group if name not in sizes]
        known = volume([sizes[name] for name in group if name in sizes])
        rest = divide(whole, known)
        if rest is None or len(unknown) > 1 or (not unknown and rest != 1):
            raise Rejected(errors.unsolved_axes(c.span, " ".join(group), whole, known, unknown))
        if unknown:
            sizes[unknown[0]] = rest
    return sizes


def _given(c: Call, names: set[str]) -> dict[str, Dim]:
    """The sizes of split axes, which are keywords."""
    sizes: dict[str, Dim] = {}
    for name, value in c.attributes.items():
        if name == "pattern":
            continue
        if name not in names:
            raise Rejected(errors.unknown_keyword(c.span, c.function, name, sorted(names)))
        size = as_dim(value)
        if size is None or (isinstance(size, int) and size < 1):
            raise c.wrong(name, "a positive size")
        sizes[name] = size
    return sizes
