"""Linear operators in a row, and the terms of a sum, each seen as one map of a value further up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from repc.ir.node import NodeId
from repc.passes.compose import Fault, aligned, compose
from repc.passes.cost import Cost
from repc.passes.views import AffineView, LinearView
from repc.passes.workspace import Workspace


@dataclass(frozen=True, eq=False, slots=True)
class Chain:
    """What the last of some operators makes of what the first one reads, as one map, and what they cost now.

    `row` are the operators that follow each other, the last one first, and `links` how each is seen; `nodes` are all
    that the map would do away with: these, and the branches of those that are sums.  `base` is the one whose name the
    map would keep.  `view` is the map, with blanks for weight and bias where `whole` has yet to make them.  `fault`
    says why the map is not what the operators compute.
    """

    row: tuple[NodeId, ...]
    links: tuple[LinearView, ...]
    nodes: tuple[NodeId, ...]
    base: NodeId
    view: LinearView
    cost: Cost
    fault: Fault | None = None

    def whole(self) -> LinearView:
        """The map with its weight and bias."""
        found, *others = self.links
        for inner in others:
            pair = aligned(found, inner)
            assert pair is not None
            found = compose(*pair)
        return found


@dataclass(frozen=True, eq=False, slots=True)
class Branch:
    """A term of a sum as a linear or affine map of `source`; a plain term is the identity of itself."""

    coefficient: Fraction
    id: NodeId
    made: Chain | AffineView

    @property
    def view(self) -> LinearView | AffineView:
        return self.made.view if isinstance(self.made, Chain) else self.made

    @property
    def source(self) -> NodeId:
        return self.view.source

    @property
    def plain(self) -> bool:
        return self.id == self.source

    @property
    def nodes(self) -> tuple[NodeId, ...]:
        """The operators that make the term of the source."""
        if isinstance(self.made, Chain):
            return self.made.nodes
        return () if self.plain else (self.id,)


def by_source(branches: Iterable[Branch]) -> list[list[Branch]]:
    """The branches that read the same value, for each value that several read, the largest group first."""
    groups: dict[NodeId, list[Branch]] = {}
    for branch in branches:
        groups.setdefault(branch.source, []).append(branch)
    return sorted((group for group in groups.values() if len(group) > 1), key=len, reverse=True)


def unshared(work: Workspace, group: Sequence[Branch]) -> list[Branch]:
    """The branches whose weights are stored for no node outside of the group; dropping one may expose another."""
    left = list(group)
    while True:
        ids = {id for branch in left for id in branch.nodes}
        found = [b for b in left if isinstance(b.made, AffineView) or not any(work.sharer(id, ids) for id in b.nodes)]
        if len(found) == len(left):
            return found
        left = found
