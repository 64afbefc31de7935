"""What a rule is: an identity with its precondition, and how it is applied.

A rule looks at one node and upstream of it.  `match` finds a place that looks as if the rule applied, `check` says in
words why it does not, `rewrite` applies it.  The docstring of the class states the identity, the precondition, the
known trap and the source, each in a paragraph of that name; `repc rule` prints them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Generic, Protocol, TypeVar

from repc.diagnostics import Span
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ir.trace import Refusal, Step
from repc.passes.workspace import Workspace

PLACES = 100  # that a node is said to be from: what is made of thousands would otherwise take time with each


class Lemma:
    """An identity that stands in the catalogue; alone it is no rewrite."""

    id: ClassVar[str]


class Match(Protocol):
    """A place where a rule may apply."""

    @property
    def subject(self) -> NodeId:
        """The node that the rule would do away with, and whose remaining a refusal explains."""
        ...


M = TypeVar("M", bound=Match)


class Rule(Lemma, ABC, Generic[M]):
    """A rewrite of the graph by an identity."""

    @abstractmethod
    def match(self, work: Workspace, id: NodeId) -> M | None:
        """The place around a node, or None where nothing resembles the left side of the identity."""

    @abstractmethod
    def check(self, work: Workspace, match: M) -> Refusal | None:
        """Why the rule does not apply there, or None where it does."""

    @abstractmethod
    def rewrite(self, work: Workspace, match: M) -> list[Step]:
        """Apply it; the steps say what was done."""


def origins(graph: Graph, ids: Iterable[NodeId]) -> tuple[Span, ...]:
    """The places of the spec that led to these nodes, each once; of very many the first."""
    return tuple(dict.fromkeys(span for id in ids for span in graph[id].origin))[:PLACES]
