"""The ways from an affine map to all the operators that would have to take it in, through all that it commutes with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from repc.ir.node import NodeId
from repc.ir.trace import Fact
from repc.passes import maps, movement
from repc.passes.maps import Map
from repc.passes.views import AffineView
from repc.passes.workspace import Workspace


@dataclass(frozen=True, eq=False, slots=True)
class End:
    """Where a way ends, be it at an operator that can take the map in or not.

    `chain`: the nodes of the way in the order of the data.  `view` is the map as it would act right there, None where
    it would not be one along a single axis.
    """

    node: NodeId
    chain: tuple[NodeId, ...]
    view: AffineView | None
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class AffineMatch:
    """An affine map, or a node that ends in one, and the ends of all ways from it in one direction.

    `outputs`: the ways down to values that are outputs of the network.
    """

    subject: NodeId
    ends: tuple[End, ...]
    outputs: tuple[tuple[NodeId, ...], ...] = ()


def upward(work: Workspace, id: NodeId, *, signed: bool = False) -> AffineMatch | None:
    """The ways up from a node that is an affine map; None for any other node, and for the identity.

    They part where values are added or concatenated; `signed` ones lead through nonlinearities, too.
    """
    view = work.affine(id)
    if view is None or view.identity:
        return None
    ends: list[End] = []
    parted: set[NodeId] = set()
    ways: list[tuple[tuple[NodeId, ...], Map | None]] = [((view.source, id), maps.of(view))]
    while ways:
        way, map = ways.pop()
        operands = _operands(work, way[0], map, parted, signed=signed)
        if not operands:
            ends.append(End(way[0], way, map and map.view(way[0]), map.facts if map is not None else ()))
        ways.extend(((source, *way), moved) for source, moved in reversed(operands))
    return AffineMatch(id, tuple(ends))


def _operands(
    work: Workspace, at: NodeId, map: Map | None, parted: set[NodeId], *, signed: bool
) -> Sequence[tuple[NodeId, Map | None]]:
    """The operands of a value that would have to take the map, none where the way ends at the value.

    Ways part at values that are read once, and at each of them once, so that their number cannot double and double.
    """
    operands = movement.before(work, at, map, signed=signed) if map is not None else None
    if operands is not None and len(operands) > 1:
        if at in parted or work.graph.sole_user(at) is None:
            return ()
        parted.add(at)
    if operands is None and movement.moves(work.graph, at):
        return ((work.graph[at].inputs[0], None),)
    return operands or ()


def downward(work: Workspace, id: NodeId, map: Map) -> AffineMatch:
    """The ways down from a node to everything that reads the map's result, which the map shall go through as well.

    A way that meets another one ends there.
    """
    ends: list[End] = []
    outputs: list[tuple[NodeId, ...]] = []
    seen: set[NodeId] = set()
    ways: list[tuple[tuple[NodeId, ...], Map]] = [((id,), map)]
    while ways:
        way, map = ways.pop()
        if work.graph.is_output(way[-1]):
            outputs.append(way)
        for user in dict.fromkeys(work.graph.users(way[-1])):
            moved = movement.behind(work, user, way[-1], map) if user not in seen else None
            seen.add(user)
            if moved is None:
                ends.append(End(user, (*way, user), map.view(way[-1]), map.facts))
            else:
                ways.append(((*way, user), moved))
    return AffineMatch(id, tuple(ends), tuple(outputs))
