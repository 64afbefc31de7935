"""F8: an affine map after a normalisation."""

from __future__ import annotations

from repc.ir.expr import Expr
from repc.ir.node import NodeId
from repc.ir.operator import Operator
from repc.ir.trace import Refusal
from repc.ops import build
from repc.ops.norm import LayerNorm, RMSNorm
from repc.passes.absorb import Absorber, Parts
from repc.passes.legality import NORMS
from repc.passes.trail import End
from repc.passes.views import AffineView, times
from repc.passes.workspace import Workspace


class FoldNormAffine(Absorber):
    """Fold a scale and shift into the weight and bias of the normalisation before it.

    Identity: ``g·(γ·x̂ + β) + h = (gγ)·x̂ + (gβ + h)`` where ``x̂`` is the normalised value.

    Precondition: the map acts along an axis that γ and β have: axis 1 of batch and group norm, one of the normalised
    axes of layer and RMS norm, all of them of known size.  Every value in between has one reader, and γ and β are
    stored for no other node.

    Trap: RMS norm has no β, so that a shift does not fold; batch norm without running statistics still has γ and β.

    Source: Ba et al. 2016, arXiv:1607.06450; Zhang and Sennrich 2019, arXiv:1910.07467.
    """

    id = "F8"

    def takes(self, work: Workspace, end: End) -> bool:
        return isinstance(work.graph[end.node].op, NORMS) and work.affine(end.node) is None

    def misfit(self, work: Workspace, end: End, at: NodeId) -> Refusal | None:
        name, norm = work.name(at), work.name(end.node)
        axes = _axes(work, end.node)
        if end.view is None or end.view.axis not in (None, *axes):
            reason = f"{name} does not act along an axis that {norm} scales"
            return work.refusal(self.id, end.chain, at, reason, "scale a normalised axis")
        if not all(isinstance(work.graph[end.node].type.shape[axis], int) for axis in axes):
            reason = f"{norm} scales axes whose sizes are free, and a weight has a size"
            return work.refusal(self.id, end.chain, at, reason, "pin the sizes of those axes")
        if end.view.shift is not None and isinstance(work.graph[end.node].op, RMSNorm):
            reason = f"{name} shifts, and {norm} has no bias"
            return work.refusal(self.id, end.chain, at, reason, "use layer norm, or only scale")
        return None

    def taken(self, work: Workspace, end: End) -> tuple[Operator, Parts]:
        norm = work.graph[end.node]
        spread = _spread(work, end)
        return norm.op, {
            "weight": times(norm.weights.get("weight"), spread.scale),
            "bias": spread.shifted(norm.weights.get("bias")),
        }


def _axes(work: Workspace, id: NodeId) -> tuple[int, ...]:
    """The axes of the value that weight and bias of a norm have."""
    op, rank = work.graph[id].op, work.graph[id].type.rank
    return tuple(range(rank - op.axes, rank)) if isinstance(op, LayerNorm | RMSNorm) else (1,)


def _spread(work: Workspace, end: End) -> AffineView:
    """The map with the whole shape of the norm's weight."""
    view, axes = end.view, _axes(work, end.node)
    assert view is not None
    shape = [work.graph[end.node].type.shape[axis] for axis in axes]

    def spread(part: Expr | None) -> Expr | None:
        if part is not None and part.type.rank and view.axis is not None:
            part = build.along(part, axes.index(view.axis), len(axes))
        return part and build.expand(part, shape)

    return AffineView(view.source, None, spread(view.scale), spread(view.shift))
