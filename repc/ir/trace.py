"""What folding did and what it would not do, with the reasons."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from repc.diagnostics import Span

Exactness = Literal["exact", "pinned"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a rule does not apply at a place that looks as if it could.

    `edge` is the path through the graph that is in the way, in the names of the spec (``a -> b -> c``).
    """

    rule: str
    path: str
    edge: str
    reason: str
    remedy: str
    origin: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One applied rewrite: which rule, where, what it took in, and how far it is exact."""

    rule: str
    path: str
    absorbed: tuple[str, ...]
    detail: str
    exactness: Exactness = "exact"
    origin: tuple[Span, ...] = ()


@dataclass
class Trace:
    """The applied steps in order, and the refusals that stand at the end."""

    steps: list[Step] = field(default_factory=list[Step])
    refusals: list[Refusal] = field(default_factory=list[Refusal])
