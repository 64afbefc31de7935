"""That two graphs compute the same for all weights and inputs, shown over a prime field, segment by segment.

Every value that both graphs have is computed by each of them from the values before it, which are drawn independently:
so every segment has a tile of its own, and none is starved by what is left of an input after many strides.  Weights are
drawn too, and every weight expression is evaluated in the field.  If all segments are equal, the graphs are, by
induction from the inputs on.

Where two sides are not the same function, they differ as polynomials of the drawn values, with the values of tables as
further variables, and agree at a random point with a probability of at most degree / p (Schwartz, Zippel).  As many
trials are made as bring that below `CHANCE`, and never less than two, which see even and odd sizes.  A segment that is
equal only thanks to a fact about the weights has that fact imposed on what is drawn, and `SIGNED` trials with signs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from math import ceil, log

import torch
from torch import Tensor

from repc.evaluate.degree import degree
from repc.evaluate.facts import impose
from repc.evaluate.graphs import compute
from repc.evaluate.prime import P, PrimeField
from repc.evaluate.segments import Segment, is_local, segments, tile, wider
from repc.ir.dims import evaluate as size_at
from repc.ir.expr import Expr, parameters
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ir.trace import Fact
from repc.ir.types import REAL, TensorType
from repc.ops.binary import BINARY, Binary

CHANCE = 1e-9
SIGNED = 40  # a wrong sign passes every second trial
REDRAWS = 4  # where a divisor was drawn as zero


@dataclass(frozen=True, eq=False)
class Verdict:
    """Whether both graphs compute the value of a node alike, at which free sizes it was tried, and how sure that is.

    `reason` says how they differ and is empty where they are equal.  `local` is true where one tile shows all sizes:
    no operator in between looks at the whole of a free axis.  `facts` counts what had to be known of the weights; it is
    `signed` where the sign of a value matters, for one of them or in a comparison.
    """

    result: NodeId
    reason: str
    sizes: Mapping[str, int]
    local: bool
    degree: int
    trials: int
    facts: int = 0
    signed: bool = False

    @property
    def equal(self) -> bool:
        return not self.reason

    @property
    def miss(self) -> float:
        """A bound on the probability that unequal sides seem equal."""
        by_chance = (self.degree / P) ** self.trials
        return max(by_chance, 0.5**self.trials) if self.signed else by_chance


def prove(
    train: Graph,
    fused: Graph,
    same: Mapping[NodeId, NodeId],
    facts: Sequence[Fact] = (),
    *,
    seed: int = 0,
    progress: Callable[[float], None] = lambda share: None,
    only: Collection[NodeId] | None = None,
) -> list[Verdict]:
    """A verdict on every segment between the values that both graphs have, in the order of `same`.

    `same` maps nodes of the training graph to those of the fused one that are said to have the same value, the outputs
    among them; `facts` are what may be relied on.  With `only`, the values of these nodes alone are looked at.
    """
    found: list[Verdict] = []
    waiting = [found for found in segments(train, fused, same) if only is None or found.result in only]
    fields = cache(PrimeField)
    with torch.no_grad(), _one_thread():
        for segment in waiting:
            progress(len(found) / len(waiting))
            found.append(_verdict(_Sides(train, fused, segment, facts, fields), same, seed))
    return found


def _verdict(sides: _Sides, same: Mapping[NodeId, NodeId], seed: int) -> Verdict:
    """Sides that differ are looked at again from further back, until nothing that they start from is related."""
    found = sides.verdict(seed)
    further = None if found.equal else sides.wider(same)
    return _verdict(further, same, seed) if further else found


@contextmanager
def _one_thread() -> Generator[None]:
    """Threads would wait for each other longer than tiles take: ten times as long on a machine that others use too."""
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)


class _Sides:
    """The two sides of a segment, what their weights are made of, and the fields to compute in."""

    def __init__(
        self,
        train: Graph,
        fused: Graph,
        segment: Segment,
        facts: Sequence[Fact],
        fields: Callable[[str, bool], PrimeField],
    ) -> None:
        self._train, self._fused, self._segment = train, fused, segment
        self._known, self._fields = facts, fields
        exprs = [*_weights(train, segment.train), *_weights(fused, segment.fused)]
        self._parameters = parameters(exprs)
        self._facts = [fact for fact in facts if parameters([fact.expr]).keys() <= self._parameters.keys()]

    def wider(self, same: Mapping[NodeId, NodeId]) -> _Sides | None:
        """The same result from earlier values, where some of those that it is computed from depend on others."""
        further = wider(self._train, self._fused, same, self._segment)
        return further and _Sides(self._train, self._fused, further, self._known, self._fields)

    def verdict(self, seed: int) -> Verdict:
        train, fused, segment = self._train, self._fused, self._segment
        local = is_local(train, segment.train) and is_local(fused, segment.fused)
        most = max(degree(train, segment.train), degree(fused, segment.fused))
        signed = bool(self._facts) or _compares(train, segment.train) or _compares(fused, segment.fused)
        trials = SIGNED if signed else max(2, ceil(log(CHANCE) / log(most / P)))
        sizes: dict[str, int] = {}
        for trial in range(trials):
            sizes = tile(train, fused, segment, trial)
            reason = self._difference(sizes, f"{seed} {trial}")
            if reason:
                return Verdict(segment.result, reason, sizes, local, most, trial + 1, len(self._facts), signed)
        return Verdict(segment.result, "", sizes, local, most, trials, len(self._facts), signed)

    def _difference(self, sizes: Mapping[str, int], seed: str) -> str:
        """How the sides differ at one random point; empty where they do not."""
        types = self._train[self._segment.result].type, self._fused[self._segment.twin].type
        if types[0] != types[1]:
            return f"it is {types[1]} instead of {types[0]}"
        wrong, count = 0, 0
        for attempt in range(REDRAWS):
            field = self._fields(f"{seed} {attempt}", bool(self._facts))
            field.divided_by_zero = False
            expected, found = self._values(field, sizes)
            count = expected.numel()
            wrong = int((expected != found).sum()) if expected.shape == found.shape else count
            if not wrong or not field.divided_by_zero:
                break
        return f"{wrong} of {count} elements differ{_shown(sizes)}" if wrong else ""

    def _values(self, field: PrimeField, sizes: Mapping[str, int]) -> tuple[Tensor, Tensor]:
        segment = self._segment
        made = {path: drawn(field, expr.type, f"parameter {path}", {}) for path, expr in self._parameters.items()}
        for fact in self._facts:
            impose(fact, field, made)
        starts = {
            twin: drawn(field, self._train[id].type, f"value {twin}", sizes) for id, twin in segment.given.items()
        }
        given = {id: starts[twin] for id, twin in segment.given.items()}
        read = {source for id in segment.fused for source in self._fused[id].inputs}
        for id in read.intersection(self._fused.inputs.values()).difference(starts):
            starts[id] = drawn(field, self._fused[id].type, f"value {id}", sizes)
        expected = compute(self._train, field, given, made, [segment.result], sizes)
        found = compute(self._fused, field, starts, made, [segment.twin], sizes)
        return expected[segment.result], found[segment.twin]


def drawn(field: PrimeField, type: TensorType, name: str, sizes: Mapping[str, int]) -> Tensor:
    """A random value of a type, its free dimensions having these sizes; always the same for one name."""
    value = field.draw([size_at(dim, sizes) for dim in type.shape], name)
    return field.cast(value.remainder(2) if type.dtype == "bool" else value, type.dtype)


def _compares(graph: Graph, nodes: Iterable[NodeId]) -> bool:
    """Whether a node looks at the sign of a difference of values."""
    of_values = (id for id in nodes if any(graph[source].type.dtype in REAL for source in graph[id].inputs))
    return any(isinstance(op, Binary) and BINARY[op.function][1] == "bool" for op in (graph[id].op for id in of_values))


def _weights(graph: Graph, nodes: Iterable[NodeId]) -> list[Expr]:
    return [expr for id in nodes for expr in graph[id].weights.values()]


def _shown(sizes: Mapping[str, int]) -> str:
    return f" at {', '.join(f'{name} = {size}' for name, size in sizes.items())}" if sizes else ""
