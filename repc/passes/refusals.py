"""Why the terms of a sum do not merge, in the words of someone who looks at the network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from repc.ir.node import NodeId
from repc.ir.trace import Refusal
from repc.ops.pool import AvgPool
from repc.passes import legality, movement
from repc.passes.parallel import Plan
from repc.passes.terms import terms
from repc.passes.views import LinearView
from repc.passes.workspace import Workspace


def alike_refusal(work: Workspace, rule: str, sum_id: NodeId, dear: Plan | None) -> Refusal | None:
    """Why terms do not merge although they look alike: the target's wish, the cost, or what differs about them."""
    ids = [id for _, id in terms(work.graph[sum_id]).activations]
    kept = legality.kept(work, rule, [sum_id], [ids[0], sum_id], sum_id)
    if kept is not None:
        return kept
    if dear is not None:
        reason = f"{dear.label()} in one would cost {dear.after().against(dear.before())}"
        remedy = "set objective = operators to merge them anyway"
        return work.refusal(rule, (dear.base.branch.id, sum_id), sum_id, reason, remedy)
    first = _first_linear(work, ids)
    if first is None:
        return None
    others = [id for id in ids if id != first]
    return next((found for id in others for found in _alike(work, rule, sum_id, first, id)), None)


def apart_refusal(work: Workspace, rule: str, sum_id: NodeId) -> Refusal:
    """Why terms do not merge that are not alike: what separates the first linear one from another."""
    ids = [id for _, id in terms(work.graph[sum_id]).activations]
    first = _first_linear(work, ids)
    if first is None:
        below = (id for id in ids if any(_down_from(work, id, other) for other in ids))
        branch = next(below, ids[-1])
        reason, remedy = _no_convolution(work, branch)
        return work.refusal(rule, (*work.graph[branch].inputs[:1], branch, sum_id), sum_id, reason, remedy)
    return _apart(work, rule, sum_id, first, next(id for id in ids if id != first))


def _first_linear(work: Workspace, ids: Sequence[NodeId]) -> NodeId | None:
    return next((id for id in ids if work.linear(id) is not None), None)


def _alike(work: Workspace, rule: str, sum_id: NodeId, first: NodeId, other: NodeId) -> Iterator[Refusal]:
    """Reasons that concern two branches of one source."""
    one, two = _linear(work, first), work.linear(other)
    view = two or work.affine(other)
    source = other if one.source == other else view and view.source
    if source != one.source:
        return
    site = {first, other}
    for id in (first, other):
        if id != source:
            edge = (one.source, id, sum_id)
            found = (
                legality.kept(work, rule, [id], edge, sum_id)
                or legality.read_elsewhere(work, rule, edge[1:], sum_id)
                or legality.shared(work, rule, id, site, edge, sum_id)
            )
            if found is not None:
                yield found
    unlike = _unlike(one, two)
    if unlike is not None:
        edge = (one.source, first if other == source else other, sum_id)
        names = f"{work.name(first)} and {work.name(other)}"
        yield work.refusal(rule, edge, sum_id, f"{names} {unlike[0]}", unlike[1])


def _unlike(one: LinearView, two: LinearView | None) -> tuple[str, str] | None:
    """How two branches differ that read the same value; the second may be affine."""
    if two is None:
        if any(stride != 1 for stride in one.stride):
            return "have different strides", "give the identity the same stride"
        return "act on different axes", "permute the channels onto one axis"
    if type(one.op) is not type(two.op):
        return f"are of two kinds, {one.op.name} and {two.op.name}", "use one kind in all branches"
    if one.stride != two.stride:
        return f"have different strides, {list(one.stride)} and {list(two.stride)}", "use one stride in all branches"
    if one.mode != two.mode:
        return f"pad differently, {one.mode} and {two.mode}", "use one padding mode in all branches"
    return None


def _apart(work: Workspace, rule: str, sum_id: NodeId, first: NodeId, other: NodeId) -> Refusal:
    """Two branches without a common source, of which the first is linear."""
    kept = legality.kept(work, rule, [other], [other, sum_id], sum_id)
    if kept is not None:
        return kept
    one, two = _linear(work, first), work.linear(other) or work.affine(other)
    if two is not None:
        reads = [f"{work.name(id)} reads {work.name(view.source)}" for id, view in ((first, one), (other, two))]
        return work.refusal(rule, (two.source, other, sum_id), sum_id, " and ".join(reads), legality.SEPARATE)
    branch = _down_from(work, other, one.source)
    if branch is not None:
        reason, remedy = _no_convolution(work, other)
        return work.refusal(rule, (*branch, sum_id), sum_id, reason, remedy)
    edge = _down_from(work, first, other) or [one.source, first]
    reason = f"{work.name(first)} reads {work.name(one.source)}, not {work.name(other)}"
    return work.refusal(rule, (*edge, sum_id), sum_id, reason, legality.SEPARATE)


def _no_convolution(work: Workspace, id: NodeId) -> tuple[str, str]:
    """Why a branch is not seen as a convolution, and what to do about it."""
    op, name = work.graph[id].op, work.name(id)
    if not isinstance(op, AvgPool):
        if movement.moves(work.graph, id):
            return f"{name} moves values, so that this branch is no convolution", "let it move the sum"
        return legality.between(work, id)
    if op.ceil or (not op.count_include_pad and any(any(pair) for pair in op.padding)):
        return f"{name} averages fewer values at the border, which no convolution does", "count the padding"
    return f"{name} averages alone, which costs no less as a convolution", "add it to a convolution of the same value"


def _linear(work: Workspace, id: NodeId) -> LinearView:
    view = work.linear(id)
    assert view is not None
    return view


def _down_from(work: Workspace, id: NodeId, top: NodeId) -> list[NodeId] | None:
    """The way down to a node from one above it, or None where that one is not found above it nearby."""
    path = [id]
    while len(path) < legality.REACH and work.graph[path[-1]].inputs:
        path.append(work.graph[path[-1]].inputs[0])
        if path[-1] == top:
            return path[::-1]
    return None
