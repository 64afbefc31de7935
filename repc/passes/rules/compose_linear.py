"""F5: linear operators in a row."""

from __future__ import annotations

from dataclasses import dataclass, replace

from repc.ir.expr import Expr
from repc.ir.node import NodeId
from repc.ir.trace import Refusal, Step
from repc.ops.pool import AvgPool
from repc.passes import legality
from repc.passes.absorb import absorbed
from repc.passes.borders import missing
from repc.passes.branches import Chain
from repc.passes.chains import chains
from repc.passes.cost import running
from repc.passes.frames import crops
from repc.passes.rule import Rule
from repc.passes.rules.average_as_conv import AverageAsConv
from repc.passes.workspace import Workspace


@dataclass(frozen=True, eq=False, slots=True)
class ChainMatch:
    """A linear operator with those above it that would become one with it."""

    subject: NodeId
    chain: Chain


class ComposeLinear(Rule[ChainMatch]):
    """Compose linear operators that follow each other into one.

    Identity: ``K₂ * (K₁ * x + b₁) + b₂ = K * x + (b₂ + Σ K₂·b₁)``, where tap (i, j) of K lands at ``d₁·i + s₁·d₂·j``,
    the stride is ``s₁·s₂`` and the padding ``p₁ + s₁·p₂``; for layers without spatial axes ``K = K₂·K₁``.  Padding is
    the identity with padding of its own, a sum of maps of one value is one of them.

    Precondition: every value in between has one reader, no weight is stored for a node outside, and the composition is
    not dearer.  The outer operator does not pad, or pads with what the inner one makes of zeros, which is its bias, and
    the inner one reads nothing but its own padding there.

    Trap: zero padding stands behind the bias of the inner operator, so that the border is wrong where that is not zero;
    3×3 after 3×3, both padded by 1, is no 5×5 padded by 2, bias or not.

    Source: Ding et al. 2021 (DBB), arXiv:2103.13425, transforms III and V; Bhardwaj et al. 2022 (SESR),
    arXiv:2103.09404; Guo et al. 2020 (ExpandNets), arXiv:1811.10495.
    """

    id = "F5"

    def match(self, work: Workspace, id: NodeId) -> ChainMatch | None:
        if work.linear(id) is None and not isinstance(work.graph[id].op, AvgPool):
            return None
        found = [ChainMatch(id, chain) for chain in chains(work, id) if _several(work, chain)]
        return next((match for match in found if _allowed(work, match)), found[0] if found else None)

    def check(self, work: Workspace, match: ChainMatch) -> Refusal | None:
        chain, at = match.chain, match.subject
        if chain.fault is not None:
            edge = chain.row[::-1]
            inner, outer = (work.name(id) for id in edge[:2])
            reason, remedy = (text.format(outer=outer, inner=inner) for text in chain.fault[:2])
            return work.refusal(self.id, edge, at, reason, remedy, _off(chain) if chain.fault.constant else None)
        return site_refusal(work, self.id, match)

    def rewrite(self, work: Workspace, match: ChainMatch) -> list[Step]:
        chain, view, id = match.chain, match.chain.whole(), match.subject
        others = [node for node in chain.nodes if node != chain.base]
        node = absorbed(work, chain.base, others, view.op, {"weight": view.weight, "bias": view.bias})
        names, detail = tuple(map(work.name, others)), " after ".join(work.graph[at].op.name for at in chain.row)
        averages = AverageAsConv.steps(work, node.path, chain.nodes)
        work.replace(id, replace(node, inputs=(view.source,), type=work.graph[id].type))
        return [*averages, Step(self.id, node.path, names, detail, origin=node.origin)]


def site_refusal(work: Workspace, rule: str, match: ChainMatch) -> Refusal | None:
    """Why operators that are one map stay several: the cost, or a weight that is stored elsewhere too."""
    chain, at = match.chain, match.subject
    edge = chain.row[::-1]
    if _dearer(work, match):
        cost = running(chain.view).against(chain.cost)
        reason = f"{' and '.join(map(work.name, edge))} in one would cost {cost}"
        return work.refusal(rule, edge, at, reason, "set objective = operators to compose them anyway")
    shared = (legality.shared(work, rule, id, set(chain.nodes), edge, at) for id in chain.nodes)
    return next((refusal for refusal in shared if refusal is not None), None)


def _off(chain: Chain) -> Expr | None:
    """What the composition would be off by at the border, where the outermost operator pads once."""
    outer, inner = replace(chain, links=chain.links[:-1]).whole(), chain.links[-1]
    return None if inner.bias is None or outer.transposed else missing(outer, inner.bias)


def _allowed(work: Workspace, match: ChainMatch) -> bool:
    """Whether there is nothing to refuse; words are for one place, and this is asked of many."""
    nodes = set(match.chain.nodes)
    dear = match.chain.fault is not None or _dearer(work, match)
    return not dear and all(work.sharer(id, nodes) is None for id in nodes)


def _dearer(work: Workspace, match: ChainMatch) -> bool:
    objective = work.options.objective_at(work.graph[match.subject].path)
    return running(match.chain.view).dearer(match.chain.cost, objective)


def _several(work: Workspace, chain: Chain) -> bool:
    """Whether it could be one operator; scales and shifts next to a single one fold into that by themselves."""
    whole = sum(work.affine(id) is None for id in chain.row) > 1 and any(work.linear(id) for id in chain.nodes)
    return whole and (chain.fault is not None or (chain.view.fill is None and not crops(chain.view.frame)))
