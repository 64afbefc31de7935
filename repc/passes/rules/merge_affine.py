"""N2: two affine maps in a row."""

from __future__ import annotations

from repc.ir.node import NodeId
from repc.ir.operator import Operator
from repc.ir.trace import Refusal
from repc.ops.arithmetic import Affine
from repc.passes.absorb import Absorber, Parts, vector
from repc.passes.trail import End
from repc.passes.workspace import Workspace


class MergeAffine(Absorber):
    """Merge two scales and shifts that follow each other.

    Identity: ``s₂·(s₁·x + t₁) + t₂ = (s₂s₁)·x + (s₂·t₁ + t₂)``.

    Precondition: both act along the same axis, or one is a constant factor; the inner value has one reader.

    Trap: batch norm without running statistics is no such map; the shift of the inner map is scaled by the outer one.

    Source: composition of affine maps; chains of them are what adapters such as SSF (arXiv:2210.08823) leave behind.
    """

    id = "N2"

    def __init__(self, *, behind: bool = False) -> None:
        """With `behind`, the map is merged into the one that reads it."""
        self.behind = behind

    def takes(self, work: Workspace, end: End) -> bool:
        own = work.affine(end.node)
        if own is None or own.identity:
            return False
        return end.view is None or (end.view.axis, own.axis) != (None, None)

    def misfit(self, work: Workspace, end: End, at: NodeId) -> Refusal | None:
        own, view = work.affine(end.node), end.view
        assert own is not None
        if view is not None and (None in (view.axis, own.axis) or view.axis == own.axis):
            return None
        axis = "several axes" if view is None else f"axis {view.axis}"
        reason = f"{work.name(at)} acts on {axis}, {work.name(end.node)} on {own.axis}"
        return work.refusal(self.id, end.chain, at, reason, "let both act on one axis")

    def taken(self, work: Workspace, end: End) -> tuple[Operator, Parts]:
        own, view = work.affine(end.node), end.view
        assert own is not None
        assert view is not None
        both = own.after(view) if self.behind else view.after(own)
        assert both.axis is not None
        size = work.graph[end.node].type.shape[both.axis]
        assert isinstance(size, int)
        return Affine(both.axis), {"weight": vector(both.scale, size), "bias": vector(both.shift, size)}
