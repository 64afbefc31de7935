"""F17: a map before a comparison with a constant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from repc.ir.expr import Expr, apply
from repc.ir.node import Node, NodeId
from repc.ir.trace import Refusal, Step
from repc.ops import build
from repc.ops.arithmetic import Affine, Multiply
from repc.ops.binary import Binary, Where
from repc.passes import legality
from repc.passes.rule import Rule, origins
from repc.passes.views import AffineView
from repc.passes.workspace import Workspace

MIRRORED: Mapping[str, str] = {
    "greater": "less",
    "less": "greater",
    "greater_equal": "less_equal",
    "less_equal": "greater_equal",
}


@dataclass(frozen=True, eq=False, slots=True)
class ThresholdMatch:
    """A comparison of `view`'s result with `threshold`, both along one axis, as ``function(view, threshold)``."""

    subject: NodeId
    comparison: NodeId
    view: AffineView
    function: str
    threshold: Expr


class FoldThreshold(Rule[ThresholdMatch]):
    """Fold a shift and the size of a scale into the constant that their result is compared with.

    Identity: ``s·x + t > c`` is ``sign(s)·x > (c − t) / |s|``, and ``0·x > c − t`` where s = 0, channel by channel; the
    other comparisons alike.  The signs that are left fold into what makes x.

    Precondition: there is a shift; the constant is one value, or one for each channel; nothing else reads the result.

    Trap: a negative scale turns the comparison around, and one of zero makes it a constant.

    Source: Guo et al. 2023 (MPBN), arXiv:2308.08359, which states it for positive scales.
    """

    id = "F17"

    def match(self, work: Workspace, id: NodeId) -> ThresholdMatch | None:
        node = work.graph[id]
        if not isinstance(node.op, Binary) or node.op.function not in MIRRORED or len(node.inputs) != 1:
            return None
        (source,), ((operand, threshold),) = node.inputs, node.weights.items()
        view = work.affine(source)
        if view is None or view.shift is None or node.type.shape != work.graph[source].type.shape:
            return None
        shape = threshold.type.concrete()
        along = [i - len(shape) + node.type.rank for i, size in enumerate(shape) if size != 1]
        if along and along != [view.axis]:
            return None
        function = node.op.function if operand == "b" else MIRRORED[node.op.function]
        return ThresholdMatch(source, id, view, function, threshold)

    def check(self, work: Workspace, match: ThresholdMatch) -> Refusal | None:
        chain = (match.subject, match.comparison)
        return legality.kept(work, self.id, chain, chain, match.subject) or legality.read_elsewhere(
            work, self.id, chain, match.subject
        )

    def rewrite(self, work: Workspace, match: ThresholdMatch) -> list[Step]:
        node, view = work.graph[match.comparison], match.view
        assert view.shift is not None
        threshold, source = build.sub(match.threshold, _spread(view.shift, match, node)), view.source
        if view.scale is not None:
            scale, zero = _spread(view.scale, match, node), build.fill((), 0)
            size = apply(Where(), condition=_truth("equal", scale, zero), a=build.fill((), 1), b=_size(scale))
            threshold, source = build.div(threshold, size), _signed(work, match, _sign(view.scale))
        step = Step(self.id, node.path, (work.name(match.subject),), "into the threshold", origin=node.origin)
        origin = origins(work.graph, (match.comparison, match.subject))
        compared = replace(node, op=Binary(match.function), inputs=(source,), weights={"b": threshold}, origin=origin)
        work.replace(match.comparison, compared)
        return [step]


def _signed(work: Workspace, match: ThresholdMatch, sign: Expr) -> NodeId:
    """The map's source times a sign, in the place of the map."""
    subject, axis = work.graph[match.subject], match.view.axis
    op, operand = (Multiply(), "b") if axis is None else (Affine(axis), "weight")
    node = replace(subject, op=op, inputs=(match.view.source,), weights={operand: sign}, named=False)
    return work.add(node)


def _sign(scale: Expr) -> Expr:
    """1, −1 or 0 by comparisons, which a proof takes for signs."""
    zero, one = build.fill((), 0), build.fill((), 1)
    below = apply(Where(), condition=_truth("less", scale, zero), a=build.fill((), -1), b=zero)
    return apply(Where(), condition=_truth("greater", scale, zero), a=one, b=below)


def _size(scale: Expr) -> Expr:
    return build.mul(scale, _sign(scale))


def _truth(function: str, a: Expr, b: Expr) -> Expr:
    return apply(Binary(function), a=a, b=b)


def _spread(part: Expr, match: ThresholdMatch, node: Node) -> Expr:
    """A part of the map with the rank of the result, so that it broadcasts along its axis."""
    if not part.type.shape:
        return part
    assert match.view.axis is not None
    return build.along(part, match.view.axis, node.type.rank)
