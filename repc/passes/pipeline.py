"""Folding from end to end: a short list of passes over a copy of the graph, checked in between."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from repc.ir.check import check
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ir.trace import Trace
from repc.passes import movement
from repc.passes.options import Options
from repc.passes.remaining import why_remaining
from repc.passes.rules import RULES
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
    work.graph.drop_dead()


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
    """The touched nodes and those whose rules see them: their users, also behind operators that maps pass."""
    found: dict[NodeId, None] = {}
    for id in work.touched:
        if id in work.graph:
            found[id] = None
            reach = list(work.graph.users(id))
            for user in reach:
                found[user] = None
                if movement.moves(work.graph, user):
                    reach.extend(work.graph.users(user))
    work.touched.clear()
    return found


PASSES = (
    Pass(drop_dead, frozenset(), frozenset({"live"})),
    Pass(share, frozenset({"live"}), frozenset({"distinct"})),
    Pass(apply_rules, frozenset({"live", "distinct"}), frozenset({"folded"})),
    Pass(why_remaining, frozenset({"folded"}), frozenset()),
)
