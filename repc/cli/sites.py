"""What became of every operator: gathered from both graphs and the trace of the folds.

A folded operator names no operator that it is made of, but its weights are expressions over the parameters of all of
them.  So a site is what its parameters, and the steps that name it, lead to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from repc.ir.expr import Param, parameters
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId
from repc.ir.trace import Refusal, Step, Trace
from repc.ops import Function, Input

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
        """Whether anything was done: a rewrite, or a weight that is computed."""
        return bool(self.steps) or any(not isinstance(expr, Param) for expr in self.node.weights.values())

    @property
    def why(self) -> str:
        """Why the operator remains."""
        if self.refusals:
            return self.refusals[0].reason
        return "does the work" if self.node.op.name in LINEAR else WHY.get(self.node.op.name, "has no rule")


def sites(train: Graph, folded: Graph, trace: Trace) -> list[Site]:
    """Every operator of the folded graph, in its order."""
    before, after = names(train), names(folded)
    origins: dict[str, set[NodeId]] = {}
    for id, name in before.items():
        if not isinstance(train[id].op, Input):
            for text in (name, train[id].path):
                origins.setdefault(text, set()).add(id)
    steps: dict[str, set[int]] = {}
    for index, step in enumerate(trace.steps):
        for text in (step.path, *step.absorbed):
            steps.setdefault(text, set()).add(index)

    def site(id: NodeId) -> Site:
        node, name = folded[id], after[id]
        seeds = {name, *(path.rpartition(".")[0] for path in parameters(node.weights.values()))}
        related, texts = _closure(seeds, steps, trace)
        was = sorted({other for text in texts for other in origins.get(text, ())})
        refusals = tuple(refusal for refusal in trace.refusals if refusal.path == name)
        return Site(id, name, node, tuple(was), tuple(trace.steps[index] for index in related), refusals)

    return [site(id) for id in folded.order() if not isinstance(folded[id].op, Input)]


def _closure(seeds: set[str], steps: Mapping[str, set[int]], trace: Trace) -> tuple[list[int], set[str]]:
    """The steps that lead to some names, directly or through each other, and all names that they mention."""
    found, texts, waiting = set[int](), set[str](), list(seeds)
    while waiting:
        text = waiting.pop()
        if text not in texts:
            texts.add(text)
            new = steps.get(text, set()) - found
            found |= new
            waiting.extend(name for index in new for name in (trace.steps[index].path, *trace.steps[index].absorbed))
    return sorted(found), texts


def names(graph: Graph) -> dict[NodeId, str]:
    """Every operator as a person knows it: by its path, with its kind where several have that path."""
    count = Counter(graph[id].path for id in graph)
    return {id: _name(graph[id], alone=count[graph[id].path] == 1) for id in graph}


def kind(node: Node) -> str:
    """What an operator is called: a function by its own name."""
    return node.op.function if isinstance(node.op, Function) else node.op.name


def _name(node: Node, *, alone: bool) -> str:
    if not node.path:
        return kind(node)
    return node.path if alone else f"{node.path}/{kind(node)}"
