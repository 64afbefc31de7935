"""The exact numbers that rounded constants stand for.

A file holds 0.1 as the nearest float, the spec means one tenth.  Any rational that rounds to the float will do, since
the proof is then of a file whose constants are rounded like its weights; only the right one lets it succeed.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from math import floor
from typing import cast

import torch
from torch import Tensor

from repc.evaluate.defined import CUBIC, ROOT_2, ROOT_2_PI
from repc.ir.expr import Apply, walk
from repc.ir.graph import Graph


class Rationals:
    """The numbers that a graph computes with, and for any other float the simplest one that rounds to it."""

    def __init__(self, graph: Graph) -> None:
        self._known = dict.fromkeys((ROOT_2, ROOT_2_PI, CUBIC))
        weights = (expr for id in graph for expr in graph[id].weights.values())
        for op in (*(graph[id].op for id in graph), *(part.op for part in walk(weights) if isinstance(part, Apply))):
            self._known.update(dict.fromkeys(_fractions(tuple(vars(op).values()))))

    def of(self, value: Tensor) -> tuple[Fraction, ...]:
        """One for each element.  Raises `ValueError` or `OverflowError` where an element is not finite."""
        known = self._rounded(value.dtype)
        return tuple(known.get(x) or _simplest_near(x, value.dtype) for x in map(float, value.flatten()))

    def _rounded(self, dtype: torch.dtype) -> dict[float, Fraction]:
        numbers = [sign * number for number in self._known for sign in (1, -1)]
        rounded = torch.tensor([float(number) for number in numbers], dtype=torch.float64).to(dtype)
        return dict(zip(map(float, rounded), numbers, strict=True))


def _fractions(value: object) -> Iterator[Fraction]:
    if isinstance(value, Fraction):
        yield value
    elif isinstance(value, tuple):
        for part in cast("tuple[object, ...]", value):
            yield from _fractions(part)


@cache
def _simplest_near(value: float, dtype: torch.dtype) -> Fraction:
    """The fraction with the smallest denominator that rounds to a number of the type."""
    if value <= 0:
        return -_simplest_near(-value, dtype) if value else Fraction(0)
    number = torch.tensor(value, dtype=dtype)
    below, above = (
        Fraction(float(torch.nextafter(number, torch.tensor(end, dtype=dtype)))) for end in (0.0, torch.inf)
    )
    exact = Fraction(value)
    return _simplest((below + exact) / 2, (exact + above) / 2)


def _simplest(low: Fraction, high: Fraction) -> Fraction:
    """The fraction with the smallest denominator between two others (Stern 1858, Brocot 1861)."""
    whole = -floor(-low)
    if whole <= high:
        return Fraction(whole)
    base = floor(low)
    return base + 1 / _simplest(1 / (high - base), 1 / (low - base))
