"""The way from an affine map up to the operator that may take it in, through all that it commutes with."""

from __future__ import annotations

from dataclasses import dataclass

from repc.ir.node import NodeId
from repc.passes import movement
from repc.passes.views import AffineView
from repc.passes.workspace import Workspace


@dataclass(frozen=True, eq=False, slots=True)
class AffineMatch:
    """`chain`: the nodes from the operator that would take the map in down to the map, in the order of the data.

    `view` is the map as it would act right behind that operator, None where it would not be one along a single axis.
    """

    chain: tuple[NodeId, ...]
    view: AffineView | None

    @property
    def subject(self) -> NodeId:
        return self.chain[-1]

    @property
    def absorber(self) -> NodeId:
        return self.chain[0]


def trail(work: Workspace, id: NodeId) -> AffineMatch | None:
    """The way up from a node that is an affine map; None for any other node, and for the identity."""
    view = work.affine(id)
    if view is None or view.identity:
        return None
    chain, at, shift = [id], view.source, view.shift is not None
    while movement.moves(work.graph, at, shift=shift):
        view = view and movement.before(work.graph, at, view)
        chain.append(at)
        at = work.graph[at].inputs[0]
    return AffineMatch((at, *reversed(chain)), view)


@dataclass(frozen=True, eq=False, slots=True)
class ForwardMatch:
    """`chain`: the nodes from an affine map down to the operator that would take it in; `view`: the map right there."""

    chain: tuple[NodeId, ...]
    view: AffineView | None

    @property
    def subject(self) -> NodeId:
        return self.chain[0]

    @property
    def absorber(self) -> NodeId:
        return self.chain[-1]
