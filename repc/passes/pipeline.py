"""Folding from end to end: a short list of passes over a copy of the graph, checked in between."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from repc.ir.check import check
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ir.trace import Trace
from repc.ops.arithmetic import Sum
from repc.passes import legality, movement
from repc.passes.options import Options
from repc.passes.remaining import why_remaining
from repc.passes.rules import RULES
from repc.passes.rules.centre_writers import CentreWriters
from repc.passes.rules.drop_constant_channels import DropConstantChannels
from repc.passes.share import share
from repc.passes.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Pass:
    """A step of folding with what it needs and what it leaves behind, in words that later passes ask for."""

    run: Callable[[Workspace, Trace], None]
    requires: frozenset[str]
    ensures: frozenset[str]


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
    graph = work.graph
    needed = graph.upstream(graph.outputs.values()) | set(graph.inputs.values())
    for id in reversed(graph.order()):
        if id not in needed:
            graph.remove(id)


def apply_rules(work: Workspace, trace: Trace) -> None:
    """Try every rule at every node until none applies.

    Nodes come in the order of the data, so that branches are folded before the sum that they end in.  What an edit
    touched comes next, with the nodes further down whose rules look up to it, unless its turn is still to come.
    """
    waiting = deque(work.graph.order())
    queued = set(waiting)
    work.touched.clear()
    while waiting:
        id = waiting.popleft()
        queued.discard(id)
        while id in work.graph and _rewritten(work, trace, id):
            again = [found for found in _affected(work) if found not in queued]
            waiting.extendleft(reversed(again))
            queued.update(again)


def _rewritten(work: Workspace, trace: Trace, id: NodeId) -> bool:
    for rule in RULES:
        match = rule.match(work, id)
        if match is not None and rule.check(work, match) is None:
            trace.steps.extend(rule.rewrite(work, match))
            return True
    return False


def _affected(work: Workspace) -> Iterable[NodeId]:
    """The touched nodes and those whose rules see them: readers and maps, also behind what lets maps pass."""
    found: dict[NodeId, None] = {}
    for id in work.touched:
        if id in work.graph:
            found[id] = None
            found.update(dict.fromkeys(_readers(work.graph, id)))
            found.update(dict.fromkeys(source for source in _sources(work.graph, id) if _ends_in_map(work, source)))
    work.touched.clear()
    return found


def _readers(graph: Graph, id: NodeId) -> Iterable[NodeId]:
    """What reads a value, directly or moved; of what adds or concatenates the value only if nothing else reads it."""
    waiting, seen = [id], set[NodeId]()
    while waiting:
        value = waiting.pop()
        users = [user for user in graph.users(value) if user not in seen]
        seen.update(users)
        yield from users
        alone = graph.sole_user(value) is not None
        waiting.extend(
            user for user in users if movement.passed(graph, user) and (alone or movement.moves(graph, user))
        )


def _ends_in_map(work: Workspace, id: NodeId) -> bool:
    return isinstance(work.graph[id].op, legality.NORMS) or work.affine(id) is not None


def _sources(graph: Graph, id: NodeId) -> Iterable[NodeId]:
    """What a node reads, directly or moved; no map passes a sum on the way down."""
    waiting, seen = list(graph[id].inputs), set[NodeId]()
    while waiting:
        value = waiting.pop()
        if value not in seen:
            seen.add(value)
            yield value
            if movement.passed(graph, value) and not isinstance(graph[value].op, Sum):
                waiting.extend(graph[value].inputs)


PASSES = (
    Pass(drop_dead, frozenset(), frozenset({"live"})),
    Pass(share, frozenset({"live"}), frozenset({"distinct"})),
    Pass(apply_rules, frozenset({"live", "distinct"}), frozenset({"folded"})),
    Pass(CentreWriters().run, frozenset({"folded"}), frozenset({"folded"})),
    Pass(DropConstantChannels().run, frozenset({"folded"}), frozenset({"folded"})),
    Pass(why_remaining, frozenset({"folded"}), frozenset()),
)
