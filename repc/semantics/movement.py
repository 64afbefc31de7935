"""Functions that move data: reshape, rearrange, permute, split, pad, and slices in brackets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from repc.diagnostics import Span
from repc.ir.dims import Dim, divide, volume
from repc.ops.shape import Expand, Pad, Permute, Reshape, Slice
from repc.semantics import errors
from repc.semantics.call import Call
from repc.semantics.context import Context
from repc.semantics.emission import emit
from repc.semantics.errors import Rejected
from repc.semantics.values import Tensor, Value, as_dim


def flatten(c: Call) -> Value:
    """All axes from `start` on become one."""
    start = c.axis("start")
    shape = c.type("x").shape
    return c.emit(Reshape((*shape[:start], volume(shape[start:]))))


def reshape(c: Call) -> Value:
    """Sizes, one of which may be -1: whatever is left."""
    sizes = _sizes(c, "shape")
    whole = volume(c.type("x").shape)
    if -1 in sizes:
        known = volume([size for size in sizes if size != -1])
        rest = divide(whole, known)
        if rest is None or sizes.count(-1) > 1:
            raise Rejected(errors.not_divisible(c.span, whole, known))
        sizes = [rest if size == -1 else size for size in sizes]
    elif volume(sizes) != whole:
        raise Rejected(errors.unequal_volume(c.span, whole, volume(sizes)))
    return c.emit(Reshape(tuple(sizes)))


def permute(c: Call) -> Value:
    """The axes in another order."""
    axes = c.attributes["axes"]
    rank = c.type("x").rank
    order = tuple(a % rank for a in axes if isinstance(a, int) and -rank <= a < rank) if isinstance(axes, tuple) else ()
    if sorted(order) != list(range(rank)):
        raise c.wrong("axes", f"a permutation of 0..{rank}")
    return c.emit(Permute(order))


def expand(c: Call) -> Value:
    """Axes of size one repeated to the given sizes."""
    return c.emit(Expand(tuple(_sizes(c, "shape"))))


def split(c: Call) -> Value:
    """A number of equal parts, or their sizes."""
    axis, sizes = c.axis("axis"), c.attributes["sizes"]
    whole = c.type("x").shape[axis]
    if isinstance(sizes, int) and isinstance(whole, int) and sizes > 0:
        if whole % sizes:
            raise Rejected(errors.not_divisible(c.span, whole, sizes))
        sizes = (whole // sizes,) * sizes
    if not isinstance(sizes, tuple):
        raise c.wrong("sizes", "a number of parts or a list of sizes")
    widths = [size for size in sizes if isinstance(size, int) and size > 0]
    if len(widths) != len(sizes) or sum(widths) != whole:
        raise c.wrong("sizes", f"positive sizes that add up to {whole}")
    starts = [sum(widths[:i]) for i in range(len(widths))]
    return tuple(c.emit(Slice(axis, start, start + width, 1)) for start, width in zip(starts, widths, strict=True))


def pad(c: Call) -> Value:
    """Widths of the trailing axes: spatial ones, unless the list has an entry for every axis."""
    rank = c.type("x").rank
    widths = c.attributes["widths"]
    count = len(widths) if isinstance(widths, tuple) else rank - 2
    mode = c.choice("mode", ("zeros", "reflect", "replicate"))
    pairs = ((0, 0),) * (rank - count) + c.pairs("widths", count)
    return c.emit(Pad(pairs, "constant" if mode == "zeros" else mode))


def index(ctx: Context, value: Tensor, items: list[int | tuple[int | None, int | None]], span: Span) -> Tensor:
    """``x[0, a:b]``: an integer takes one entry and drops the axis, a slice takes a range."""
    if len(items) > value.type.rank:
        raise Rejected(errors.too_many_indices(span, len(items), value.type))
    dropped: list[int] = []
    for axis, item in enumerate(items):
        size = value.type.shape[axis]
        if item == (None, None):
            continue
        if not isinstance(size, int):
            raise Rejected(errors.unknown_size(span, axis, value.type))
        start, stop = item if isinstance(item, tuple) else (item, item + 1 or None)
        low, high, _ = slice(start, stop).indices(size)
        if low >= high or (not isinstance(item, tuple) and not -size <= item < size):
            raise Rejected(errors.index_out_of_range(span, axis, value.type))
        value = emit(ctx, Slice(axis, low, high, 1), {"x": value}, span)
        if not isinstance(item, tuple):
            dropped.append(axis)
    if dropped:
        shape = tuple(size for axis, size in enumerate(value.type.shape) if axis not in dropped)
        value = emit(ctx, Reshape(shape), {"x": value}, span)
    return value


def _sizes(c: Call, name: str) -> list[Dim]:
    value = c.attributes[name]
    items = value if isinstance(value, tuple) else (value,)
    sizes = [size for size in (as_dim(item) for item in items) if size is not None]
    if len(sizes) != len(items):
        raise c.wrong(name, "a list of sizes")
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
    text = c.text("pattern")
    sides = [re.findall(r"\([^()]*\)|\S+", side) for side in text.split("->")]
    groups = [[tuple(token.strip("()").split()) for token in side] for side in sides]
    names = [sorted(name for group in side for name in group if name != "1") for side in groups]
    legal = all(re.fullmatch(r"[A-Za-z_]\w*|1", name) for side in groups for group in side for name in group)
    if len(groups) != 2 or not legal or names[0] != names[1] or len(set(names[0])) != len(names[0]):
        raise c.wrong("pattern", 'a pattern such as "b (s c) h w -> b s c h w" that names each axis once on each side')
    if len(groups[0]) != c.type("x").rank:
        raise c.wrong("pattern", f"one group for each of the {c.type('x').rank} axes of {c.type('x')}")
    left, right = ([tuple(name for name in group if name != "1") for group in side] for side in groups)
    return _Pattern(left, right)


def _solve(c: Call, pattern: _Pattern) -> dict[str, Dim]:
    sizes: dict[str, Dim] = {}
    for group, whole in zip(pattern.left, c.type("x").shape, strict=True):
        unknown: list[str] = []
        for name in group:
            size = as_dim(c.attributes.get(name))
            if size is None:
                unknown.append(name)
            else:
                sizes[name] = size
        known = volume([sizes[name] for name in group if name in sizes])
        rest = divide(whole, known)
        if rest is None or len(unknown) > 1 or (not unknown and rest != 1):
            raise Rejected(errors.unsolved_axes(c.span, " ".join(group), whole, known, unknown))
        if unknown:
            sizes[unknown[0]] = rest
    return sizes
