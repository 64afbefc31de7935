"""F12: a scale after a nonlinearity that scales alike."""

from __future__ import annotations

from repc.ir.node import NodeId
from repc.passes.rules.fold_affine import FoldAffine
from repc.passes.trail import AffineMatch, upward
from repc.passes.workspace import Workspace


class FoldHomogeneous(FoldAffine):
    """Fold a scale that is not negative through a nonlinearity into the operators before it.

    Identity: ``r·relu(z) = relu(r·z)`` for r ≥ 0, channel by channel; leaky and parametric relu and the absolute value
    scale alike.

    Precondition: as in F1, without a shift, and r ≥ 0: because it is made so (a root, a norm, a positive constant), or
    because the weights at hand are, where the target lets folding look at them.

    Trap: a negative r turns relu around; one negative channel is enough.  A scale that any linear operator behind it
    takes in needs no sign, so that F2 comes first.

    Source: Neyshabur et al. 2015 (Path-SGD), arXiv:1506.02617, section 2.
    """

    id = "F12"

    def _ways(self, work: Workspace, id: NodeId) -> AffineMatch | None:
        found = upward(work, id, signed=True)
        return found if found is not None and any(end.facts for end in found.ends) else None
