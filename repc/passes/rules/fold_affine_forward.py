"""F2: an affine map before operators that can take it in."""

from __future__ import annotations

from repc.ir.node import NodeId
from repc.ir.operator import Operator
from repc.ir.trace import Refusal, Step
from repc.passes import legality, maps
from repc.passes.absorb import Absorber, Parts, absorbed
from repc.passes.borders import MAPPED, missing, reach
from repc.passes.rule import Rule
from repc.passes.rules.merge_affine import MergeAffine
from repc.passes.trail import AffineMatch, End, downward
from repc.passes.views import LinearView, plus
from repc.passes.workspace import Workspace


class FoldAffineForward(Rule[AffineMatch], Absorber):
    """Fold a scale and shift per channel into the linear operators behind it.

    Identity: ``W (s·x + t) + b = (W diag_i(s)) x + (b + Σ W·t)``.
    The map may act before whatever it commutes with, and so along several axes that are one before a linear layer.
    Another scale and shift behind it takes it in as well.

    Precondition: everything that reads the map's result takes it in, and no weight is stored for a node elsewhere; a
    shift needs convolutions that read no zeros beyond the edge (other padding modes repeat shifted values, and pass).

    Trap: zero padding stands behind the shift, so that at the border ``t`` is missing from some taps.

    Source: Jacob et al. 2018, arXiv:1712.05877; the border is ignored by most converters that fold input statistics.
    """

    id = "F2"

    def match(self, work: Workspace, id: NodeId) -> AffineMatch | None:
        view = work.affine(id)
        map = maps.of_constant(work.graph, id) if view is None else None if view.identity else maps.of(view)
        if map is None:
            return None
        found = downward(work, id, map)
        return found if any(self.takes(work, end) for end in found.ends) else None

    def check(self, work: Workspace, match: AffineMatch) -> Refusal | None:
        return unwilling(work, self.id, match)

    def rewrite(self, work: Workspace, match: AffineMatch) -> list[Step]:
        steps = pushed(work, self.id, match)
        work.bypass(match.subject, work.graph[match.subject].inputs[0])
        return steps

    # ------------------------------------------------------------ a linear operator as a reader

    def takes(self, work: Workspace, end: End) -> bool:
        return work.linear(end.node) is not None

    def misfit(self, work: Workspace, end: End, at: NodeId) -> Refusal | None:
        linear, view = _linear(work, end), end.view
        name, target = work.name(at), work.name(end.node)
        if view is None or view.axis not in (None, linear.channel_axis):
            reason = f"{name} does not act on the input channels of {target}"
            return work.refusal(self.id, end.chain, at, reason, "permute the channels onto that axis")
        if view.shift is not None and not reads_everything(linear):
            off = None if linear.transposed else missing(linear, view.shift)
            return work.refusal(self.id, end.chain, at, *_border(linear, name, target), off)
        return None

    def taken(self, work: Workspace, end: End) -> tuple[Operator, Parts]:
        linear, view = _linear(work, end), end.view
        assert view is not None
        bias = linear.bias if view.shift is None else plus(linear.bias, linear.response(view.shift))
        return linear.op, {"weight": linear.scale_in(view.scale), "bias": bias}


def unwilling(work: Workspace, rule: str, match: AffineMatch) -> Refusal | None:
    """Why not everything that reads the result of a map takes the map in."""
    for end in match.ends:
        refusal = _unwilling(work, rule, match, end)
        if refusal is not None:
            return refusal
    for chain in match.outputs:
        name = next(name for name, id in work.graph.outputs.items() if id == chain[-1])
        return _read_twice(work, rule, match, chain, f"output {name}")
    return None


def pushed(work: Workspace, rule: str, match: AffineMatch) -> list[Step]:
    """Let everything that reads the result of a map take the map in."""
    work.revalue(id for end in match.ends for id in end.chain[:-1])
    return [_pushed(work, rule, match.subject, end) for end in match.ends]


def parts(work: Workspace, end: End) -> Parts:
    """The weights of a reader with the map taken in."""
    absorber = _absorber(work, end)
    assert absorber is not None
    return absorber.taken(work, end)[1]


def _unwilling(work: Workspace, rule: str, match: AffineMatch, end: End) -> Refusal | None:
    absorber, at = _absorber(work, end), match.subject
    if absorber is None:
        return _read_twice(work, rule, match, end.chain, work.name(end.node))
    return (
        absorber.misfit(work, end, at)
        or legality.kept(work, rule, end.chain, end.chain, at)
        or legality.shared(work, rule, end.node, set(end.chain), end.chain, at)
    )


def _read_twice(work: Workspace, rule: str, match: AffineMatch, chain: tuple[NodeId, ...], reader: str) -> Refusal:
    taker = next(work.name(end.node) for end in match.ends if _absorber(work, end) is not None)
    reason = f"{work.name(match.subject)} is read by {taker} and by {reader}"
    remedy = "let each have an operator of its own, or fold neither"
    return work.refusal(rule, chain, match.subject, reason, remedy)


def _pushed(work: Workspace, rule: str, subject: NodeId, end: End) -> Step:
    absorber = _absorber(work, end)
    assert absorber is not None
    node = absorbed(work, end.node, (subject,), *absorber.taken(work, end))
    detail = f"{work.graph[subject].op.name} into {work.graph[end.node].op.name} behind it"
    work.replace(end.node, node)
    return Step(rule, node.path, (work.name(subject),), detail, origin=node.origin, facts=end.facts)


def _absorber(work: Workspace, end: End) -> Absorber | None:
    kinds: tuple[Absorber, ...] = (FoldAffineForward(), MergeAffine(behind=True))
    return next((kind for kind in kinds if kind.takes(work, end)), None)


def _linear(work: Workspace, end: End) -> LinearView:
    view = work.linear(end.node)
    assert view is not None
    return view


def reads_everything(linear: LinearView) -> bool:
    """Whether every output sees the shift through every tap."""
    if linear.transposed:
        single = all(window.taps == 1 and not window.extra for window in linear.frame)
        return single and all(stride == 1 for stride in linear.stride)
    return linear.mode != "constant"


def _border(linear: LinearView, name: str, target: str) -> tuple[str, str]:
    if linear.transposed:
        reason = f"not every output of {target} reads the shift of {name} through every tap"
        return reason, f"shift after it, or only scale, or {MAPPED}"
    reason = f"{target} reads zeros beyond the border, where {name} would have put its shift"
    return reason + reach(linear), f"pad before it, or with the value that it makes of zero, or {MAPPED}"
