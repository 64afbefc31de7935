"""What folding did and what it would not do, with the reasons."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from repc.diagnostics import Span
from repc.ir.expr import Expr

Exactness = Literal["exact", "pinned"]


@dataclass(frozen=True, eq=False, slots=True)
class Fact:
    """Something about the values of weights that a rewrite relies on: every element of `expr` is of the kind.

    It holds for the weights that were asked, and need not for others of the same model.
    """

    kind: Literal["nonnegative", "zero"]
    expr: Expr

    def holds(self, values: Iterable[float]) -> bool:
        """Whether it is true of the values of the expression."""
        return all(value >= 0 if self.kind == "nonnegative" else value == 0 for value in values)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a rule does not apply at a place that looks as if it could.

    `edge` is the path through the graph that is in the way, in the names of the spec (``a -> b -> c``).  Where the rule
    would be wrong at the border only, `off` is by how much at most, for each channel.
    """

    rule: str
    path: str
    edge: str
    reason: str
    remedy: str
    origin: tuple[Span, ...] = ()
    off: Expr | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Step:
    """One applied rewrite: which rule, where, what it took in, how far it is exact, and on what facts it relies."""

    rule: str
    path: str
    absorbed: tuple[str, ...]
    detail: str
    exactness: Exactness = "exact"
    origin: tuple[Span, ...] = ()
    facts: tuple[Fact, ...] = ()


@dataclass
class Trace:
    """The applied steps in order, and the refusals that stand at the end."""

    steps: list[Step] = field(default_factory=list[Step])
    refusals: list[Refusal] = field(default_factory=list[Refusal])

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What the weights have to be like for all steps to be right."""
        return tuple(fact for step in self.steps for fact in step.facts)
