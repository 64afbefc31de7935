"""N1: operators that do nothing when the network is deployed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from repc.ir.node import Node, NodeId
from repc.ir.trace import Refusal, Step
from repc.ops.resample import Upsample
from repc.ops.shape import Concat, Expand, Pad, Permute, Reshape, Slice
from repc.passes import legality
from repc.passes.absorb import own
from repc.passes.rule import Rule, origins
from repc.passes.workspace import Workspace

MOVEMENT = (Concat, Expand, Pad, Reshape, Slice, Upsample)


@dataclass(frozen=True, slots=True)
class IdentityMatch:
    subject: NodeId


class RemoveIdentity(Rule[IdentityMatch]):
    """Remove an operator that is the identity.

    Identity: dropout and detach are ``x`` in evaluation; so are a sum of one term, a reshape to the same shape, a
    permutation that moves nothing, a whole slice, a padding by nothing.

    Precondition: the target does not keep it, and what remains is not a runtime input that is an output as well.

    Trap: a sum of one branch may carry the name of the folded operator, which must go to what made its value.

    Source: Srivastava et al. 2014 for dropout, in the inverted form that needs no factor in evaluation.
    """

    id = "N1"

    def match(self, work: Workspace, id: NodeId) -> IdentityMatch | None:
        node = work.graph[id]
        view = work.affine(id)
        if view is not None:
            return IdentityMatch(id) if view.identity else None
        if isinstance(node.op, Permute):
            return IdentityMatch(id) if node.op.axes == tuple(range(node.type.rank)) else None
        alone = isinstance(node.op, MOVEMENT) and len(node.inputs) == 1 and not node.weights
        if isinstance(node.op, Upsample) and any(factor != 1 for factor in node.op.scale):
            return None  # a size that is rounded to itself still moves its elements
        return IdentityMatch(id) if alone and node.type == work.graph[node.inputs[0]].type else None

    def check(self, work: Workspace, match: IdentityMatch) -> Refusal | None:
        (source,) = work.graph[match.subject].inputs
        edge = (source, match.subject)
        if work.graph.is_output(match.subject) and source in work.graph.inputs.values():
            reason = "an output that is an input needs an operator in between"
            return work.refusal(self.id, edge, match.subject, reason, "leave it")
        return legality.kept(work, self.id, [match.subject], edge, match.subject)

    def rewrite(self, work: Workspace, match: IdentityMatch) -> list[Step]:
        node = work.graph[match.subject]
        (source,) = node.inputs
        step = Step(self.id, work.name(match.subject), (), f"{node.op.name} is the identity", origin=node.origin)
        if node.named and work.graph.sole_user(source) is not None and not work.kept(source):
            work.replace(source, _titled(work, source, match.subject))
        work.bypass(match.subject, source)
        return [step]


def _titled(work: Workspace, source: NodeId, title: NodeId) -> Node:
    """The node with the name that the spec gives to its value, which its stored weights get too."""
    node, path = work.graph[source], work.graph[title].path
    weights = node.weights
    if work.linear(source) is not None and work.sharer(source, {title}) is None:
        weights = {operand: own(expr, f"{path}.{operand}") for operand, expr in weights.items()}
    return replace(node, path=path, weights=weights, named=True, origin=origins(work.graph, (source, title)))
