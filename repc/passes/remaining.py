"""After folding: why each scale, shift and sum that is left could not go."""

from __future__ import annotations

from repc.ir.node import NodeId
from repc.ir.trace import Refusal, Trace
from repc.ops.arithmetic import Affine, Sum
from repc.ops.norm import BatchNorm
from repc.passes.rules import RULES
from repc.passes.workspace import Workspace


def why_remaining(work: Workspace, trace: Trace) -> None:
    """One refusal for each batch norm, affine map and sum that is left: that of the first rule with something to say."""
    reasons = _reasons(work)
    for id in work.graph.order():
        if isinstance(work.graph[id].op, BatchNorm | Affine | Sum):
            trace.refusals.append(reasons.get(id) or _lonely(work, id))


def _reasons(work: Workspace) -> dict[NodeId, Refusal]:
    found: dict[NodeId, Refusal] = {}
    for rule in RULES:
        for id in work.graph:
            match = rule.match(work, id)
            refusal = match and rule.check(work, match)
            if match is not None and refusal is not None:
                found.setdefault(match.subject, refusal)
    return found


def _lonely(work: Workspace, id: NodeId) -> Refusal:
    reason = f"no linear operator next to {work.name(id)} can take it in"
    remedy = "place it right before or after a convolution or linear layer"
    return work.refusal("F1", (*work.graph[id].inputs[:1], id), id, reason, remedy)
