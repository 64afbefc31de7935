"""Folding from end to end: a short list of passes over a copy of the graph, checked in between."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from repc.ir.check import check
from repc.ir.collection import uninterrupted
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ir.trace import Trace
from repc.ops.associate import cheaper
from repc.passes import legality, movement
from repc.passes.keep_parameters import keep_parameters
from repc.passes.options import Options
from repc.passes.remaining import why_remaining
from repc.passes.rule import Rule
from repc.passes.rules import RULES
from repc.passes.rules.border_map import BorderMap
from repc.passes.rules.centre_writers import CentreWriters
from repc.passes.rules.drop_constant_channels import DropConstantChannels
from repc.passes.rules.materialise import Materialise
from repc.passes.share import share, share_weights
from repc.passes.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Pass:
    """A step of folding with what it needs and what it leaves behind, in words that later passes ask for."""

    run: Callable[[Workspace, Trace], None]
    requires: frozenset[str]
    ensures: frozenset[str]


@uninterrupted()
def fold(graph: Graph, options: Options | None = None) -> tuple[Graph, Trace]:
    """A graph with the same outputs and fewer operators, and what was done and not done for what reason.

    The given graph stays as it is.  Weights of the result are expressions over the same parameters.  The cost is about
    linear in the number of nodes.
    """
    work, trace = Workspace(graph.copy(), options or Options()), Trace()
    known: frozenset[str] = frozenset()
    for step in PASSES:
        assert step.requires <= known, f"{step.run.__name__} needs {sorted(step.requires - known)}"
        step.run(work, trace)
        check(work.graph)
        known |= step.ensures
    return work.numbered(), trace


def drop_dead(work: Workspace, trace: Trace) -> None:
    """Remove what no output depends on."""
    work.graph.drop_dead()


def order_products(work: Workspace, trace: Trace) -> None:
    """Compute weights in the order that costs least."""
    graph = work.graph
    weights = {(id, operand): expr for id in graph for operand, expr in graph[id].weights.items()}
    for (id, operand), expr in cheaper(weights).items():
        if expr is not weights[id, operand]:
            node = graph[id]
            work.replace(id, replace(node, weights={**node.weights, operand: expr}))
            trace.steps.append(Materialise.reordered(work, id, operand))


def apply_rules(work: Workspace, trace: Trace) -> None:
    """Try every rule but one, which leaves more behind than it takes."""
    _until_none_applies(work, trace, tuple(rule for rule in RULES if not isinstance(rule, BorderMap)))


def map_borders(work: Workspace, trace: Trace) -> None:
    """Try that one, too: a map is a constant that no other fold goes through, so that these come first."""
    if work.options.border_maps:
        _until_none_applies(work, trace, RULES)


def _until_none_applies(work: Workspace, trace: Trace, rules: Sequence[Rule[Any]]) -> None:
    """Try rules at every node until none applies.

    Nodes come in the order of the data, so that branches are folded before the sum that they end in.  What an edit
    touched comes next, with the nodes further down whose rules look up to it, unless its turn is still to come.  Maps
    whose readers changed come last, when these are done changing.
    """
    waiting = deque(work.graph.order())
    queued = set(waiting)
    work.touched.clear()
    work.freed.clear()
    while waiting:
        id = waiting.popleft()
        queued.discard(id)
        while id in work.graph and _rewritten(work, trace, id, rules):
            again = [found for found in _touched(work) if found not in queued]
            waiting.extendleft(reversed(again))
            queued.update(again)
            later = [found for found in _freed(work) if found not in queued]
            waiting.extend(later)
            queued.update(later)


def _rewritten(work: Workspace, trace: Trace, id: NodeId, rules: Sequence[Rule[Any]]) -> bool:
    for rule in rules:
        match = rule.match(work, id)
        if match is not None and rule.check(work, match) is None:
            trace.steps.extend(rule.rewrite(work, match))
            return True
    return False


def _touched(work: Workspace) -> Iterable[NodeId]:
    """The touched nodes, and what reads them."""
    found: dict[NodeId, None] = {}
    for id in filter(work.graph.__contains__, work.touched):
        found[id] = None
        found.update(dict.fromkeys(_readers(work.graph, id)))
    work.touched.clear()
    return found


def _freed(work: Workspace) -> Iterable[NodeId]:
    """The maps that freed values are the result of."""
    found = dict.fromkeys(map for id in work.freed if id in work.graph for map in _maps(work, id))
    work.freed.clear()
    return found


def _readers(graph: Graph, id: NodeId) -> Iterable[NodeId]:
    """What reads a value, directly or moved; of what adds or concatenates the value only if nothing else reads it."""
    waiting, seen = [id], set[NodeId]()
    while waiting:
        value = waiting.pop()
        users = [user for user in graph.users(value) if user not in seen]
        seen.update(users)
        yield from users
        alone = len(users) == 1
        waiting.extend(
            user for user in users if movement.moves(graph, user) or (alone and movement.passed(graph, user))
        )


def _maps(work: Workspace, id: NodeId) -> Iterable[NodeId]:
    """The affine maps and normalisations that a value is the result of, directly or moved."""
    waiting, seen = [id], set[NodeId]()
    while waiting:
        value = waiting.pop()
        if value not in seen:
            seen.add(value)
            if isinstance(work.graph[value].op, legality.NORMS) or work.affine(value) is not None:
                yield value
            elif movement.passes_down(work.graph, value):
                waiting.extend(work.graph[value].inputs)


PASSES = (
    Pass(drop_dead, frozenset(), frozenset({"live"})),
    Pass(keep_parameters, frozenset({"live"}), frozenset({"live"})),
    Pass(share, frozenset({"live"}), frozenset({"distinct"})),
    Pass(apply_rules, frozenset({"live", "distinct"}), frozenset({"folded"})),
    Pass(map_borders, frozenset({"folded"}), frozenset({"folded"})),
    Pass(CentreWriters().run, frozenset({"folded"}), frozenset({"folded"})),
    Pass(DropConstantChannels().run, frozenset({"folded"}), frozenset({"folded"})),
    Pass(order_products, frozenset({"folded"}), frozenset({"folded"})),
    Pass(share_weights, frozenset({"folded"}), frozenset({"folded"})),
    Pass(why_remaining, frozenset({"folded"}), frozenset()),
)
