"""F5: linear operators one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from repc.ir.node import Node, NodeId
from repc.ir.trace import Refusal, Step
from repc.ir.types import ShapeError
from repc.ops.conv import Conv
from repc.passes import legality
from repc.passes.absorb import absorbed
from repc.passes.forms import Fault, Form, cost_of, further, nearest
from repc.passes.rule import Rule
from repc.passes.rules.average_as_conv import AverageAsConv
from repc.passes.workspace import Workspace


@dataclass(frozen=True, eq=False, slots=True)
class ComposeMatch:
    """A linear operator behind others: the form to replace it by, or why there is none."""

    subject: NodeId
    form: Form | None
    refusal: Refusal | None = None


class ComposeLinear(Rule[ComposeMatch]):
    """Compose linear operators that follow each other into one.

    Identity: ``K₂ * (K₁ * x + b₁) + b₂ = K * x + (Σ K₂·b₁ + b₂)``; tap a of K₁ and tap i of K₂ meet at
    ``d₁·a + s₁·d₂·i`` of K, whose stride is ``s₁·s₂``.  An average that counts its padding is a convolution, and
    padding by a constant belongs to the operator behind it.

    Precondition: the inner value is read once, no weight is stored elsewhere, and the second operator does not pad;
    where it does, the first one is pointwise, and has no bias or is padded with what it makes of zeros.  The one
    operator is not dearer than those that it replaces.

    Trap: two 3x3 convolutions with padding 1 are no 5x5 with padding 2 at the border, and a zero-padded 3x3 behind a
    biased 1x1 reads zeros where the composition would have put the bias.

    Source: Ding et al. 2021 (DBB), arXiv:2103.13425, transforms III and V; Bhardwaj et al. 2022 (SESR),
    arXiv:2103.09404.
    """

    id = "F5"

    def match(self, work: Workspace, id: NodeId) -> ComposeMatch | None:
        own = nearest(work, id)
        found = [] if own is None else list(further(work, own))
        if not found:
            return None
        if work.kept(id):
            return ComposeMatch(id, None, legality.kept(work, self.id, [id], [id], id))
        objective = work.options.objective_at(work.graph[id].path)
        whole = [form for form in found if isinstance(form, Form) and self._stands(work, id, form)]
        cheap = [form for form in whole if not cost_of(form.view).dearer(form.cost, objective)]
        if cheap:
            return ComposeMatch(id, min(cheap, key=lambda form: (cost_of(form.view).macs, -len(form.members))))
        refusal = self._refused(work, id, whole, [fault for fault in found if isinstance(fault, Fault)])
        return refusal and ComposeMatch(id, None, refusal)

    def check(self, work: Workspace, match: ComposeMatch) -> Refusal | None:
        return match.refusal

    def rewrite(self, work: Workspace, match: ComposeMatch) -> list[Step]:
        form, id = match.form, match.subject
        assert form is not None
        node = self._node(work, id, form)
        taken = form.members[1:]
        names = tuple(work.name(member) for member in taken)
        averages = AverageAsConv.steps(work, node.path, form.members)
        work.replace(id, node)
        detail = f"into one of {'x'.join(str(w.taps) for w in form.view.frame) or 'linear'}"
        return [*averages, Step(self.id, node.path, names, detail, origin=node.origin)]

    def _node(self, work: Workspace, id: NodeId, form: Form) -> Node:
        parts = {"weight": form.view.weight, "bias": form.view.bias}
        node = absorbed(work, id, form.members[1:], form.view.op, parts)
        return replace(node, inputs=(form.view.source,))

    def _stands(self, work: Workspace, id: NodeId, form: Form) -> bool:
        """Whether there is such an operator: it makes values of the same type, and unties no weight."""
        site = set(form.members)
        if any(work.sharer(member, site) is not None for member in form.members):
            return False
        op = form.view.op
        if isinstance(op, Conv) and any(width < 0 for pair in op.padding for width in pair):
            return False
        given = {"x": work.graph[form.view.source].type, "weight": form.view.weight.type}
        try:
            return op.infer(given) == work.graph[id].type
        except ShapeError:
            return False

    def _refused(self, work: Workspace, id: NodeId, dear: Sequence[Form], faults: Sequence[Fault]) -> Refusal | None:
        if dear:
            form = dear[0]
            edge = (form.view.source, *reversed(form.members))
            reason = f"{' and '.join(map(work.name, reversed(form.members)))} in one would cost " + cost_of(
                form.view
            ).against(form.cost)
            return work.refusal(self.id, edge, id, reason, "set objective = operators to compose them anyway")
        for fault in faults:
            names = {"inner": work.name(fault.inner), "outer": work.name(id)}
            reason, remedy = fault.reason.format(**names), fault.remedy.format(**names)
            return work.refusal(self.id, (fault.inner, id), id, reason, remedy)
        return None
