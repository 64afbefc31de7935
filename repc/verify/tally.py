"""Errors of one way of computing a network, gathered over batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from math import isfinite, sqrt
from typing import TypeAlias

import torch
from torch import Tensor

from repc.evaluate.rounding import reals
from repc.verify.cuts import Cut
from repc.verify.report import Part

Key: TypeAlias = tuple[Cut, Part]


class Tally:
    """How far values are off, by cut and part: root mean squares, and maxima.

    The root mean square is over elements and inputs and relative to that of the value itself.  It is what compares
    one rounding with another, since the largest of many errors scatters by itself.  The maximum is ‖Δ‖∞/‖y‖∞.
    `magnitudes` are the largest ‖y‖∞.
    """

    def __init__(self) -> None:
        self._squares: defaultdict[Key, float] = defaultdict(float)
        self._samples: defaultdict[Key, int] = defaultdict(int)
        self._largest: defaultdict[Key, float] = defaultdict(float)
        self.magnitudes: defaultdict[Cut, float] = defaultdict(float)

    def add(self, cut: Cut, expected: Tensor, found: Tensor, samples: int) -> None:
        """Compare a value with the expected one of the same shape; a batch has `samples` samples.

        Where one is infinite, so is the other.
        """
        if not expected.numel():
            return
        expected, found = reals(expected).to(torch.float64), reals(found)
        if not is_finite(expected):
            expected, found = (x.masked_fill(expected.isinf(), 0.0) for x in (expected, found))
        # A value that is zero everywhere is compared absolutely.
        power = float(expected.square().mean()) or 1.0
        magnitude = _magnitude(expected) or 1.0
        self.magnitudes[cut] = max(self.magnitudes[cut], magnitude)
        for part, square, largest in _errors((found.to(torch.float64) - expected).abs_(), cut.border):
            self._squares[cut, part] += samples * square / power
            self._samples[cut, part] += samples
            self._largest[cut, part] = max(self._largest[cut, part], largest / magnitude)

    def parts(self) -> list[Key]:
        return list(self._squares)

    def rms(self, key: Key) -> float:
        """The relative root mean square of the error; zero where there are no values."""
        return sqrt(self._squares[key] / self._samples[key]) if key in self._samples else 0.0

    def largest(self, key: Key) -> float:
        """The largest ‖Δ‖∞/‖y‖∞ of a batch."""
        return self._largest[key]


def is_finite(value: Tensor) -> bool:
    """Whether all elements are finite."""
    return not value.numel() or isfinite(_magnitude(value))


def _magnitude(value: Tensor) -> float:
    """‖value‖∞, in one pass over it; not finite where an element is not."""
    low, high = (float(bound) for bound in reals(value).aminmax())
    return max(-low, high)


def _errors(error: Tensor, border: int) -> Iterator[tuple[Part, float, float]]:
    """Mean square and maximum of absolute errors, the outermost positions of the axes after the channels apart."""
    inside = [slice(border, -border or None)] * max(error.dim() - 2, 0)
    inner = error[(..., *inside)]
    if inner.numel():
        yield "interior", float(inner.square().mean()), float(inner.max())
    outside = error.numel() - inner.numel()
    if outside:
        inner.zero_()
        yield "border", float(error.square().sum()) / outside, float(error.max())
