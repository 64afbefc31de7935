"""The terms of a sum, each seen as a map of the value that it is computed from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from repc.ir.node import NodeId
from repc.passes.forms import Form, forms
from repc.passes.terms import Activations
from repc.passes.views import AffineView, LinearView
from repc.passes.workspace import Workspace


@dataclass(frozen=True, eq=False, slots=True)
class Branch:
    """A term of a sum as a linear or affine map of `source`; a plain term is the identity of itself."""

    coefficient: Fraction
    id: NodeId
    source: NodeId
    view: LinearView | AffineView
    form: Form | None = None

    @property
    def members(self) -> tuple[NodeId, ...]:
        """The nodes that it consists of, from the term upwards."""
        return (self.id,) if self.form is None else self.form.members

    @property
    def plain(self) -> bool:
        return self.id == self.source


def views(work: Workspace, sum_id: NodeId, terms: Activations) -> list[Branch]:
    """Every way to see each term; one that something else needs, or that must stay, is only itself."""
    found: list[Branch] = []
    for coefficient, id in terms:
        found.append(Branch(coefficient, id, id, AffineView(id)))
        if work.kept(id) or work.other_reader(id, [sum_id]) is not None:
            continue
        linear = [form for form in forms(work, id) if form.value is None]
        found.extend(Branch(coefficient, id, form.view.source, form.view, form) for form in linear)
        view = None if linear else work.affine(id)
        if view is not None:
            found.append(Branch(coefficient, id, view.source, view))
    return found


def by_source(branches: Iterable[Branch]) -> list[list[Branch]]:
    """The branches that read the same value, for each value that several read, the largest group first."""
    groups: dict[NodeId, list[Branch]] = {}
    for branch in branches:
        groups.setdefault(branch.source, []).append(branch)
    return sorted((group for group in groups.values() if len(group) > 1), key=len, reverse=True)


def unshared(work: Workspace, group: list[Branch]) -> list[Branch]:
    """The branches whose weights are stored for no node outside of the group; dropping one may expose another."""
    while True:
        site = {member for branch in group for member in branch.members}
        left = [b for b in group if b.form is None or all(work.sharer(id, site) is None for id in b.members)]
        if len(left) == len(group):
            return left
        group = left
