"""F3: linear operators side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from repc.ir.node import NodeId
from repc.ir.trace import Refusal, Step
from repc.ir.types import TensorType
from repc.ops.arithmetic import Sum
from repc.passes.absorb import absorbed
from repc.passes.branches import Branch, by_source, unshared, views
from repc.passes.legality import pinned
from repc.passes.parallel import Kernel, Plan, plan
from repc.passes.refusals import alike_refusal
from repc.passes.rule import Rule
from repc.passes.rules.average_as_conv import AverageAsConv
from repc.passes.rules.identity_as_conv import IdentityAsConv
from repc.passes.terms import all_merged, shorten, terms
from repc.passes.views import AffineView, LinearView
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
            for kernels, transposed in _families(work, group):
                found = plan(kernels, objective, transposed)
                if not found.after().dearer(found.before(), objective):
                    return ParallelMatch(
                        id, found, None if found.exact() else pinned(work, self.id, [found.base.id, id])
                    )
                dear = dear or found
        refusal = alike_refusal(work, self.id, id, dear)
        return refusal and ParallelMatch(id, None, refusal)

    def check(self, work: Workspace, match: ParallelMatch) -> Refusal | None:
        return match.refusal

    def rewrite(self, work: Workspace, match: ParallelMatch) -> list[Step]:
        found, subject = match.plan, match.subject
        assert found is not None
        base, form = found.base.id, found.base.form
        assert form is not None
        modes = [kernel.form.view.mode for kernel in found.members if kernel.form is not None]
        op = form.view.operator(found.groups, found.frame, next((mode for mode in modes if mode), None))
        parts = {"weight": found.weight(), "bias": found.bias()}
        # A plain term is the source itself, which stays.
        taken = dict.fromkeys(id for kernel in found.members for id in kernel.members)
        others = [id for id in taken if id not in (base, form.view.source)]
        merged = {k.id for k in found.members}
        # A sum that goes on adding something else keeps its name.
        result = subject if all_merged(work.graph[subject], merged) else None
        node = replace(absorbed(work, base, (*others, subject), op, parts, result), inputs=(form.view.source,))
        steps = self._steps(work, found, node.path, others)
        work.revalue([base])
        work.replace(base, node)
        shorten(work, subject, base, merged)
        return [replace(step, origin=node.origin) for step in steps]

    def _steps(self, work: Workspace, found: Plan, path: str, others: Sequence[NodeId]) -> list[Step]:
        detail = f"identity as {'x'.join(str(w.taps) for w in found.frame) or 'linear'}, groups {found.groups}"
        diagonal = [work.name(kernel.id) for kernel in found.members if kernel.diagonal]
        identities = [Step(IdentityAsConv.id, path, (name,), detail) for name in diagonal]
        names = tuple(work.name(id) for id in others)
        exactness = "exact" if found.exact() else "pinned"
        averages = AverageAsConv.steps(work, path, (id for kernel in found.members for id in kernel.members))
        return [*averages, *identities, Step(self.id, path, names, found.label(), exactness)]


def _families(work: Workspace, group: Sequence[Branch]) -> Iterator[tuple[list[Kernel], bool]]:
    """The branches of one source that could be one operator, as kernels; and whether it is a transposed one."""
    linears = [branch for branch in group if isinstance(branch.view, LinearView)]
    kinds = dict.fromkeys(_kind(work, branch) for branch in linears)
    for kind in kinds:
        alike = [branch for branch in linears if _kind(work, branch) == kind]
        alike.sort(key=lambda branch: work.linear(branch.id) is None)  # an average is no base where there is another
        for mode in dict.fromkeys(_mode(branch) for branch in alike if _mode(branch)) or (None,):
            same = [branch for branch in alike if _mode(branch) in (None, mode)]
            fitting = [branch for branch in group if _fits(work, branch, same[0])]
            members = unshared(work, [*same, *fitting])
            bases = [branch for branch in members if isinstance(branch.view, LinearView)]
            if bases and len(members) > 1:
                yield [_kernel(work, branch, bases[0]) for branch in members], _linear(bases[0]).transposed


def _linear(branch: Branch) -> LinearView:
    assert isinstance(branch.view, LinearView)
    return branch.view


def _kind(work: Workspace, branch: Branch) -> tuple[type, tuple[int, ...], TensorType]:
    view = _linear(branch)
    return type(view.op), view.stride, work.graph[branch.id].type


def _mode(branch: Branch) -> str | None:
    return _linear(branch).mode


def _fits(work: Workspace, branch: Branch, base: Branch) -> bool:
    """Whether an affine branch is a convolution with one tap like the base."""
    view, beside = branch.view, _linear(base)
    if not isinstance(view, AffineView):
        return False
    types = {work.graph[id].type for id in (branch.id, branch.source, base.id)}
    return len(types) == 1 and set(beside.stride) <= {1} and view.axis in (None, beside.channel_axis)


def _kernel(work: Workspace, branch: Branch, base: Branch) -> Kernel:
    view = branch.view
    if isinstance(view, AffineView):
        return IdentityAsConv.kernel(branch, _linear(base).out_channels, len(_linear(base).frame))
    assert branch.form is not None
    cost, form = branch.form.cost, branch.form
    return Kernel(branch.coefficient, branch.id, view.weight, view.bias, view.groups, view.frame, cost, form)
