"""A network while it grows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from repc.diagnostics import Span
from repc.ir.expr import Expr, Param
from repc.ir.graph import Graph
from repc.ir.node import NodeId, Parameter
from repc.ir.substitute import substituted, with_weights
from repc.ir.trace import Fact
from repc.ops import build


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why an operator cannot be expanded in this way, and what to do about it."""

    reason: str
    remedy: str


@dataclass(eq=False)
class Growth:
    """`graph` is the network over the parameters that will be trained.

    `made` has those that are not drawn, by path, as expressions over the parameters of the network at the start and
    drawn ones.  `facts` are what it relies on that both are the same.
    """

    graph: Graph
    made: dict[str, Expr] = field(default_factory=dict[str, Expr])
    facts: list[Fact] = field(default_factory=list[Fact])

    def make(self, path: str, value: Expr, span: Span) -> Param:
        """A parameter with a value over those that the graph has now; one that has the path changes."""
        self.made[path] = substituted([value], self.made)[value]
        given = self.graph.parameters.get(path)
        zeros = build.fill(value.type.concrete(), 0)
        fresh = Parameter(path, value.type, zeros, buffer=False, trainable=True, span=span)
        self.graph.parameters[path] = fresh if given is None else replace(given, type=value.type, init=zeros)
        return Param(path, value.type)

    def insert(self, id: NodeId, reader: NodeId) -> None:
        """Let all that reads a value read another node instead, which alone reads it."""
        node = self.graph[reader]
        self.graph.redirect(id, reader)
        self.graph.replace(reader, node)

    def over_the_start(self) -> Graph:
        """The network with its weights as expressions over the parameters at the start and drawn ones."""
        return with_weights(self.graph, self.made)
