"""F14: linear operators on one value whose results are concatenated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import prod

from repc.ir.expr import Expr
from repc.ir.node import NodeId
from repc.ir.trace import Refusal, Step
from repc.ir.types import TensorType
from repc.ops import build
from repc.ops.shape import Concat
from repc.passes.absorb import absorbed
from repc.passes.cost import FLOAT_BYTES, Cost, stored
from repc.passes.frames import Frame, enclose, same_for_all_sizes
from repc.passes.kernels import embed
from repc.passes.legality import pinned
from repc.passes.rule import Rule
from repc.passes.views import LinearView
from repc.passes.workspace import Workspace


@dataclass(frozen=True, eq=False, slots=True)
class SiblingMatch:
    """Operands of a concatenation that follow each other and become one, in a frame that holds all of theirs."""

    subject: NodeId
    members: tuple[NodeId, ...]
    frame: Frame


class StackSiblings(Rule[SiblingMatch]):
    """Merge linear operators on one value whose results stand side by side into one with more output channels.

    Identity: ``concat(W₁x + b₁, W₂x + b₂) = [W₁; W₂] x + [b₁; b₂]`` after aligning the taps as in F3.

    Precondition: they are concatenated along their channels, next to each other, read the same value with one stride
    and padding mode, without groups, each is read there only, and its weight is stored for no node outside; kernels
    that have to be enlarged cost no more together than apart.

    Trap: the channels of a grouped convolution are ordered by group, so that two of them do not simply follow each
    other; a transposed convolution has its output channels on axis 1.

    Source: Szegedy et al. 2015 (Inception), arXiv:1409.4842, whose 1x1 branches run as one.
    """

    id = "F14"

    def match(self, work: Workspace, id: NodeId) -> SiblingMatch | None:
        node = work.graph[id]
        if not isinstance(node.op, Concat) or node.weights or work.kept(id):
            return None
        objective = work.options.objective_at(node.path)
        found = (match for run in _runs(work, id, node.op.axis) for match in _matches(work, id, run))
        return next((match for match in found if _pays(work, match, objective)), None)

    def check(self, work: Workspace, match: SiblingMatch) -> Refusal | None:
        return None if _exact(work, match) else pinned(work, self.id, (match.members[0], match.subject))

    def rewrite(self, work: Workspace, match: SiblingMatch) -> list[Step]:
        base, *others = match.members
        node, concat, views = work.graph[base], work.graph[match.subject], [_linear(work, m) for m in match.members]
        op = views[0].operator(1, match.frame, next((view.mode for view in views if view.mode), None))
        made = absorbed(work, base, others, op, {"weight": _weight(views, match.frame), "bias": stacked_bias(views)})
        assert isinstance(concat.op, Concat)
        axis, shape = concat.op.axis, node.type.shape
        wide = (*shape[:axis], sum(view.out_channels for view in views), *shape[axis + 1 :])
        names = tuple(work.name(member) for member in others)
        exactness = "exact" if _exact(work, match) else "pinned"
        step = Step(self.id, made.path, names, f"{len(views)} side by side", exactness, made.origin)
        work.revalue([base])
        work.replace(base, replace(made, type=TensorType(wide, node.type.dtype)))
        work.replace(match.subject, replace(concat, inputs=tuple(i for i in concat.inputs if i not in others)))
        return [step]


def _exact(work: Workspace, match: SiblingMatch) -> bool:
    """Whether it holds for every size of the input."""
    return same_for_all_sizes([_linear(work, member).frame for member in match.members])


def _runs(work: Workspace, id: NodeId, axis: int) -> Iterator[list[NodeId]]:
    """Operands that follow each other and could be one."""
    for kind, run in groupby(work.graph[id].inputs, lambda source: _kind(work, id, source, axis)):
        members = list(run)
        if kind is not None and len(members) > 1:
            yield members


def _kind(work: Workspace, concat: NodeId, source: NodeId, axis: int) -> object:
    """What siblings have in common; None for what has to stay by itself."""
    view = work.linear(source)
    if view is None or view.groups != 1 or view.channel_axis != axis or work.kept(source):
        return None
    if work.graph.sole_user(source) != concat or work.sharer(source, {source}) is not None:
        return None
    return view.source, type(view.op), view.stride, view.mode or "constant"


def _linear(work: Workspace, id: NodeId) -> LinearView:
    view = work.linear(id)
    assert view is not None
    return view


def _matches(work: Workspace, id: NodeId, run: Sequence[NodeId]) -> Iterator[SiblingMatch]:
    """All siblings in the smallest frame that holds theirs, then those that have the same one."""
    views = [_linear(work, member) for member in run]
    yield SiblingMatch(id, tuple(run), enclose([view.frame for view in views], views[0].transposed))
    for frame, part in groupby(run, lambda member: _linear(work, member).frame):
        members = tuple(part)
        if 1 < len(members) < len(run):
            yield SiblingMatch(id, members, frame)


def _pays(work: Workspace, match: SiblingMatch, objective: str) -> bool:
    """Whether one operator is not dearer than all of them."""
    views = [_linear(work, member) for member in match.members]
    weights = [expr for view in views for expr in (view.weight, view.bias) if expr is not None]
    before = Cost(sum(prod(view.weight.type.concrete()) for view in views), stored(weights))
    elements = sum(prod(view.weight.type.concrete()[:2]) for view in views) * prod(w.taps for w in match.frame)
    biases = sum(view.out_channels for view in views) if any(view.bias is not None for view in views) else 0
    return not Cost(elements, FLOAT_BYTES * (elements + biases)).dearer(before, objective)


def _weight(views: Sequence[LinearView], frame: Frame) -> Expr:
    return build.concat([embed(view.weight, view.frame, frame) for view in views], int(views[0].transposed))


def stacked_bias(views: Sequence[LinearView]) -> Expr | None:
    """The biases one after another, zeros for those that have none; None where none has one."""
    if all(view.bias is None for view in views):
        return None
    return build.concat([view.bias or build.fill((view.out_channels,), 0) for view in views], 0)
