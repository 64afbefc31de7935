"""What a site costs before and after a fold, so that a fold can be refused.

Multiply-adds are counted for each position of the result, or for a whole sample where the sizes are pinned; the two
sides of a comparison always count the same way.  Bytes are those of the stored weights in the compute type.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from repc.ir.expr import Expr
from repc.passes.views import LinearView

FLOAT_BYTES = 4
WEIGHED = {"default": ("macs", "size"), "operators": (), "macs": ("macs",), "size": ("size",)}


@dataclass(frozen=True, slots=True)
class Cost:
    """`macs`: multiply-adds; `size`: bytes of weights; `operators`: how many run."""

    macs: int = 0
    size: int = 0
    operators: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.macs + other.macs, self.size + other.size, self.operators + other.operators)

    def times(self, count: int) -> Cost:
        """The same operators, each at so many positions."""
        return Cost(self.macs * count, self.size, self.operators)

    def dearer(self, other: Cost, objective: str) -> bool:
        """Whether an objective forbids this in the place of the other: something that it weighs is dearer."""
        return any(getattr(self, name) > getattr(other, name) for name in WEIGHED[objective])

    def against(self, other: Cost) -> str:
        """Both sides in words."""
        return f"{self.macs} instead of {other.macs} multiply-adds, {self.size} instead of {other.size} weight bytes"


def stored(weights: Iterable[Expr]) -> int:
    """The bytes of some weights; a tensor that is stored once counts once."""
    return FLOAT_BYTES * sum(prod(expr.type.concrete()) for expr in set(weights))


def running(view: LinearView) -> Cost:
    """One linear operator."""
    parts = (part for part in (view.weight, view.bias) if part is not None)
    return Cost(prod(view.weight.type.concrete()), stored(parts), 1)
