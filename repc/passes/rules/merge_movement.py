"""N6: a movement of what was moved alike."""

from __future__ import annotations

from dataclasses import dataclass, replace

from repc.ir.node import NodeId
from repc.ir.operator import Operator
from repc.ir.trace import Refusal, Step
from repc.ops.shape import Permute, Reshape
from repc.passes.rule import Rule, origins
from repc.passes.workspace import Workspace


@dataclass(frozen=True, slots=True)
class MovedTwiceMatch:
    subject: NodeId
    op: Operator


class MergeMovement(Rule[MovedTwiceMatch]):
    """Move once what two reshapes, or two permutations, move one after the other.

    Identity: ``reshape(reshape(x)) = reshape(x)``, and a permutation of a permutation is one.

    Precondition: the target keeps neither, and nothing else reads the inner value, whose shape may matter there.

    Trap: permutations compose in the order of the data: axis i of the result is axis ``inner[outer[i]]`` of x.

    Source: what folding leaves of a norm that sees tokens as a batch, as in Graham et al. 2021 (LeViT),
    arXiv:2104.01136.
    """

    id = "N6"

    def match(self, work: Workspace, id: NodeId) -> MovedTwiceMatch | None:
        outer = work.graph[id]
        if not isinstance(outer.op, Reshape | Permute) or work.kept(id) or work.kept(outer.inputs[0]):
            return None
        if work.other_reader(outer.inputs[0], [id]) is not None:
            return None
        inner = work.graph[outer.inputs[0]].op
        if isinstance(outer.op, Reshape):
            return MovedTwiceMatch(id, outer.op) if isinstance(inner, Reshape) else None
        return MovedTwiceMatch(id, _composed(inner, outer.op)) if isinstance(inner, Permute) else None

    def check(self, work: Workspace, match: MovedTwiceMatch) -> Refusal | None:
        return None

    def rewrite(self, work: Workspace, match: MovedTwiceMatch) -> list[Step]:
        outer = work.graph[match.subject]
        (inner,) = outer.inputs
        origin = origins(work.graph, (inner, match.subject))
        step = Step(self.id, work.name(match.subject), (work.name(inner),), f"{outer.op.name} once", origin=origin)
        work.replace(match.subject, replace(outer, op=match.op, inputs=work.graph[inner].inputs, origin=origin))
        return [step]


def _composed(inner: Permute, outer: Permute) -> Permute:
    return Permute(tuple(inner.axes[axis] for axis in outer.axes))
