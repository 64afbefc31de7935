"""F2: an affine map before a linear operator."""

from __future__ import annotations

from repc.ir.node import NodeId
from repc.ir.trace import Refusal, Step
from repc.passes import legality, movement
from repc.passes.absorb import absorbed
from repc.passes.rule import Rule
from repc.passes.trail import ForwardMatch
from repc.passes.views import LinearView, plus
from repc.passes.workspace import Workspace


class FoldAffineForward(Rule[ForwardMatch]):
    """Fold a scale and shift per channel into the linear operator behind it.

    Identity: ``W (s·x + t) + b = (W diag_i(s)) x + (b + Σ W·t)``.
    The map may act before reshapes, permutations and averages, which it commutes with.

    Precondition: the linear operator is the only reader and its weight is stored for no other node; a shift needs a
    convolution that reads no zeros beyond the edge (other padding modes repeat shifted values, and pass).

    Trap: zero padding stands behind the shift, so that at the border ``t`` is missing from some taps.

    Source: Jacob et al. 2018, arXiv:1712.05877; the border is ignored by most converters that fold input statistics.
    """

    id = "F2"

    def match(self, work: Workspace, id: NodeId) -> ForwardMatch | None:
        if work.linear(id) is None:
            return None
        chain, at = [id], work.graph[id].inputs[0]
        while movement.moves(work.graph, at):
            chain.append(at)
            at = work.graph[at].inputs[0]
        view = work.affine(at)
        if view is None or view.identity:
            return None
        if view.shift is not None and not all(movement.moves(work.graph, passed, shift=True) for passed in chain[1:]):
            return None
        for passed in chain[:0:-1]:
            view = view and movement.behind(work.graph, passed, view)
        return ForwardMatch((at, *reversed(chain)), view)

    def check(self, work: Workspace, match: ForwardMatch) -> Refusal | None:
        linear, view = work.linear(match.absorber), match.view
        assert linear is not None
        name, target = work.name(match.subject), work.name(match.absorber)
        if view is None or view.axis not in (None, linear.channel_axis):
            reason = f"{name} does not act on the input channels of {target}"
            return work.refusal(self.id, match.chain, match.subject, reason, "permute the channels onto that axis")
        if view.shift is not None and not _reads_everything(linear):
            reason, remedy = _border(linear, name, target)
            return work.refusal(self.id, match.chain, match.subject, reason, remedy)
        return legality.chain_refusal(work, self.id, match.chain, match.absorber, match.subject)

    def rewrite(self, work: Workspace, match: ForwardMatch) -> list[Step]:
        linear, view = work.linear(match.absorber), match.view
        assert linear is not None
        assert view is not None
        bias = linear.bias if view.shift is None else plus(linear.bias, linear.response(view.shift))
        parts = {"weight": linear.scale_in(view.scale), "bias": bias}
        node = absorbed(work, match.absorber, (match.subject,), linear.op, parts)
        detail = f"{work.graph[match.subject].op.name} into {work.graph[match.absorber].op.name} behind it"
        step = Step(self.id, node.path, (work.name(match.subject),), detail, origin=node.origin)
        work.revalue(match.chain[:-1])
        work.replace(match.absorber, node)
        work.bypass(match.subject, work.graph[match.subject].inputs[0])
        return [step]


def _reads_everything(linear: LinearView) -> bool:
    """Whether every output sees the shift through every tap."""
    if linear.transposed:
        single = all(window.taps == 1 and not window.extra for window in linear.frame)
        return single and all(stride == 1 for stride in linear.stride)
    return linear.mode != "constant"


def _border(linear: LinearView, name: str, target: str) -> tuple[str, str]:
    if linear.transposed:
        reason = f"not every output of {target} reads the shift of {name} through every tap"
        return reason, "shift after it, or only scale"
    reason = f"{target} reads zeros beyond the border, where {name} would have put its shift"
    return reason, "pad before it, or with the value that it makes of zero"
