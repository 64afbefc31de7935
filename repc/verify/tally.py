"""Errors of one way of computing a network, gathered over batches."""

from __future__ import annotations

from collections import defaultdict
from math import sqrt
from typing import TypeAlias

import torch
from torch import Tensor

from repc.verify.cuts import Cut, Values
from repc.verify.report import Part

Key: TypeAlias = tuple[Cut, Part]


class Tally:
    """Relative errors ‖Δ‖∞/‖y‖∞ of every sample, by cut and part: their root mean square and their maximum.

    The scale ‖y‖∞ is that of the whole batch, so that one sample that a relu silences does not count as wrong.  `fault`
    is what makes a comparison impossible: the first cut whose value is not finite or has another shape.
    """

    def __init__(self) -> None:
        self.fault: tuple[Cut, str] | None = None
        self._squares: defaultdict[Key, float] = defaultdict(float)
        self._largest: defaultdict[Key, float] = defaultdict(float)
        self._samples: defaultdict[Key, int] = defaultdict(int)

    def add(self, expected: Values, found: Values, samples: int) -> None:
        """Compare the values found with those expected; after a fault nothing is added."""
        for cut, value in found.items():
            if self.fault:
                return
            wanted = expected[cut]
            if value.shape != wanted.shape:
                self.fault = cut, f"has the shape {list(value.shape)} instead of {list(wanted.shape)}"
            elif wanted.numel():
                self._compare(cut, value, wanted, samples)

    def keys(self) -> list[Key]:
        return list(self._squares)

    def rms(self, key: Key) -> float:
        """The root mean square over the samples."""
        return sqrt(self._squares[key] / self._samples[key])

    def largest(self, key: Key) -> float:
        return self._largest[key]

    def _compare(self, cut: Cut, value: Tensor, wanted: Tensor, samples: int) -> None:
        for part, errors in _errors(value, wanted, cut.border, samples).items():
            self._squares[cut, part] += float(errors.square().sum())
            self._samples[cut, part] += len(errors)
            self._largest[cut, part] = max(self._largest[cut, part], float(errors.max()))
            if not errors.isfinite().all():
                self.fault = cut, "is not finite"


def finite(values: Values) -> Cut | None:
    """The first cut with a value that is not finite, or None."""
    return next((cut for cut, value in values.items() if not value.isfinite().all()), None)


def _errors(value: Tensor, wanted: Tensor, border: int, samples: int) -> dict[Part, Tensor]:
    """The relative error of each sample, the outermost positions of the axes after the channels apart."""
    wanted = wanted.to(torch.float64)
    scale = float(wanted.abs().max()) or 1.0  # a value that is zero everywhere is compared absolutely
    error = (value - wanted).abs_().div_(scale)
    if not border or error.dim() < 3:
        return {"interior": _by_sample(error, samples)}
    found: dict[Part, Tensor] = {}
    inner = error[(slice(None), slice(None), *[slice(border, -border)] * (error.dim() - 2))]
    if inner.numel():
        found["interior"] = _by_sample(inner, samples)
        inner.zero_()
    found["border"] = _by_sample(error, samples)
    return found


def _by_sample(error: Tensor, samples: int) -> Tensor:
    """The largest error of each sample; the batch is the outermost part of the first axis, or there is none."""
    rows = samples if error.dim() and len(error) % samples == 0 else 1
    return error.reshape(rows, -1).amax(1)
