"""Padding by a mode.  Only zeros are made; the other modes repeat elements of the tensor, which is movement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from repc.ir.dims import Dim
from repc.ir.field import Field, T
from repc.ir.types import ShapeError

Pairs: TypeAlias = tuple[tuple[int, int], ...]

MODES = ("constant", "reflect", "replicate", "circular")


def check_padding(shape: Sequence[Dim], widths: Pairs, mode: str) -> None:
    """Raise `ShapeError` where a tensor of that shape cannot be padded so."""
    if mode not in MODES:
        raise ShapeError(f"there is no padding mode {mode!r}", "x", f"modes are {', '.join(MODES)}")
    if mode != "constant" and any(width < 0 for pair in widths for width in pair):
        raise ShapeError(f"{mode} padding {list(widths)} is negative", "x", "only padding by a constant can crop")
    for size, pair in zip(shape, widths, strict=True):
        if isinstance(size, int) and size and size + min(sum(pair), *pair) < 1:
            raise ShapeError(f"a crop of {pair} leaves nothing of {size} elements", "x", "crop less")
    limits = {"reflect": -1, "circular": 0}
    for size, pair in zip(shape, widths, strict=True):
        if isinstance(size, int) and mode in limits and max(pair) > size + limits[mode]:
            raise ShapeError(
                f"{mode} padding of {max(pair)} needs more than the {size} elements there are",
                "x",
                f"pad by at most {size + limits[mode]}",
            )


def pad(field: Field[T], x: T, widths: Pairs, mode: str) -> T:
    """x with every axis widened by (before, after), or cropped where that is negative."""
    if mode == "constant":
        return field.pad(x, widths) if any(any(pair) for pair in widths) else x
    for axis, (before, after) in enumerate(widths):
        if before or after:
            size = field.shape(x)[axis]
            x = field.take(x, axis, [source(i, size, mode) for i in range(-before, size + after)])
    return x


def source(index: int, size: int, mode: str) -> int:
    """The element that a mode repeats at an index outside of an axis."""
    if mode == "circular":
        return index % size
    if mode == "replicate":
        return min(max(index, 0), size - 1)
    return size - 1 - abs(size - 1 - abs(index))
