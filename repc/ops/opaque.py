"""Operators without a meaning in repc: carried through, written again, and a cut for everything else.

A node has one value, so that a call with several results is several nodes with the same call and operands; backends
write it once.  No rule knows the class, which is what makes it a cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from repc.ir.expr import Param
from repc.ir.field import Field, T
from repc.ir.foreign import Call, placed
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ir.notation import Term, call
from repc.ir.operator import Operator
from repc.ir.types import ShapeError, TensorType
from repc.ops.operands import numbered


@dataclass(frozen=True)
class Opaque(Operator):
    """One result of a call that repc does not know; its type is what the call says."""

    name = "opaque"
    variadic = True

    call: Call
    result: int = 0

    @property
    def title(self) -> str:
        return self.call.title

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        found = tuple(type.dtype for type in numbered(given))
        if found != self.call.operands:
            raise ShapeError(
                f"{self.call.target} takes {', '.join(self.call.operands) or 'nothing'}, "
                f"not {', '.join(found) or 'nothing'}",
                remedy="give the operands that it was called with",
            )
        if not 0 <= self.result < len(self.call.types):
            raise ShapeError(
                f"{self.call.target} has {len(self.call.types)} results, no number {self.result}",
                remedy="count the results from zero",
            )
        return self.call.types[self.result]

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return field.opaque(self.call, self.result, numbered(given))

    def at(self, sizes: Mapping[str, int]) -> Opaque:
        return replace(self, call=placed(self.call, tuple(sizes.items())))

    def notation(self, operands: Mapping[str, Term]) -> Term:
        return call(self.call.target, operands.values(), [f"result={self.result}"] if self.result else [])


def opaque_calls(graph: Graph) -> list[dict[int, NodeId]]:
    """The opaque calls of a graph, in its order: for each, the nodes of its results by their number."""
    found: list[dict[int, NodeId]] = []
    latest: dict[object, dict[int, NodeId]] = {}
    for id in graph.order():
        node = graph[id]
        if isinstance(node.op, Opaque):
            operands = (source.path if isinstance(source, Param) else source for source in node.operands().values())
            key = (node.op.call, *operands)
            if node.op.result in latest.get(key, {node.op.result}):
                latest[key] = {}
                found.append(latest[key])
            latest[key][node.op.result] = id
    return found


def opaque_names(graph: Graph) -> dict[NodeId, str]:
    """The opaque operators of a graph: the first node of each call, and what it calls (``aten.topk.default``)."""
    firsts = [next(iter(nodes.values())) for nodes in opaque_calls(graph)]
    return {id: op.call.target for id in firsts if isinstance(op := graph[id].op, Opaque)}
