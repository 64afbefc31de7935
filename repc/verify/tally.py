"""Errors of one way of computing a network, gathered over batches."""

from __future__ import annotations

from collections import defaultdict
from math import isfinite, sqrt
from typing import TypeAlias

import torch
from torch import Tensor

from repc.verify.cuts import Cut
from repc.verify.report import Part

Key: TypeAlias = tuple[Cut, Part]


class Tally:
    """Relative errors ‖Δ‖∞/‖y‖∞ of every sample, by cut and part: their root mean square and their maximum.

    The scale ‖y‖∞ is that of the whole batch, so that one sample that a relu silences does not count as wrong.
    """

    def __init__(self) -> None:
        self._squares: defaultdict[Key, float] = defaultdict(float)
        self._largest: defaultdict[Key, float] = defaultdict(float)
        self._samples: defaultdict[Key, int] = defaultdict(int)

    def add(self, cut: Cut, expected: Tensor, found: Tensor, samples: int) -> None:
        """Compare a finite value with the expected one of the same shape; a batch has `samples` samples."""
        if not expected.numel():
            return
        for part, errors in _errors(found, expected.to(torch.float64), cut.border, samples).items():
            self._squares[cut, part] += float(errors.square().sum())
            self._samples[cut, part] += len(errors)
            self._largest[cut, part] = max(self._largest[cut, part], float(errors.max()))

    def parts(self) -> list[Key]:
        return list(self._squares)

    def rms(self, key: Key) -> float:
        """The root mean square over the samples; zero where there are none."""
        return sqrt(self._squares[key] / self._samples[key]) if key in self._samples else 0.0

    def largest(self, key: Key) -> float:
        return self._largest[key]


def is_finite(value: Tensor) -> bool:
    """Whether all elements are finite."""
    return not value.numel() or isfinite(_magnitude(value))


def _magnitude(value: Tensor) -> float:
    """‖value‖∞, in one pass over it; not finite where an element is not."""
    low, high = (float(bound) for bound in value.aminmax())
    return max(-low, high)


def _errors(found: Tensor, expected: Tensor, border: int, samples: int) -> dict[Part, Tensor]:
    """The relative error of each sample, the outermost positions of the axes after the channels apart."""
    scale = _magnitude(expected) or 1.0  # a value that is zero everywhere is compared absolutely
    error = (found - expected).abs_().div_(scale)
    if not border or error.dim() < 3:
        return {"interior": _by_sample(error, samples)}
    parts: dict[Part, Tensor] = {}
    inner = error[(slice(None), slice(None), *[slice(border, -border)] * (error.dim() - 2))]
    if inner.numel():
        parts["interior"] = _by_sample(inner, samples)
        inner.zero_()
    parts["border"] = _by_sample(error, samples)
    return parts


def _by_sample(error: Tensor, samples: int) -> Tensor:
    """The largest error of each sample; the batch is the outermost part of the first axis, or there is none."""
    rows = samples if error.dim() and len(error) % samples == 0 else 1
    return error.reshape(rows, -1).amax(1)
