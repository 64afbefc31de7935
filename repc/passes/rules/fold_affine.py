"""F1: an affine map after a linear operator."""

from __future__ import annotations

from repc.ir.node import NodeId
from repc.ir.trace import Refusal, Step
from repc.passes import legality
from repc.passes.absorb import absorbed, vector
from repc.passes.rule import Rule
from repc.passes.trail import AffineMatch, trail
from repc.passes.workspace import Workspace


class FoldAffine(Rule[AffineMatch]):
    """Fold a scale and shift per channel into the linear operator before it.

    Identity: ``s·(W x + b) + t = (diag_o(s) W) x + (s·b + t)``; for batch norm ``s = γ/√(σ² + ε)``, ``t = β − s·μ``.
    The map may act behind reshapes, permutations and averages, which it commutes with.

    Precondition: the channels that are scaled are the output channels, every value in between has one reader, the
    weight is stored for no other node, and batch norm has running statistics.

    Trap: the output axis of a transposed convolution is axis 1, counted inside each group; after a linear layer batch
    norm acts on axis 1, which in [b, t, c] are the tokens; ε belongs to the node and not to the checkpoint.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167; Jacob et al. 2018, arXiv:1712.05877, section 3.2.
    """

    id = "F1"

    def match(self, work: Workspace, id: NodeId) -> AffineMatch | None:
        found = trail(work, id)
        return found if found is not None and work.linear(found.absorber) is not None else None

    def check(self, work: Workspace, match: AffineMatch) -> Refusal | None:
        chain, at = match.chain, match.subject
        linear = work.linear(match.absorber)
        assert linear is not None
        if match.view is None or match.view.axis not in (None, linear.channel_axis):
            return work.refusal(self.id, chain, at, _misplaced(work, match), "permute the channels onto that axis")
        return legality.chain_refusal(work, self.id, chain, match.absorber, at)

    def rewrite(self, work: Workspace, match: AffineMatch) -> list[Step]:
        linear, view = work.linear(match.absorber), match.view
        assert linear is not None
        assert view is not None
        bias = vector(view.shifted(linear.bias), linear.out_channels)
        parts = {"weight": linear.scale_out(view.scale), "bias": bias}
        node = absorbed(work, match.absorber, (match.subject,), linear.op, parts, match.subject)
        detail = f"{work.graph[match.subject].op.name} into {work.graph[match.absorber].op.name}"
        step = Step(self.id, node.path, (work.name(match.subject),), detail, origin=node.origin)
        work.revalue(match.chain[:-1])
        work.replace(match.absorber, node)
        work.bypass(match.subject, work.graph[match.subject].inputs[0])
        return [step]


def _misplaced(work: Workspace, match: AffineMatch) -> str:
    linear = work.linear(match.absorber)
    assert linear is not None
    name, target = work.name(match.subject), work.name(match.absorber)
    if match.view is not None and len(match.chain) == 2:
        return f"{name} acts on axis {match.view.axis}, and the channels of {target} are axis {linear.channel_axis}"
    return f"{name} does not act on the output channels of {target}"
