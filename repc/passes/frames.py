"""Where the taps of a window lie, and the window that holds the taps of several.

Tap j of a window with k taps, padding p and dilation d reads (a transposed one writes) at the offset ``j·d − p`` from
the place of the output (of the input).  Offsets do not depend on how a window is written down, so that kernels of
different sizes, dilations and paddings are added by placing their taps at equal offsets of one larger window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Window:
    """One axis of a kernel; `extra` is the output padding of a transposed convolution."""

    taps: int
    before: int = 0
    after: int = 0
    dilation: int = 1
    extra: int = 0

    @property
    def last(self) -> int:
        """The offset of the last tap."""
        return self.dilation * (self.taps - 1) - self.before


Frame: TypeAlias = tuple[Window, ...]
"""All spatial axes of a kernel; a linear layer has none."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Tap j of the placed window is tap ``first + j·step`` of the other one."""

    first: int
    step: int


def place(part: Window, whole: Window) -> Placement | None:
    """Where the taps of one window lie in another, or None where they miss its grid or its range."""
    first, remainder = divmod(whole.before - part.before, whole.dilation)
    step, uneven = divmod(part.dilation, whole.dilation) if part.taps > 1 else (1, 0)
    if remainder or uneven or first < 0 or first + step * (part.taps - 1) >= whole.taps:
        return None
    return Placement(first, step)


def crops(frame: Frame) -> bool:
    """Whether it leaves out what it is given, which no operator with this frame can."""
    return any(window.before < 0 or window.after < 0 for window in frame)


def holds(whole: Frame, part: Frame) -> bool:
    """Whether every tap of one frame is a tap of the other."""
    return all(place(p, w) is not None for p, w in zip(part, whole, strict=True))


def enclose(parts: Sequence[Frame], transposed: bool) -> Frame:
    """The smallest frame that holds all of these, which make outputs of equal sizes."""
    return tuple(_enclose(axis, transposed) for axis in zip(*parts, strict=True))


def _enclose(parts: Sequence[Window], transposed: bool) -> Window:
    before = max(part.before for part in parts)
    last = max(part.last for part in parts)
    steps = [part.dilation for part in parts if part.taps > 1] + [before - part.before for part in parts]
    dilation = gcd(*steps) or 1
    taps = (last + before) // dilation + 1
    if transposed:
        # The size is (n - 1)·stride + last - after + extra + 1: what the parts have in common is kept.
        trim = last - parts[0].last + parts[0].after - parts[0].extra
        if -trim >= dilation and dilation < max(part.dilation for part in parts):
            # Output padding may reach the dilation of a part but not this one: zero taps write those positions.
            taps += -(trim // dilation)
            trim %= dilation
        return Window(taps, before, max(trim, 0), dilation, max(-trim, 0))
    # The number of outputs follows from after - last; the least of the parts' never pads more than one of them does.
    after = last + min(part.after - part.last for part in parts)
    return Window(taps, before, after, dilation)


def same_for_all_sizes(parts: Sequence[Frame]) -> bool:
    """Whether the outputs have equal sizes for every input, and not only for the one at hand."""
    return all(len({p.after - p.last - p.extra for p in axis}) == 1 for axis in zip(*parts, strict=True))
