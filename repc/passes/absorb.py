"""Operators that take others in, and the nodes that they become."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TypeAlias

from repc.ir.expr import Apply, Expr
from repc.ir.node import Node, NodeId
from repc.ir.operator import Operator
from repc.ir.trace import Refusal
from repc.ops import build
from repc.passes.rule import Lemma, origins
from repc.passes.trail import End
from repc.passes.workspace import Workspace

Parts: TypeAlias = Mapping[str, Expr | None]
"""The weights of an operator by name; None for those that it does not have."""


class Absorber(Lemma, ABC):
    """A kind of operator that takes in an affine map at one end of its way."""

    @abstractmethod
    def takes(self, work: Workspace, end: End) -> bool:
        """Whether the end is of this kind."""

    @abstractmethod
    def misfit(self, work: Workspace, end: End, at: NodeId) -> Refusal | None:
        """Why this one does not take in that map, the node `at`."""

    @abstractmethod
    def taken(self, work: Workspace, end: End) -> tuple[Operator, Parts]:
        """The operator and its weights with the map taken in."""


def absorbed(
    work: Workspace,
    absorber: NodeId,
    others: Sequence[NodeId],
    op: Operator,
    parts: Parts,
    result: NodeId | None = None,
) -> Node:
    """The absorber with another operator and other weights, after taking in `others`.

    It keeps its path, unless it now makes the value of a node, `result`, that the spec names (``sum as name``).
    """
    node = work.graph[absorber]
    titled = node if result is None or not work.graph[result].named else work.graph[result]
    weights = {operand: own(part, f"{titled.path}.{operand}") for operand, part in parts.items() if part is not None}
    origin = origins(work.graph, (absorber, *others))
    return replace(node, op=op, weights=weights, path=titled.path, named=titled.named, origin=origin)


def own(expr: Expr, path: str) -> Expr:
    """A weight that is stored as `path`: a parameter of another name is wrapped, since it would keep its own key."""
    if isinstance(expr, Apply) or expr.path == path:
        return expr
    return build.combine([(Fraction(1), expr)])


def vector(part: Expr | None, size: int) -> Expr | None:
    """A scalar repeated for each channel; a vector is itself."""
    return part if part is None else build.expand(part, (size,))
