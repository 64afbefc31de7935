"""F11: what depends on parameters alone is computed once."""

from __future__ import annotations

from repc.ir.node import NodeId
from repc.ir.trace import Refusal, Step
from repc.ops.conv import Conv, ConvTranspose
from repc.ops.linear import Linear
from repc.ops.shape import Concat, Slice
from repc.ops.work import multiply_adds_of
from repc.passes.rule import Lemma
from repc.passes.workspace import Workspace


class Materialise(Lemma):
    """Compute once what depends on parameters and constants alone.

    Identity: ``f(x, g(φ)) = f(x, W)`` with ``W = g(φ)``: adapters, weight norms and generated kernels are weights.

    Precondition: nothing in g depends on a runtime input; one that is bound is none.

    Trap: a routed, position-selective or generated update looks like a merged adapter and is none: no weight equals it.
    Factors in the order of the paper may cost a thousand times what they need.

    Source: every paper of specs/adapters; it is what elaboration does with expressions over weights.
    """

    id = "F11"

    @classmethod
    def reordered(cls, work: Workspace, id: NodeId, operand: str) -> Step:
        """What is said of a weight whose products are computed in another order than the spec has them."""
        node = work.graph[id]
        cost = multiply_adds_of([node.weights[operand]])
        return Step(cls.id, work.name(id), (), f"{operand} in {cost} multiply-adds", origin=node.origin)

    @classmethod
    def refusal(cls, work: Workspace, id: NodeId) -> Refusal | None:
        """Why something that resembles a merged weight stays: it is made of an input, or put beside one."""
        node = work.graph[id]
        if isinstance(node.op, Linear | Conv | ConvTranspose) and "weight" not in node.weights:
            made = node.inputs[1]
            inputs = [name for name, port in work.graph.inputs.items() if port in work.graph.upstream([made])]
            remedy = "bind the input, so that there is one artifact for each of its values"
            return work.refusal(cls.id, (made, id), id, f"its weight is computed from {', '.join(inputs)}", remedy)
        if not isinstance(node.op, Concat):
            return None
        if node.weights and node.inputs:
            reason = f"constants are put beside {work.name(node.inputs[0])}, which no weight behind it can stand for"
            return work.refusal(cls.id, (node.inputs[0], id), id, reason, "let the target expect it")
        for source in _parts(work, id, node.op.axis):
            reason = f"parts of {work.name(source)} are treated apart, so that no one weight equals it"
            return work.refusal(cls.id, (source, id), id, reason, "let the target expect it, or treat all parts alike")
        return None


def _parts(work: Workspace, id: NodeId, axis: int) -> list[NodeId]:
    """The value that all operands of a concatenation are made of, where one is a part of it along the same axis."""
    graph = work.graph
    operands = [graph[source] for source in graph[id].inputs]
    cut = {o.inputs[0] for o in operands if isinstance(o.op, Slice) and o.op.axis == axis}
    return [source for source in cut if all(source in graph.upstream([part]) for part in graph[id].inputs)]
