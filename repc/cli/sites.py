"""What became of every operator: gathered from both graphs and the trace of the folds.

Folding never changes what a node id denotes.  So an operator that is left stands for the operators of the train form
between its own id and the nearest ids above it that are left too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from repc.diagnostics import Span
from repc.ir.expr import Param, parameters
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId
from repc.ir.trace import Refusal, Step, Trace
from repc.ops import Input

LINEAR = ("conv", "conv_transpose", "linear", "matmul", "einsum")
WHY: Mapping[str, str] = {
    **dict.fromkeys(("function", "prelu", "softmax", "max_pool"), "is not linear"),
    **dict.fromkeys(("layer_norm", "group_norm", "rms_norm"), "divides by statistics of its input"),
    **dict.fromkeys(("reshape", "permute", "expand", "slice", "concat", "pad", "upsample"), "moves values"),
    **dict.fromkeys(("avg_pool", "adaptive_avg_pool", "reduce"), "takes an average or a sum over places"),
    **dict.fromkeys(("multiply", "divide"), "combines two values that depend on the input"),
    "sum": "adds values of different operators",
    "affine": "follows no operator that could take it in",
}


@dataclass(frozen=True, eq=False)
class Site:
    """An operator that is left, the operators of the train form that it stands for, and how that came."""

    id: NodeId
    name: str
    node: Node
    was: tuple[NodeId, ...]
    steps: tuple[Step, ...]
    refusals: tuple[Refusal, ...]

    @property
    def folded(self) -> bool:
        """Whether anything was done: operators taken in, or a weight that is computed."""
        weights = self.node.weights.values()
        return self.was != (self.id,) or any(not isinstance(expr, Param) and parameters([expr]) for expr in weights)

    @property
    def why(self) -> str:
        """Why the operator remains."""
        if self.refusals:
            return self.refusals[0].reason
        return "does the work" if self.node.op.name in LINEAR else WHY.get(self.node.op.name, "has no rule")


def sites(train: Graph, folded: Graph, trace: Trace) -> list[Site]:
    """Every operator of the folded graph, in its order."""
    called, stood_for = names(folded), _stood_for(train, folded)
    steps: dict[str, list[int]] = {}
    for index, step in enumerate(trace.steps):
        for text in {step.path, *step.absorbed}:
            steps.setdefault(text, []).append(index)
    explained = refusals(folded, trace)

    def site(id: NodeId) -> Site:
        was = stood_for.get(id, ())
        related: set[int] = set()
        if was != (id,):
            texts = {called[id], *(text for other in was for text in _names(train[other]))}
            related = {index for text in texts for index in steps.get(text, ())}
        done = tuple(trace.steps[index] for index in sorted(related))
        return Site(id, called[id], folded[id], was, done, explained.get(id, ()))

    return [site(id) for id in folded.order() if not isinstance(folded[id].op, Input)]


def _stood_for(train: Graph, folded: Graph) -> dict[NodeId, tuple[NodeId, ...]]:
    """For each operator that is left, the operators of the train form that it stands for.

    Where folding made an operator with weights behind the id that is left, what was folded is in that one.  What
    several took in belongs to the first of them.
    """
    found: dict[NodeId, tuple[NodeId, ...]] = {}
    taken: set[NodeId] = set()
    for id in folded:
        if id in train:
            above = tuple(node for node in _above(train, id, folded) if node not in taken)
            taken.update(above)
            heir = max((new for new in _above(folded, id, train) if folded[new].weights), default=id)
            found[id] = (id,)
            found[heir] = (*above, id) if heir == id else above
    return found


def _above(graph: Graph, id: NodeId, other: Graph) -> tuple[NodeId, ...]:
    """The nodes above one that the other graph does not have, up to those that both have."""
    found: set[NodeId] = set()
    waiting = list(graph[id].inputs)
    while waiting:
        node = waiting.pop()
        if node not in found and node not in other:
            found.add(node)
            waiting.extend(graph[node].inputs)
    return tuple(sorted(found))


def _names(node: Node) -> tuple[str, str]:
    """What the trace may call a node, depending on how many others had its path at the time."""
    return _name(node, alone=True), _name(node, alone=False)


def refusals(folded: Graph, trace: Trace) -> dict[NodeId, tuple[Refusal, ...]]:
    """Why operators remain.  Those that share a path are told apart by their places in the spec.

    What shared its path when it was refused may be alone there in the end.
    """
    found: dict[tuple[str, tuple[Span, ...]], tuple[Refusal, ...]] = {}
    for refusal in trace.refusals:
        key = refusal.path, refusal.origin
        found[key] = (*found.get(key, ()), refusal)
    named = {id: [name for name in _names(folded[id]) if (name, folded[id].origin) in found] for id in folded}
    return {id: found[texts[0], folded[id].origin] for id, texts in named.items() if texts}


def names(graph: Graph) -> dict[NodeId, str]:
    """Every operator as a person knows it: by its path, with its kind where several have that path."""
    count = Counter(graph[id].path for id in graph)
    return {id: _name(graph[id], alone=count[graph[id].path] == 1) for id in graph}


def kind(node: Node) -> str:
    """What an operator is called: a function by its own name."""
    return node.op.title


def _name(node: Node, *, alone: bool) -> str:
    if not node.path:
        return kind(node)
    return node.path if alone else f"{node.path}/{kind(node)}"
