"""N5: a sum of values that were moved alike."""

from __future__ import annotations

from dataclasses import dataclass, replace

from repc.ir.node import NodeId
from repc.ir.trace import Refusal, Step
from repc.ops.arithmetic import Sum
from repc.ops.shape import Permute, Reshape
from repc.passes.rule import Rule, origins
from repc.passes.terms import Terms, shorten, sum_node, terms
from repc.passes.workspace import Workspace


@dataclass(frozen=True, slots=True)
class MovedMatch:
    """Terms of a sum that are the same reshape or permutation of values of one type."""

    subject: NodeId
    moved: tuple[NodeId, ...]


class HoistMovement(Rule[MovedMatch]):
    """Add before moving: one reshape or permutation behind a sum in the place of one in each term.

    Identity: ``Σ cᵢ·reshape(xᵢ) = reshape(Σ cᵢ·xᵢ)``, and the same for a permutation.

    Precondition: the operators are equal, move values of one type, and each is read by the sum only.

    Trap: equal results do not make equal movements: the types before must be the same, too.

    Source: movement is linear.
    """

    id = "N5"

    def match(self, work: Workspace, id: NodeId) -> MovedMatch | None:
        node = work.graph[id]
        if not isinstance(node.op, Sum) or work.kept(id):
            return None
        alike: dict[object, list[NodeId]] = {}
        for source in dict.fromkeys(node.inputs):
            moved = work.graph[source]
            if isinstance(moved.op, Reshape | Permute) and moved.type == node.type:
                before = work.graph[moved.inputs[0]].type
                alike.setdefault((moved.op, before), []).append(source)
        for sources in alike.values():
            free = [s for s in sources if work.other_reader(s, [id]) is None and not work.kept(s)]
            if len(free) > 1:
                return MovedMatch(id, tuple(free))
        return None

    def check(self, work: Workspace, match: MovedMatch) -> Refusal | None:
        return None

    def rewrite(self, work: Workspace, match: MovedMatch) -> list[Step]:
        node, base = work.graph[match.subject], work.graph[match.moved[0]]
        within = tuple((c, work.graph[id].inputs[0]) for c, id in terms(node).activations if id in match.moved)
        type = work.graph[base.inputs[0]].type
        total = work.add(replace(sum_node(node, Terms(within, ())), type=type))
        origin = origins(work.graph, match.moved)
        moved = work.add(replace(base, inputs=(total,), origin=origin))
        step = Step(self.id, work.name(match.subject), (), f"{base.op.name} of {len(within)} terms", origin=origin)
        shorten(work, match.subject, moved, set(match.moved))
        return [step]
