"""Sliding windows: the sizes that they leave, for convolutions and pools alike."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

from repc.ir.dims import Dim
from repc.ir.types import ShapeError
from repc.ops.padding import Pairs

Ints: TypeAlias = tuple[int, ...]


def check_window(rank: int, padding: Pairs, **positive: Sequence[int]) -> None:
    """The attributes of a window over `rank` spatial axes: one entry for each axis, none out of range."""
    if not 1 <= rank <= 3:
        raise ShapeError(f"windows have 1 to 3 spatial axes, not {rank}", "x", "give 1 to 3 strides")
    for name, values in (*positive.items(), ("padding", padding)):
        if len(values) != rank:
            raise ShapeError(f"{name} has {len(values)} entries for {rank} spatial axes", "x", f"give {rank}")
    for name, values in positive.items():
        if any(value < 1 for value in values):
            raise ShapeError(f"{name} {list(values)} must be at least 1", "x", f"use a positive {name}")
    if any(width < 0 for pair in padding for width in pair):
        raise ShapeError(f"padding {list(padding)} must not be negative", "x", "slice x instead")


@lru_cache(maxsize=4096)  # the sizes of a network repeat, and symbolic ones are dear
def window_count(
    size: Dim, kernel: int, stride: int, pad: tuple[int, int], dilation: int = 1, *, ceil: bool = False
) -> Dim:
    """How many windows fit.

    With `ceil` a last window may reach beyond the padding, but must start before the padding at the end.  Both bounds
    are floors of the same slope, so that the smaller one is the floor of the smaller numerator.
    """
    reach = pad[1] - dilation * (kernel - 1) - 1
    last = min(reach + stride - 1, -1) if ceil else reach
    count = (size + pad[0] + last) // stride + 1
    if isinstance(count, int) and count < 1:
        raise ShapeError(
            f"a window of {dilation * (kernel - 1) + 1} does not fit into {size} with padding {pad[0]} and {pad[1]}",
            "x",
            "use a larger input, more padding or a smaller kernel",
        )
    return count
