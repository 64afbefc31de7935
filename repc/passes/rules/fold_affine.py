"""F1: an affine map after operators that can take it in."""

from __future__ import annotations

from collections.abc import Iterable

from repc.ir.node import NodeId
from repc.ir.operator import Operator
from repc.ir.trace import Refusal, Step
from repc.passes import legality
from repc.passes.absorb import Absorber, Parts, absorbed, vector
from repc.passes.rule import Rule
from repc.passes.rules.fold_norm_affine import FoldNormAffine
from repc.passes.rules.merge_affine import MergeAffine
from repc.passes.trail import AffineMatch, End, upward
from repc.passes.views import LinearView
from repc.passes.workspace import Workspace


class FoldAffine(Rule[AffineMatch], Absorber):
    """Fold a scale and shift per channel into the linear operators before it.

    Identity: ``s·(W x + b) + t = (diag_o(s) W) x + (s·b + t)``; for batch norm ``s = γ/√(σ² + ε)``, ``t = β − s·μ``.
    The map may act behind whatever it commutes with.  Of a concatenation each part takes its channels of s and t, of a
    sum each term takes s and one of them t.

    Precondition: the channels that are scaled are the output channels, every value in between has one reader, the
    weight is stored for no other node, and batch norm has running statistics.  All the ways up end in operators that
    take it in.

    Trap: the output axis of a transposed convolution is axis 1, counted inside each group; after a linear layer batch
    norm acts on axis 1, which in [b, t, c] are the tokens; ε belongs to the node and not to the checkpoint.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167; Jacob et al. 2018, arXiv:1712.05877, section 3.2.
    """

    id = "F1"

    def match(self, work: Workspace, id: NodeId) -> AffineMatch | None:
        found = self._ways(work, id)
        return found if found is not None and any(self._absorber(work, end) for end in found.ends) else None

    def check(self, work: Workspace, match: AffineMatch) -> Refusal | None:
        refusals = (self._refused(work, end, match.subject) for end in match.ends)
        return next((refusal for refusal in refusals if refusal is not None), None)

    def rewrite(self, work: Workspace, match: AffineMatch) -> list[Step]:
        named = match.subject if len(match.ends) == 1 else None
        steps = [self._take(work, end, match.subject, named) for end in match.ends]
        work.revalue(id for end in match.ends for id in end.chain[:-1])
        work.bypass(match.subject, work.graph[match.subject].inputs[0])
        return steps

    # ------------------------------------------------------------ every end

    def _ways(self, work: Workspace, id: NodeId) -> AffineMatch | None:
        return upward(work, id)

    def _absorber(self, work: Workspace, end: End) -> Absorber | None:
        kinds: Iterable[Absorber] = (self, FoldNormAffine(), MergeAffine())
        return next((kind for kind in kinds if kind.takes(work, end)), None)

    def _refused(self, work: Workspace, end: End, at: NodeId) -> Refusal | None:
        absorber = self._absorber(work, end)
        if absorber is None:
            return work.refusal(self.id, end.chain, at, *legality.between(work, end.node))
        return absorber.misfit(work, end, at) or legality.chain_refusal(work, absorber.id, end.chain, end.node, at)

    def _take(self, work: Workspace, end: End, subject: NodeId, named: NodeId | None) -> Step:
        absorber = self._absorber(work, end)
        assert absorber is not None
        node = absorbed(work, end.node, (subject,), *absorber.taken(work, end), named)
        detail = f"{work.graph[subject].op.name} into {work.graph[end.node].op.name}"
        work.replace(end.node, node)
        return Step(
            self.id if end.facts else absorber.id,
            node.path,
            (work.name(subject),),
            detail,
            origin=node.origin,
            facts=end.facts,
        )

    # ------------------------------------------------------------ a linear operator as one of them

    def takes(self, work: Workspace, end: End) -> bool:
        return work.linear(end.node) is not None

    def misfit(self, work: Workspace, end: End, at: NodeId) -> Refusal | None:
        linear = _linear(work, end)
        if end.view is not None and end.view.axis in (None, linear.channel_axis):
            return None
        name, target = work.name(at), work.name(end.node)
        reason = f"{name} does not act on the output channels of {target}"
        if end.view is not None and len(end.chain) == 2:
            reason = f"{name} acts on axis {end.view.axis}, and the channels of {target} are axis {linear.channel_axis}"
        return work.refusal(self.id, end.chain, at, reason, "permute the channels onto that axis")

    def taken(self, work: Workspace, end: End) -> tuple[Operator, Parts]:
        linear, view = _linear(work, end), end.view
        assert view is not None
        bias = vector(view.shifted(linear.bias), linear.out_channels)
        return linear.op, {"weight": linear.scale_out(view.scale), "bias": bias}


def _linear(work: Workspace, end: End) -> LinearView:
    view = work.linear(end.node)
    assert view is not None
    return view
