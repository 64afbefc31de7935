"""N4: scales and shifts side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from repc.ir.expr import Expr
from repc.ir.node import NodeId
from repc.ir.trace import Refusal, Step
from repc.ir.types import TensorType
from repc.ops import build
from repc.ops.arithmetic import Affine, Sum
from repc.passes.absorb import absorbed, vector
from repc.passes.branches import Branch, by_source
from repc.passes.chains import views
from repc.passes.parallel import combined
from repc.passes.rule import Rule
from repc.passes.terms import all_merged, shorten, terms
from repc.passes.views import AffineView
from repc.passes.workspace import Workspace


@dataclass(frozen=True, eq=False, slots=True)
class ScalesMatch:
    subject: NodeId
    members: tuple[Branch, ...]
    axis: int


class SumAffine(Rule[ScalesMatch]):
    """Merge affine maps of one value that a sum adds into one.

    Identity: ``Σ cᵢ·(sᵢ·x + tᵢ) = (Σ cᵢ·sᵢ)·x + Σ cᵢ·tᵢ``; the value itself counts with ``s = 1, t = 0``.

    Precondition: all act along one axis, and each is read by the sum only.

    Trap: the value itself adds one to the scale; without it ``x + γ·x`` loses its residual.

    Source: Yu et al. 2023 (RIFormer), arXiv:2304.05659, where the token mixer becomes such a map.
    """

    id = "N4"

    def match(self, work: Workspace, id: NodeId) -> ScalesMatch | None:
        node = work.graph[id]
        if not isinstance(node.op, Sum) or len(node.inputs) < 2 or work.kept(id):
            return None
        for group in by_source(views(work, id, terms(node).activations)):
            members = [b for b in group if isinstance(b.view, AffineView) and work.graph[b.source].type == node.type]
            axes = {_view(branch).axis for branch in members} - {None}
            axis = axes.pop() if len(axes) == 1 else None if axes else _channels(node.type)
            if axis is not None and len(members) > 1:
                return ScalesMatch(id, tuple(members), axis)
        return None

    def check(self, work: Workspace, match: ScalesMatch) -> Refusal | None:
        return None

    def rewrite(self, work: Workspace, match: ScalesMatch) -> list[Step]:
        size = work.graph[match.subject].type.shape[match.axis]
        assert isinstance(size, int)
        taken = [branch.id for branch in match.members if not branch.plain]
        base, others = taken[0], taken[1:]
        parts = {"weight": _scale(match.members, size), "bias": _shift(match.members, size)}
        merged = {branch.id for branch in match.members}
        # A sum that goes on adding something else keeps its name.
        result = match.subject if all_merged(work.graph[match.subject], merged) else None
        node = absorbed(work, base, (*others, match.subject), Affine(match.axis), parts, result)
        names = tuple(work.name(id) for id in others)
        step = Step(self.id, node.path, names, f"{len(match.members)} scales", origin=node.origin)
        work.revalue([base])
        work.replace(base, node)
        shorten(work, match.subject, base, merged)
        return [step]


def _view(branch: Branch) -> AffineView:
    assert isinstance(branch.view, AffineView)
    return branch.view


def _channels(type: TensorType) -> int | None:
    """An axis of known size along which a scalar can be repeated."""
    return next((axis for axis in (1, type.rank - 1) if axis < type.rank and isinstance(type.shape[axis], int)), None)


def _scale(members: Sequence[Branch], size: int) -> Expr:
    ones = build.fill((size,), 1)
    return combined((b.coefficient, vector(_view(b).scale, size) or ones) for b in members)


def _shift(members: Sequence[Branch], size: int) -> Expr | None:
    present: list[tuple[Fraction, Expr]] = []
    for branch in members:
        shift = vector(_view(branch).shift, size)
        if shift is not None:
            present.append((branch.coefficient, shift))
    return combined(present) if present else None
