"""F3: linear operators side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from repc.ir.node import NodeId
from repc.ir.trace import Refusal, Step
from repc.ops.arithmetic import Sum
from repc.passes.absorb import absorbed
from repc.passes.branches import Chain, by_source
from repc.passes.chains import views
from repc.passes.families import families, merged
from repc.passes.frames import crops
from repc.passes.legality import pinned
from repc.passes.parallel import Plan, plan
from repc.passes.refusals import alike_refusal
from repc.passes.rule import Rule
from repc.passes.rules.average_as_conv import AverageAsConv
from repc.passes.rules.identity_as_conv import IdentityAsConv
from repc.passes.terms import all_merged, shorten, terms
from repc.passes.workspace import Workspace


@dataclass(frozen=True, eq=False, slots=True)
class ParallelMatch:
    """A sum with the best merge of some of its terms, or with the reason why terms that are alike do not merge."""

    subject: NodeId
    plan: Plan | None
    refusal: Refusal | None = None


class SumParallel(Rule[ParallelMatch]):
    """Merge linear branches of a sum into one linear operator.

    Identity: ``Σ cᵢ·(Kᵢ * x + bᵢ) = (Σ cᵢ·Kᵢ) * x + Σ cᵢ·bᵢ`` after aligning the taps: tap j of a branch (k, p, d)
    lands at ``(p_L − p + j·d) / d_L`` of the target (k_L, p_L, d_L), which is enlarged until every tap has a place.

    Precondition: the branches are of one kind and read the same value with the same stride and padding mode, each is
    read by the sum only, and its weight is stored for no node outside; the merged operator is not dearer.

    Trap: even kernels and asymmetric padding have no centre, so that taps are placed by their offsets; groups merge as
    diagonal blocks; a dilated kernel fits into a dense one only where its taps meet the grid.

    Source: Ding et al. 2019 (ACNet), arXiv:1908.03930; Ding et al. 2021 (DBB), arXiv:2103.13425, transforms II and VI.
    """

    id = "F3"

    def match(self, work: Workspace, id: NodeId) -> ParallelMatch | None:
        node = work.graph[id]
        if not isinstance(node.op, Sum) or len(node.inputs) < 2:
            return None
        objective = work.options.objective_at(node.path)
        dear: Plan | None = None
        groups = [] if work.kept(id) else by_source(views(work, id, terms(node).activations))
        for group in groups:
            for kernels, transposed in families(work, group):
                found = plan(kernels, transposed, objective)
                if not crops(found.frame) and not found.after().dearer(found.before(), objective):
                    edge = [found.base.branch.id, id]
                    return ParallelMatch(id, found, None if found.exact() else pinned(work, self.id, edge))
                dear = dear or found
        refusal = alike_refusal(work, self.id, id, dear)
        return refusal and ParallelMatch(id, None, refusal)

    def check(self, work: Workspace, match: ParallelMatch) -> Refusal | None:
        return match.refusal

    def rewrite(self, work: Workspace, match: ParallelMatch) -> list[Step]:
        found, subject = match.plan, match.subject
        assert found is not None
        base, chain, view = found.base.branch.id, found.base.branch.made, merged(found)
        assert isinstance(chain, Chain)
        others = [id for kernel in found.members for id in kernel.branch.nodes if id != chain.base]
        taken = {kernel.branch.id for kernel in found.members}
        # A sum that goes on adding something else keeps its name.
        result = subject if all_merged(work.graph[subject], taken) else None
        parts = {"weight": view.weight, "bias": view.bias}
        node = absorbed(work, chain.base, (*others, subject), view.op, parts, result)
        steps = self._steps(work, found, node.path, others)
        work.revalue([base])
        work.replace(base, replace(node, inputs=(view.source,), type=work.graph[base].type))
        shorten(work, subject, base, taken)
        return [replace(step, origin=node.origin) for step in steps]

    def _steps(self, work: Workspace, found: Plan, path: str, others: Sequence[NodeId]) -> list[Step]:
        detail = f"identity as {'x'.join(str(w.taps) for w in found.frame) or 'linear'}, groups {found.groups}"
        averages = AverageAsConv.steps(work, path, (id for kernel in found.members for id in kernel.branch.nodes))
        diagonal = [work.name(kernel.branch.id) for kernel in found.members if kernel.diagonal]
        identities = [Step(IdentityAsConv.id, path, (name,), detail) for name in diagonal]
        names = tuple(work.name(id) for id in others)
        exactness = "exact" if found.exact() else "pinned"
        return [*averages, *identities, Step(self.id, path, names, found.label(), exactness)]
