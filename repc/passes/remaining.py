"""After folding: why each scale, shift and sum that is left could not go."""

from __future__ import annotations

from repc.ir.node import NodeId
from repc.ir.trace import Refusal, Trace
from repc.ops.arithmetic import Affine, Sum
from repc.ops.norm import BatchNorm
from repc.passes import legality, movement
from repc.passes.refusals import apart_refusal
from repc.passes.rules import RULES
from repc.passes.rules.fold_affine import FoldAffine
from repc.passes.rules.sum_parallel import SumParallel
from repc.passes.workspace import Workspace


def why_remaining(work: Workspace, trace: Trace) -> None:
    """One refusal for each batch norm, affine map and sum that is left, of the first rule that has one."""
    reasons = _reasons(work)
    for id in work.graph.order():
        if isinstance(work.graph[id].op, BatchNorm | Affine | Sum):
            trace.refusals.append(reasons.get(id) or _separated(work, id))


def _reasons(work: Workspace) -> dict[NodeId, Refusal]:
    found: dict[NodeId, Refusal] = {}
    for rule in RULES:
        for id in work.graph:
            match = rule.match(work, id)
            refusal = match and rule.check(work, match)
            if match is not None and refusal is not None:
                found.setdefault(match.subject, refusal)
    return found


def _separated(work: Workspace, id: NodeId) -> Refusal:
    """No rule resembles the place: what separates it from the nearest linear operator above."""
    node = work.graph[id]
    if isinstance(node.op, Sum) and len(node.inputs) > 1:
        return apart_refusal(work, SumParallel.id, id)
    above = legality.upstream_linear(work, id)
    if above is None:
        reason = f"no linear operator next to {work.name(id)} can take it in"
        remedy = "place it right before or after a convolution or linear layer"
        return work.refusal(FoldAffine.id, (*node.inputs[:1], id), id, reason, remedy)
    lone = isinstance(node.op, BatchNorm) and work.affine(id) is None
    blocked = id if lone else next(n for n in reversed(above[:-1]) if not movement.moves(work.graph, n))
    reason, remedy = legality.between(work, blocked)
    return work.refusal(FoldAffine.id, above, id, reason, remedy)
