"""F17: a map before a comparison with a constant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from repc.ir.expr import Expr, apply
from repc.ir.node import Node, NodeId
from repc.ir.trace import Refusal, Step
from repc.ops import build
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
    """Fold a scale and a shift into the constant that their result is compared with.

    Identity: ``s·x + t > c`` is ``x > (c − t) / s`` where s > 0, ``x < (c − t) / s`` where s < 0, and the constant
    ``t > c`` where s = 0, channel by channel; the other comparisons alike.

    Precondition: the constant is one value, or one for each channel; nothing else reads the map's result.

    Trap: a negative scale turns the comparison around, so that it is made both ways: at the threshold itself, not being
    greater is not the same as being less.

    Source: Guo et al. 2023 (MPBN), arXiv:2308.08359, which states it for positive scales.
    """

    id = "F17"

    def match(self, work: Workspace, id: NodeId) -> ThresholdMatch | None:
        node = work.graph[id]
        if not isinstance(node.op, Binary) or node.op.function not in MIRRORED or len(node.inputs) != 1:
            return None
        (source,), ((operand, threshold),) = node.inputs, node.weights.items()
        view = work.affine(source)
        if view is None or view.identity or node.type.shape != work.graph[source].type.shape:
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
        node = work.graph[match.comparison]
        node = replace(node, origin=origins(work.graph, (match.comparison, match.subject)))
        scale, shift = (_spread(part, match, node) for part in (match.view.scale, match.view.shift))
        left = match.threshold if shift is None else build.sub(match.threshold, shift)
        compared = _compared(match, node, left) if scale is None else _directed(work, match, node, scale, left)
        step = Step(self.id, node.path, (work.name(match.subject),), "into the threshold", origin=node.origin)
        work.replace(match.comparison, compared)
        return [step]


def _compared(match: ThresholdMatch, node: Node, threshold: Expr, turned: bool = False) -> Node:
    """The comparison of the map's source."""
    op = Binary(MIRRORED[match.function] if turned else match.function)
    return replace(node, op=op, inputs=(match.view.source,), weights={"b": threshold})


def _directed(work: Workspace, match: ThresholdMatch, node: Node, scale: Expr, left: Expr) -> Node:
    """``scale·x > left``: one way or the other by the sign of the scale; of zero it says always the same."""
    zero, one = build.fill((), 0), build.fill((), 1)
    constant = _truth("equal", scale, zero)
    threshold = build.div(left, apply(Where(), condition=constant, a=one, b=scale))
    ways: list[NodeId] = []
    for turned, sign in ((False, "greater"), (True, "less")):
        compared = work.add(_compared(match, node, threshold, turned))
        masked = replace(node, op=Binary("logical_and"), inputs=(compared,), weights={"b": _truth(sign, scale, zero)})
        ways.append(work.add(masked))
    either = work.add(replace(node, op=Binary("logical_or"), inputs=tuple(ways), weights={}))
    always = _truth("logical_and", constant, _truth(match.function, zero, left))
    return replace(node, op=Binary("logical_or"), inputs=(either,), weights={"b": always})


def _truth(function: str, a: Expr, b: Expr) -> Expr:
    return apply(Binary(function), a=a, b=b)


def _spread(part: Expr | None, match: ThresholdMatch, node: Node) -> Expr | None:
    """A part of the map with the rank of the result, so that it broadcasts along its axis."""
    if part is None or not part.type.shape:
        return part
    assert match.view.axis is not None
    return build.along(part, match.view.axis, node.type.rank)
