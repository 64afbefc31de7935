"""F16: a border that is made up for by a constant map."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from repc.ir.expr import Expr, apply
from repc.ir.node import Node, NodeId
from repc.ir.trace import Refusal, Step
from repc.ir.types import TensorType
from repc.ops import build
from repc.ops.arithmetic import Sum
from repc.passes import legality
from repc.passes.absorb import absorbed
from repc.passes.chains import chains
from repc.passes.compose import aligned, compose
from repc.passes.rule import Rule
from repc.passes.rules.compose_linear import ChainMatch, site_refusal
from repc.passes.views import LinearView
from repc.passes.workspace import Workspace


class BorderMap(Rule[ChainMatch]):
    """Compose across zero padding behind a bias, and add what the bias makes of it as a constant map.

    Identity: ``K₂ * pad(K₁·x + b₁) + b₂ = (K₂·K₁) * pad(x) + m`` with ``m = K₂ * pad(b₁) + b₂`` of shape (c, h, w), the
    same for every x.  A scale and shift in front of a convolution is such a K₁ and b₁.

    Precondition: the target allows it (``border_maps = true``), the sizes are pinned, and the first operator reads
    nothing but its own padding where the second one reads zeros; without the map the composition is not dearer.

    Trap: the map belongs to one size; it weighs as much as the result and takes an addition for each element.

    Source: linearity; folding of input normalisation into zero-padded convolutions is wrong without it.
    """

    id = "F16"

    def match(self, work: Workspace, id: NodeId) -> ChainMatch | None:
        if not work.options.border_maps or work.linear(id) is None:
            return None
        found = next((chain for chain in chains(work, id) if chain.fault is not None), None)
        if found is None or found.fault is None or not found.fault.constant:
            return None
        sizes = (size for at in (id, found.row[-1]) for size in work.graph[at].type.shape[1:])
        return ChainMatch(id, found) if all(isinstance(size, int) for size in sizes) else None

    def check(self, work: Workspace, match: ChainMatch) -> Refusal | None:
        pinned = legality.pinned(work, self.id, match.chain.row[::-1])
        return pinned or site_refusal(work, self.id, match)

    def rewrite(self, work: Workspace, match: ChainMatch) -> list[Step]:
        chain, id = match.chain, match.subject
        inner, outer = chain.links[-1], replace(chain, links=chain.links[:-1]).whole()
        pair = aligned(replace(outer, bias=None), replace(inner, bias=None))
        assert pair is not None
        assert inner.bias is not None
        view, old = compose(*pair), work.graph[id]
        others = [node for node in chain.nodes if node != chain.base]
        node = absorbed(work, chain.base, others, view.op, {"weight": view.weight})
        names = tuple(map(work.name, others))
        added = {"1": _map(outer, inner.bias, work.graph[chain.row[-1]].type, old.type)}
        made = work.add(replace(node, inputs=(view.source,), type=old.type, named=False))
        one = Fraction(1)
        work.replace(id, Node(Sum((one, one)), (made,), added, old.type, node.path, node.origin, node.named))
        return [Step(self.id, node.path, names, "with a border map", "pinned", node.origin)]


def _map(outer: LinearView, bias: Expr, between: TensorType, result: TensorType) -> Expr:
    """What the outer operator makes of the bias at every place of the value in between: (c, h, w)."""
    channels, *sizes = between.with_shape(between.shape[1:]).concrete()
    spread = build.expand(build.reshape(bias, (1, channels, *[1] * len(sizes))), (1, channels, *sizes))
    weights = {"weight": outer.weight} if outer.bias is None else {"weight": outer.weight, "bias": outer.bias}
    return build.reshape(apply(outer.op, x=spread, **weights), result.shape[1:])
