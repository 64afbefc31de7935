"""F18: small networks side by side with one activation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from repc.ir.expr import Expr
from repc.ir.node import NodeId
from repc.ir.trace import Refusal, Step
from repc.ir.types import TensorType
from repc.ops import build
from repc.ops.arithmetic import Sum
from repc.ops.function import Function
from repc.passes.absorb import absorbed
from repc.passes.rule import Rule
from repc.passes.rules.stack_siblings import stacked_bias
from repc.passes.terms import shorten, terms
from repc.passes.views import LinearView
from repc.passes.workspace import Workspace


@dataclass(frozen=True, eq=False, slots=True)
class Branch:
    """``coefficient · outer(act(inner(x)))``: two linear operators with an elementwise function between them."""

    coefficient: Fraction
    nodes: tuple[NodeId, NodeId, NodeId]
    inner: LinearView
    outer: LinearView


@dataclass(frozen=True, eq=False, slots=True)
class HiddenMatch:
    """A sum with some of its terms."""

    subject: NodeId
    branches: Sequence[Branch]


class StackHidden(Rule[HiddenMatch]):
    """Merge branches of a sum that differ in their hidden channels only into one with all of these.

    Identity: ``B₁f(A₁x + a₁) + B₂f(A₂x + a₂) = [B₁ B₂] f([A₁; A₂] x + [a₁; a₂])`` for an elementwise f.

    Precondition: the branches read the same value, their operators are alike and without groups, and f is the same;
    each part is read there only, and its weight is stored for no node outside.

    Trap: the columns of the outer layer follow the rows of the inner one; its biases are added, not put side by side.

    Source: He et al. 2022, arXiv:2110.04366, section 3.3, on parallel adapters.
    """

    id = "F18"

    def match(self, work: Workspace, id: NodeId) -> HiddenMatch | None:
        node = work.graph[id]
        if not isinstance(node.op, Sum) or len(node.inputs) < 2 or work.kept(id):
            return None
        alike: dict[object, list[Branch]] = {}
        for coefficient, source in terms(node).activations:
            branch = _branch(work, id, coefficient, source)
            if branch is not None:
                alike.setdefault(_kind(work, branch), []).append(branch)
        return next((HiddenMatch(id, found) for found in alike.values() if len(found) > 1), None)

    def check(self, work: Workspace, match: HiddenMatch) -> Refusal | None:
        return None

    def rewrite(self, work: Workspace, match: HiddenMatch) -> list[Step]:
        branches, first = match.branches, match.branches[0]
        inner, act, outer = first.nodes
        views = [branch.inner for branch in branches]
        others = [branch.nodes for branch in branches[1:]]
        weight = build.concat([view.weight for view in views], int(first.inner.transposed))
        rows = {"weight": weight, "bias": stacked_bias(views)}
        made = absorbed(work, inner, [nodes[0] for nodes in others], first.inner.op, rows)
        axis, shape = first.inner.channel_axis, made.type.shape
        wide = TensorType((*shape[:axis], sum(v.out_channels for v in views), *shape[axis + 1 :]), made.type.dtype)
        columns = {"weight": _columns(branches), "bias": _bias(branches)}
        read = absorbed(work, outer, [nodes[2] for nodes in others], first.outer.op, columns)
        names = tuple(work.name(id) for nodes in others for id in nodes)
        work.revalue(first.nodes)
        work.replace(inner, replace(made, type=wide))
        work.replace(act, replace(work.graph[act], type=wide))
        work.replace(outer, read)
        shorten(work, match.subject, outer, {branch.nodes[2] for branch in branches})
        return [Step(self.id, read.path, names, f"{len(branches)} hidden layers in one", origin=read.origin)]


def _branch(work: Workspace, sum_id: NodeId, coefficient: Fraction, source: NodeId) -> Branch | None:
    """The branch that ends in a term, where nothing else reads or stores a part of it."""
    outer = work.linear(source)
    if outer is None or not isinstance(work.graph[outer.source].op, Function):
        return None
    act, (before,) = outer.source, work.graph[outer.source].inputs
    inner = work.linear(before)
    if inner is None or any(view.groups != 1 for view in (inner, outer)):
        return None
    nodes, readers = (before, act, source), (act, source, sum_id)
    free = all(work.graph.sole_user(id) == reader for id, reader in zip(nodes, readers, strict=True))
    if not free or any(work.kept(id) or work.sharer(id, {id}) is not None for id in nodes):
        return None
    return Branch(coefficient, nodes, inner, outer)


def _kind(work: Workspace, branch: Branch) -> object:
    """What branches have in common."""
    views = (branch.inner, branch.outer)
    return branch.inner.source, work.graph[branch.nodes[1]].op, *((view.op, view.frame) for view in views)


def _columns(branches: Sequence[Branch]) -> Expr:
    axis = int(not branches[0].outer.transposed)
    return build.concat([build.scale(branch.outer.weight, branch.coefficient) for branch in branches], axis)


def _bias(branches: Sequence[Branch]) -> Expr | None:
    found = [(branch.coefficient, branch.outer.bias) for branch in branches]
    biases = [(coefficient, bias) for coefficient, bias in found if bias is not None]
    return build.combine(biases) if biases else None
