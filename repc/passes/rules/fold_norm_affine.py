"""F8: an affine map after a normalisation."""

from __future__ import annotations

from repc.ir.expr import Expr
from repc.ir.node import NodeId
from repc.ir.trace import Refusal, Step
from repc.ops import build
from repc.ops.norm import LayerNorm, RMSNorm
from repc.passes import legality
from repc.passes.absorb import absorbed
from repc.passes.rule import Rule
from repc.passes.trail import AffineMatch, trail
from repc.passes.views import AffineView, times
from repc.passes.workspace import Workspace


class FoldNormAffine(Rule[AffineMatch]):
    """Fold a scale and shift into the weight and bias of the normalisation before it.

    Identity: ``g·(γ·x̂ + β) + h = (gγ)·x̂ + (gβ + h)`` where ``x̂`` is the normalised value.

    Precondition: the map acts along an axis that γ and β have: axis 1 of batch and group norm, one of the normalised
    axes of layer and RMS norm, all of them of known size.  Every value in between has one reader, and γ and β are
    stored for no other node.

    Trap: RMS norm has no β, so that a shift does not fold; batch norm without running statistics still has γ and β.

    Source: Ba et al. 2016, arXiv:1607.06450; Zhang and Sennrich 2019, arXiv:1910.07467.
    """

    id = "F8"

    def match(self, work: Workspace, id: NodeId) -> AffineMatch | None:
        found = trail(work, id)
        if found is None or work.affine(found.absorber) is not None:
            return None
        return found if isinstance(work.graph[found.absorber].op, legality.NORMS) else None

    def check(self, work: Workspace, match: AffineMatch) -> Refusal | None:
        name, norm = work.name(match.subject), work.name(match.absorber)
        axes = _axes(work, match.absorber)
        if match.view is None or match.view.axis not in (None, *axes):
            reason = f"{name} does not act along an axis that {norm} scales"
            return work.refusal(self.id, match.chain, match.subject, reason, "scale a normalised axis")
        if not all(isinstance(work.graph[match.absorber].type.shape[axis], int) for axis in axes):
            reason = f"{norm} scales axes whose sizes are free, and a weight has a size"
            return work.refusal(self.id, match.chain, match.subject, reason, "pin the sizes of those axes")
        if match.view.shift is not None and isinstance(work.graph[match.absorber].op, RMSNorm):
            reason = f"{name} shifts, and {norm} has no bias"
            return work.refusal(self.id, match.chain, match.subject, reason, "use layer norm, or only scale")
        return legality.chain_refusal(work, self.id, match.chain, match.absorber, match.subject)

    def rewrite(self, work: Workspace, match: AffineMatch) -> list[Step]:
        view, norm = match.view, work.graph[match.absorber]
        assert view is not None
        axes = _axes(work, match.absorber)
        spread = AffineView(
            view.source, None, _spread(work, match, view.scale, axes), _spread(work, match, view.shift, axes)
        )
        parts: dict[str, Expr | None] = {
            "weight": times(norm.weights.get("weight"), spread.scale),
            "bias": spread.shifted(norm.weights.get("bias")),
        }
        node = absorbed(work, match.absorber, (match.subject,), norm.op, parts, match.subject)
        detail = f"{work.graph[match.subject].op.name} into {norm.op.name}"
        step = Step(self.id, node.path, (work.name(match.subject),), detail, origin=node.origin)
        work.revalue(match.chain[:-1])
        work.replace(match.absorber, node)
        work.bypass(match.subject, work.graph[match.subject].inputs[0])
        return [step]


def _axes(work: Workspace, id: NodeId) -> tuple[int, ...]:
    """The axes of the value that weight and bias of a norm have."""
    op, rank = work.graph[id].op, work.graph[id].type.rank
    return tuple(range(rank - op.axes, rank)) if isinstance(op, LayerNorm | RMSNorm) else (1,)


def _spread(work: Workspace, match: AffineMatch, part: Expr | None, axes: tuple[int, ...]) -> Expr | None:
    """A part of the map with the whole shape of the norm's weight."""
    if part is None or match.view is None:
        return None
    shape = [work.graph[match.absorber].type.shape[axis] for axis in axes]
    if part.type.rank and match.view.axis is not None:
        part = build.along(part, axes.index(match.view.axis), len(axes))
    return build.expand(part, shape)
