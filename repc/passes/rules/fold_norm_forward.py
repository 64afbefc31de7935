"""F9: the scale and shift of a normalisation before operators that can take them in."""

from __future__ import annotations

from dataclasses import replace

from repc.ir.node import Node, NodeId
from repc.ir.trace import Refusal, Step
from repc.ops.norm import LayerNorm, RMSNorm
from repc.passes import legality
from repc.passes.cost import Cost, stored
from repc.passes.maps import Map
from repc.passes.rule import Rule
from repc.passes.rules.fold_affine_forward import parts, pushed, unwilling
from repc.passes.trail import AffineMatch, downward
from repc.passes.workspace import Workspace

AFFINE = ("weight", "bias")


class FoldNormForward(Rule[AffineMatch]):
    """Fold the weight and bias of a normalisation into the linear operators behind it.

    Identity: ``W (γ·x̂ + β) + b = (W diag_i(γ)) x̂ + (b + W β)``; the normalisation goes on dividing by statistics.

    Precondition: everything that reads the normalised value takes both in, as in F2, and the biases that this adds
    are no more than the weights that it removes.

    Trap: a reader that stays outside, such as a residual, sees the value without γ and β; queries, keys and values all
    have to take them.

    Source: Ashkboos et al. 2024 (SliceGPT), arXiv:2401.15024, section 3.2.
    """

    id = "F9"

    def match(self, work: Workspace, id: NodeId) -> AffineMatch | None:
        node = work.graph[id]
        own = _own(node)
        if own is None or work.affine(id) is not None:
            return None
        found = downward(work, id, own)
        return found if any(work.linear(end.node) is not None for end in found.ends) else None

    def check(self, work: Workspace, match: AffineMatch) -> Refusal | None:
        refusal = unwilling(work, self.id, match)
        if refusal is not None:
            return refusal
        subject, site = match.subject, {match.subject}
        before, after = _bytes(work, match)
        if after.dearer(before, work.options.objective_at(work.graph[subject].path)):
            reason = f"without the weights of {work.name(subject)} what reads it would have {after.against(before)}"
            remedy = "give the readers biases, or set objective = operators"
            return work.refusal(self.id, match.ends[0].chain, subject, reason, remedy)
        return legality.shared(work, self.id, subject, site, match.ends[0].chain, subject)

    def rewrite(self, work: Workspace, match: AffineMatch) -> list[Step]:
        node = work.graph[match.subject]
        steps = pushed(work, self.id, match)
        left = {name: expr for name, expr in node.weights.items() if name not in AFFINE}
        work.replace(match.subject, replace(node, weights=left))
        return steps


def _own(node: Node) -> Map | None:
    """The weight and bias of a normalisation as a map of the normalised value, where they vary along one axis."""
    own = [node.weights[name] for name in AFFINE if name in node.weights]
    if not own or not isinstance(node.op, legality.NORMS) or own[0].type.rank != 1:
        return None
    axis = node.type.rank - 1 if isinstance(node.op, LayerNorm | RMSNorm) else 1
    return Map((axis,), node.weights.get("weight"), node.weights.get("bias"))


def _bytes(work: Workspace, match: AffineMatch) -> tuple[Cost, Cost]:
    """What is stored for the normalisation and its readers, and what would be."""
    readers = [expr for end in match.ends for expr in work.graph[end.node].weights.values()]
    own = [expr for name, expr in work.graph[match.subject].weights.items() if name in AFFINE]
    taken = [part for end in match.ends for part in parts(work, end).values() if part is not None]
    return Cost(size=stored([*own, *readers])), Cost(size=stored(taken))
