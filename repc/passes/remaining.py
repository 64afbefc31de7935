"""After folding: why what looks as if it could go is left: scales, shifts, sums, linear operators behind others, and
weights that are none."""

from __future__ import annotations

from repc.ir.node import Node, NodeId
from repc.ir.trace import Refusal, Trace
from repc.ops.arithmetic import Affine, Divide, Multiply, Sum
from repc.ops.norm import BatchNorm
from repc.passes import legality
from repc.passes.refusals import apart_refusal
from repc.passes.rules import RULES
from repc.passes.rules.border_map import BorderMap
from repc.passes.rules.compose_linear import ComposeLinear
from repc.passes.rules.fold_affine import FoldAffine
from repc.passes.rules.materialise import Materialise
from repc.passes.rules.sum_parallel import SumParallel
from repc.passes.trail import upward
from repc.passes.workspace import Workspace


def why_remaining(work: Workspace, trace: Trace) -> None:
    """One refusal for each that is left, of the first rule that has one."""
    reasons = _reasons(work)
    mapped = {step.path for step in trace.steps if step.rule == BorderMap.id}
    for id in work.graph.order():
        node = work.graph[id]
        if isinstance(node.op, Sum) and len(node.inputs) == 1 and node.path in mapped:
            continue  # a map for a border is what was asked for
        if _scales_or_adds(node):
            trace.refusals.append(reasons.get(id) or _separated(work, id))
        elif work.linear(id) is not None and id in reasons and reasons[id].rule == ComposeLinear.id:
            trace.refusals.append(reasons[id])
        elif (made := Materialise.refusal(work, id)) is not None:
            trace.refusals.append(made)


def _scales_or_adds(node: Node) -> bool:
    """Whether a node is a norm with constants, a sum, or a product with a constant."""
    if isinstance(node.op, Multiply | Divide):
        return len(node.inputs) == 1 and not (isinstance(node.op, Divide) and "a" in node.weights)
    return isinstance(node.op, BatchNorm | Affine | Sum)


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
    ways = upward(work, id)
    blocked = id if ways is None else ways.ends[0].node
    return work.refusal(FoldAffine.id, above, id, *legality.between(work, blocked))
