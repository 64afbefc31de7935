"""That two graphs compute the same for all weights and inputs, shown over a prime field, segment by segment.

Every value that both graphs have is computed by each of them from the values before it, which are drawn independently:
so every segment has a tile of its own, and none is starved by what is left of an input after many strides.  Weights are
drawn too, and every weight expression is evaluated in the field.  If all segments are equal, the graphs are, by
induction from the inputs on.

Where two sides are not the same function, they differ as polynomials of the drawn values, with tables as further
variables, and agree at a random point with a probability of at most degree / p (Schwartz, Zippel).  As many trials are
made as bring that below `CHANCE`, and never less than two, which see even and odd sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, log

import torch
from torch import Tensor

from repc.evaluate.graphs import compute
from repc.evaluate.prime import P, PrimeField
from repc.evaluate.segments import Segment, segments, tile
from repc.ir.dims import evaluate as size_at
from repc.ir.expr import Apply, Expr, parameters, walk
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ir.operator import Operator
from repc.ir.types import TensorType
from repc.ops import BatchNorm, Concat, Function, GroupNorm, LayerNorm, MaxPool, PRelu, RMSNorm, Softmax, Sum

CHANCE = 1e-9
REDRAWS = 4  # where a divisor was drawn as zero


@dataclass(frozen=True, eq=False)
class Verdict:
    """Whether the two sides of a segment are equal, at which free sizes, and how sure that is.

    `reason` says how they differ and is empty where they are equal.  `miss` bounds the probability that unequal sides
    seem equal.
    """

    result: NodeId
    reason: str
    sizes: Mapping[str, int]
    degree: int
    trials: int

    @property
    def equal(self) -> bool:
        return not self.reason

    @property
    def miss(self) -> float:
        return (self.degree / P) ** self.trials


def prove(
    train: Graph,
    fused: Graph,
    same: Mapping[NodeId, NodeId],
    *,
    seed: int = 0,
    progress: Callable[[float], None] = lambda share: None,
) -> list[Verdict]:
    """A verdict on every segment between the values that both graphs have, in the order of `same`.

    `same` maps nodes of the training graph to those of the fused one that are said to have the same value, the outputs
    among them.
    """
    found: list[Verdict] = []
    waiting = list(segments(train, fused, same))
    for segment in waiting:
        progress(len(found) / len(waiting))
        found.append(_verdict(train, fused, segment, seed))
    return found


def _verdict(train: Graph, fused: Graph, segment: Segment, seed: int) -> Verdict:
    degree = max(_degree(train, segment.train), _degree(fused, segment.fused))
    trials = max(2, ceil(log(CHANCE) / log(degree / P))) if degree < P else 1
    sizes: dict[str, int] = {}
    for trial in range(trials):
        sizes = tile(train, fused, segment, trial)
        reason = _difference(train, fused, segment, sizes, f"{seed} {trial}")
        if reason:
            return Verdict(segment.result, reason, sizes, degree, trial + 1)
    return Verdict(segment.result, "", sizes, degree, trials)


def _difference(train: Graph, fused: Graph, segment: Segment, sizes: Mapping[str, int], seed: str) -> str:
    """How the sides differ at one random point; empty where they do not."""
    types = train[segment.result].type, fused[segment.twin].type
    if types[0] != types[1]:
        return f"it is {types[1]} instead of {types[0]}"
    for attempt in range(REDRAWS):
        field = PrimeField(f"{seed} {attempt}" if attempt else seed)
        expected, found = _values(train, fused, segment, field, sizes)
        wrong = int((expected != found).sum()) if expected.shape == found.shape else expected.numel()
        if not wrong or not field.divided_by_zero:
            break
    return f"{wrong} of {expected.numel()} elements differ at {_shown(sizes)}" if wrong else ""


def _values(
    train: Graph, fused: Graph, segment: Segment, field: PrimeField, sizes: Mapping[str, int]
) -> tuple[Tensor, Tensor]:
    twins = {twin: _drawn(field, train[id].type, f"value {twin}", sizes) for id, twin in segment.given.items()}
    twins.update(
        (id, _drawn(field, fused[id].type, f"value {id}", sizes)) for id in fused.inputs.values() if id not in twins
    )
    given = {id: twins[twin] for id, twin in segment.given.items()}
    exprs = [*_weights(train, segment.train), *_weights(fused, segment.fused)]
    drawn = {path: _drawn(field, expr.type, f"parameter {path}", {}) for path, expr in parameters(exprs).items()}
    expected = compute(train, field, given, drawn, [segment.result], sizes)[segment.result]
    return expected, compute(fused, field, twins, drawn, [segment.twin], sizes)[segment.twin]


def _drawn(field: PrimeField, type: TensorType, name: str, sizes: Mapping[str, int]) -> Tensor:
    shape = [size_at(dim, sizes) for dim in type.shape]
    if type.dtype in ("i64", "bool"):
        drawn = field.draw(shape, name).remainder(2).to(torch.int64)
        return drawn.bool() if type.dtype == "bool" else drawn
    return field.draw(shape, name)


def _weights(graph: Graph, nodes: tuple[NodeId, ...]) -> list[Expr]:
    return [expr for id in nodes for expr in graph[id].weights.values()]


def _shown(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {size}" for name, size in sizes.items()) or "its pinned sizes"


# ------------------------------------------------------------------------------------------------ degrees


def _degree(graph: Graph, nodes: tuple[NodeId, ...]) -> int:
    """A bound on the degree of the last node's value in what is drawn."""
    of_weights: dict[Expr, int] = {}
    for expr in walk(_weights(graph, nodes)):
        if isinstance(expr, Apply):
            of_weights[expr] = _step(expr.op, {name: of_weights[arg] for name, arg in expr.args.items()})
        else:
            of_weights[expr] = 1
    found: dict[NodeId, int] = {}
    for id in nodes:
        operands = graph[id].operands().items()
        degrees = {name: found.get(of, 1) if isinstance(of, int) else of_weights[of] for name, of in operands}
        found[id] = _step(graph[id].op, degrees)
    return found[nodes[-1]] if nodes else 1


def _step(op: Operator, operands: Mapping[str, int]) -> int:
    """The degree after an operator; what a table gives is a variable more."""
    total = sum(operands.values())
    match op:
        case Sum() | Concat():
            return max(operands.values())
        case Function() | PRelu() | Softmax() | MaxPool():
            return total + 1
        case LayerNorm() | GroupNorm() | RMSNorm():
            return 3 * total + 1
        case BatchNorm():
            return (total if "running_var" in operands else 3 * total) + 1
        case _:
            return total
