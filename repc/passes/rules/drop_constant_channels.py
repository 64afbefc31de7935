"""F13: channels that are the same for every input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from repc.ir.expr import Apply, Expr, apply
from repc.ir.node import NodeId
from repc.ir.trace import Fact, Step, Trace
from repc.ops import build
from repc.ops.arithmetic import Sum
from repc.ops.function import Function
from repc.ops.shape import Pad
from repc.passes import legality
from repc.passes.absorb import absorbed
from repc.passes.rule import Lemma
from repc.passes.rules.fold_affine_forward import reads_everything
from repc.passes.views import LinearView, plus
from repc.passes.workspace import Workspace


@dataclass(frozen=True, eq=False, slots=True)
class Pair:
    """Two linear operators with elementwise functions between them; `chain` runs from the first to the second.

    `constants` are what the functions make of the bias of the first.
    """

    chain: tuple[NodeId, ...]
    first: LinearView
    second: LinearView
    constants: Expr


class DropConstantChannels(Lemma):
    """Remove channels whose weights are zero, and add what they always are to the bias of the operator that reads them.

    Identity: ``W f(V x + b) = W₋ f(V₋ x + b₋) + Σ_c W_c f(b_c)`` where the rows c of V are zero, as behind a batch norm
    with γ_c = 0.

    Precondition: the target lets folding look at the weights at hand; only elementwise functions stand between two
    operators without groups, whose weights are stored for no other node, and every value in between has one reader.

    Trap: zero padding stands behind the constant: with it only channels go that are constantly zero.

    Source: Ye et al. 2018, arXiv:1802.00124, section 3, where channels are constant by training.
    """

    id = "F13"

    def run(self, work: Workspace, trace: Trace) -> None:
        """Do it once for every pair, in the order of the data."""
        if work.options.values is None:
            return
        for id in work.graph.order():
            pair = _pair(work, id)
            dropped = _constant(work.options.values, pair) if pair is not None else []
            if pair is not None and dropped:
                trace.steps.append(self._drop(work, pair, dropped))

    def _drop(self, work: Workspace, pair: Pair, dropped: Sequence[int]) -> Step:
        (first, *between, last), one, two = pair.chain, pair.first, pair.second
        kept = [c for c in range(one.out_channels) if c not in dropped]
        facts = [Fact("zero", build.pick(term, _rows(one), dropped)) for term in _terms(one)]
        constants = build.pick(pair.constants, 0, dropped)
        if reads_everything(two):
            removed = replace(two, weight=build.pick(two.weight, _columns(two), dropped))
            bias = plus(two.bias, removed.response(constants))
        else:
            facts.append(Fact("zero", constants))
            bias = two.bias
        reader = {"weight": build.pick(two.weight, _columns(two), kept), "bias": bias}
        writer = {
            "weight": build.pick(one.weight, _rows(one), kept),
            "bias": one.bias and build.pick(one.bias, 0, kept),
        }
        work.replace(last, absorbed(work, last, (), two.op, reader))
        work.replace(first, absorbed(work, first, (), one.op, writer))
        for id in (first, *between):
            node = work.graph[id]
            shape = (*node.type.shape[: one.channel_axis], len(kept), *node.type.shape[one.channel_axis + 1 :])
            work.replace(id, replace(node, type=node.type.with_shape(shape)))
        work.revalue([first, *between])
        node = work.graph[first]
        detail = f"{len(dropped)} of {one.out_channels} channels are constant"
        return Step(self.id, node.path, (), detail, origin=node.origin, facts=tuple(facts))


def _pair(work: Workspace, last: NodeId) -> Pair | None:
    """The pair that ends in a node."""
    two = work.linear(last)
    if two is None:
        return None
    chain = [two.source, last]
    while isinstance(work.graph[chain[0]].op, Function):
        chain.insert(0, work.graph[chain[0]].inputs[0])
    one = work.linear(chain[0])
    if one is None or (one.groups, two.groups) != (1, 1) or one.channel_axis != two.channel_axis:
        return None
    edge, id = tuple(chain), DropConstantChannels.id
    refusal = legality.chain_refusal(work, id, edge, edge[0], last) or legality.shared(
        work, id, last, set(edge), edge, last
    )
    if refusal is not None:
        return None
    constants = one.bias or build.fill((one.out_channels,), 0)
    for between in chain[1:-1]:
        constants = apply(work.graph[between].op, x=constants)
    return Pair(edge, one, two, constants)


def _constant(values: Callable[[Expr], Sequence[float]], pair: Pair) -> list[int]:
    """The channels that may go, at least one being left."""
    one = pair.first
    others = [axis for axis in range(one.weight.type.rank) if axis != _rows(one)]
    sizes = [values(build.reduce(term, "norm", others)) for term in _terms(one)]
    found = [c for c in range(one.out_channels) if not any(size[c] for size in sizes)]
    if found and not reads_everything(pair.second):
        always = values(pair.constants)
        found = [c for c in found if always[c] == 0]
    return found[len(found) == one.out_channels :]


def _terms(view: LinearView) -> list[Expr]:
    """What the weight is the sum of: each is zero by itself where it is for a reason, and not by chance."""
    found: list[Expr] = []
    waiting = [view.weight]
    while waiting:
        expr = waiting.pop()
        parts = list(expr.args.values()) if isinstance(expr, Apply) and isinstance(expr.op, Sum | Pad) else []
        if parts and all(part.type.shape[:2] == view.weight.type.shape[:2] for part in parts):
            waiting.extend(parts)
        else:
            found.append(expr)
    return found


def _rows(view: LinearView) -> int:
    """The axis of the output channels in a weight without groups."""
    return int(view.transposed)


def _columns(view: LinearView) -> int:
    return 1 - _rows(view)
