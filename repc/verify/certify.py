"""That the folded graph is the training graph, for all weights and inputs, shown over a prime field."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from repc.evaluate.proof import Verdict, prove
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ir.trace import Fact, Step
from repc.verify.cuts import Correspondence, Cut, correspondence
from repc.verify.subject import Progress, quiet


@dataclass(frozen=True, eq=False)
class Proof:
    """A verdict for every value that the two graphs compute in different ways; true where all are equal."""

    same: Correspondence
    seed: int
    segments: tuple[tuple[Cut, Verdict], ...]

    @property
    def equal(self) -> bool:
        return all(verdict.equal for _, verdict in self.segments)

    def __bool__(self) -> bool:
        return self.equal

    @property
    def miss(self) -> float:
        """A bound on the probability that graphs which are not equal pass: all their wrong segments have to."""
        return max((verdict.miss for _, verdict in self.segments), default=0.0)

    @property
    def first_wrong(self) -> tuple[Cut, Verdict] | None:
        """Where the graphs differ first."""
        return next(((cut, verdict) for cut, verdict in self.segments if not verdict.equal), None)


def certify(
    train: Graph,
    fused: Graph,
    steps: Sequence[Step] = (),
    *,
    seed: int = 0,
    progress: Progress = quiet,
    only: Collection[NodeId] | None = None,
) -> Proof:
    """Prove or refute that two graphs compute the same, between every two cuts; see `repc.evaluate.proof`.

    `steps` are the rewrites that led from one to the other: what they rely on is imposed on the random values.  No
    weights are needed, and the answer holds for all of them.  With `only`, the values of these nodes alone are
    compared.
    """
    facts = [fact for step in steps for fact in step.facts]
    return prove_at(train, fused, correspondence(train, fused), facts, seed=seed, progress=progress, only=only)


def prove_at(
    train: Graph,
    other: Graph,
    same: Correspondence,
    facts: Sequence[Fact] = (),
    *,
    seed: int = 0,
    progress: Progress = quiet,
    only: Collection[NodeId] | None = None,
) -> Proof:
    """The same for any graph that is said to have these values in common with the training graph."""
    labels = {id: cut for cut, id in same.train.items()}
    pairs = {id: same.fused[cut] for cut, id in same.train.items()}
    verdicts = prove(
        train, other, pairs, facts, seed=seed, progress=lambda share: progress("algebra", share), only=only
    )
    return Proof(same, seed, tuple((labels[verdict.result], verdict) for verdict in verdicts))
