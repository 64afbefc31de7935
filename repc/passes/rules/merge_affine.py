"""N2: two affine maps in a row."""

from __future__ import annotations

from dataclasses import dataclass

from repc.ir.node import NodeId
from repc.ir.trace import Refusal, Step
from repc.ops.arithmetic import Affine
from repc.passes import legality
from repc.passes.absorb import absorbed, vector
from repc.passes.rule import Rule
from repc.passes.workspace import Workspace


@dataclass(frozen=True, slots=True)
class PairMatch:
    inner: NodeId
    subject: NodeId


class MergeAffine(Rule[PairMatch]):
    """Merge two scales and shifts that follow each other.

    Identity: ``s₂·(s₁·x + t₁) + t₂ = (s₂s₁)·x + (s₂·t₁ + t₂)``.

    Precondition: both act along the same axis, or one is a constant factor; the inner value has one reader.

    Trap: batch norm without running statistics is no such map; the shift of the inner map is scaled by the outer one.

    Source: composition of affine maps; chains of them are what adapters such as SSF (arXiv:2210.08823) leave behind.
    """

    id = "N2"

    def match(self, work: Workspace, id: NodeId) -> PairMatch | None:
        outer = work.affine(id)
        inner = outer and work.affine(outer.source)
        if outer is None or inner is None or outer.identity or inner.identity:
            return None
        if outer.axis is None and inner.axis is None:
            return None
        return PairMatch(outer.source, id)

    def check(self, work: Workspace, match: PairMatch) -> Refusal | None:
        outer, inner = work.affine(match.subject), work.affine(match.inner)
        assert outer is not None
        assert inner is not None
        chain = (match.inner, match.subject)
        if None not in (outer.axis, inner.axis) and outer.axis != inner.axis:
            reason = f"{work.name(match.subject)} acts on axis {outer.axis}, {work.name(match.inner)} on {inner.axis}"
            return work.refusal(self.id, chain, match.subject, reason, "let both act on one axis")
        return legality.chain_refusal(work, self.id, chain, match.inner, match.subject)

    def rewrite(self, work: Workspace, match: PairMatch) -> list[Step]:
        outer, inner = work.affine(match.subject), work.affine(match.inner)
        assert outer is not None
        assert inner is not None
        both = outer.after(inner)
        assert both.axis is not None
        channels = work.graph[match.inner].type.shape[both.axis]
        assert isinstance(channels, int)
        parts = {"weight": vector(both.scale, channels), "bias": vector(both.shift, channels)}
        node = absorbed(work, match.inner, (match.subject,), Affine(both.axis), parts, match.subject)
        detail = f"{work.graph[match.subject].op.name} after {work.graph[match.inner].op.name}"
        step = Step(self.id, node.path, (work.name(match.subject),), detail, origin=node.origin)
        work.revalue([match.inner])
        work.replace(match.inner, node)
        work.bypass(match.subject, work.graph[match.subject].inputs[0])
        return [step]
