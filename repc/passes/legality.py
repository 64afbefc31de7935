"""What every fold must respect, in words: the target's wishes, other readers, shared weights, and what stands between.

All of these apply to a chain: the nodes from the first to the last that a fold involves, in the order of the data.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from itertools import pairwise

from repc.ir.node import Node, NodeId
from repc.ir.operator import Operator
from repc.ir.trace import Refusal
from repc.ops.arithmetic import Divide, Multiply, Sum
from repc.ops.attention import Attention
from repc.ops.binary import Binary, Where
from repc.ops.constant import Input
from repc.ops.function import Function, LogSoftmax, PRelu, Softmax
from repc.ops.norm import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from repc.ops.opaque import Opaque
from repc.ops.pool import AvgPool, MaxPool
from repc.ops.shape import Slice
from repc.passes.workspace import Workspace

NORMS = (BatchNorm, LayerNorm, GroupNorm, RMSNorm)
NONLINEAR = (Function, Binary, Where, PRelu, Softmax, LogSoftmax, MaxPool, Attention)
SEPARATE = "only branches of one value merge"
REACH = 16  # how far a refusal looks for the operator that could have been meant


def chain_refusal(work: Workspace, rule: str, chain: Sequence[NodeId], absorber: NodeId, at: NodeId) -> Refusal | None:
    """Why values along a chain may not change, and the absorber not take anything in."""
    return (
        kept(work, rule, (at, *chain), chain, at)
        or read_elsewhere(work, rule, chain, at)
        or shared(work, rule, absorber, set(chain), chain, at)
    )


def kept(work: Workspace, rule: str, nodes: Sequence[NodeId], edge: Sequence[NodeId], at: NodeId) -> Refusal | None:
    """The target keeps one of the nodes."""
    found = next((id for id in nodes if work.kept(id)), None)
    if found is None:
        return None
    return work.refusal(rule, edge, at, f"the target keeps {work.name(found)}", "take it out of the keep patterns")


def read_elsewhere(work: Workspace, rule: str, chain: Sequence[NodeId], at: NodeId) -> Refusal | None:
    """A value inside the chain has a second consumer, which would see it changed."""
    for value, reader in pairwise(chain):
        other = work.other_reader(value, [reader, *_elsewhere(work, value, reader)])
        if other is not None:
            reason = f"{work.name(value)} is read by {work.name(reader)} and by {other}"
            return work.refusal(rule, chain, at, reason, "let each have an operator of its own, or fold neither")
    return None


def _elsewhere(work: Workspace, value: NodeId, reader: NodeId) -> list[NodeId]:
    """The readers of other parts of a value than the one that a slice takes."""
    own = work.graph[reader].op
    return [user for user in work.graph.users(value) if _apart(own, work.graph[user].op)]


def _apart(one: Operator, two: Operator) -> bool:
    """Whether two operators take parts of one axis that have nothing in common."""
    if not (isinstance(one, Slice) and isinstance(two, Slice) and one.axis == two.axis):
        return False
    return any(isinstance(a.stop, int) and a.stop <= b.start for a, b in ((one, two), (two, one)))


def shared(
    work: Workspace, rule: str, absorber: NodeId, site: Set[NodeId], edge: Sequence[NodeId], at: NodeId
) -> Refusal | None:
    """A weight is stored for a node outside of the site too, and folding would store it twice with different values."""
    found = work.sharer(absorber, site)
    if found is None:
        return None
    tensor, other = found
    reason = f"{tensor} is shared by {work.name(absorber)} and {work.name(other)}, and folding would untie it"
    return work.refusal(rule, edge, at, reason, "untie the weight, or treat all its uses alike")


def pinned(work: Workspace, rule: str, edge: Sequence[NodeId]) -> Refusal | None:
    """A fold that is right for the sizes at hand alone, where those may yet change."""
    if work.options.pin:
        return None
    return work.refusal(rule, edge, edge[-1], "they are equal for these sizes of the input only", "allow it with pin")


def between(work: Workspace, id: NodeId) -> tuple[str, str]:
    """Why no linear map passes a node, and what to do about it."""
    node, name = work.graph[id], work.name(id)
    if isinstance(node.op, Input):
        return f"{name} is an input", "fold on the side of what is computed"
    if isinstance(node.op, Opaque):
        return f"{name} is the opaque operator {node.op.call.target}", "fold on its own side of it"
    if isinstance(node.op, NONLINEAR):
        return f"{name} is not linear", "fold on its own side of the nonlinearity"
    view = work.affine(id)
    if view is not None:
        return f"{name} acts on {work.name(view.source)}, which nothing beside it reads", SEPARATE
    if isinstance(node.op, BatchNorm):
        return f"{name} has no running statistics, so that its scale depends on the batch", "track running statistics"
    if isinstance(node.op, NORMS):
        return f"{name} divides by statistics of its input", "fold on its own side of the normalisation"
    if isinstance(node.op, AvgPool):
        return f"{name} counts its padding as zeros, to which a shift adds nothing", "pool without padding or its count"
    if isinstance(node.op, Multiply | Divide) and not node.weights:
        return f"{name} multiplies by a gate that is computed from the input", "a gate is no constant; fold beside it"
    if isinstance(node.op, Divide) and "a" in node.weights:
        return f"{name} divides by its input", "fold on its own side of the division"
    if isinstance(node.op, Multiply | Divide | Sum) and len(node.inputs) == 1:
        return f"the constant of {name} is not one value per channel", "scale and shift along one axis"
    if isinstance(node.op, Sum):
        return f"{name} adds values that do not merge", "see why that sum remains"
    return f"no rule carries a scale or a shift through {name}", "move it next to the layer that should take it in"


def upstream_linear(work: Workspace, id: NodeId) -> list[NodeId] | None:
    """The values from the nearest linear operator above a node down to that node, or None if there is none nearby."""
    path = [id]
    while len(path) < REACH:
        node: Node = work.graph[path[-1]]
        if work.linear(path[-1]) is not None:
            return path[::-1]
        if not node.inputs:
            return None
        linear = (source for source in node.inputs if work.linear(source) is not None)
        path.append(next(linear, node.inputs[0]))
    return None
