"""The tensors that a graph stores: which weight expressions get a name, and which name.

A weight that is a plain parameter keeps its key (and stays shared where it is tied); any other expression is stored as
``path.operand``, the path being that of the operator that reads it.  That is never the name of an input or an output,
which an ONNX file keeps apart, nor the path of a part of the network, which a torch module keeps under one attribute.
A number is no tensor: it stays in the operator's own call.  Backends, checkpoints and verification all use these names.
"""

from __future__ import annotations

from dataclasses import dataclass

from repc.ir.expr import Apply, Expr, Param
from repc.ir.graph import Graph
from repc.ir.node import NodeId


@dataclass(frozen=True, slots=True)
class Storage:
    """`tensors`: name → expression, in graph order; `names`, `numbers`: those of each (node, operand)."""

    tensors: dict[str, Expr]
    names: dict[tuple[NodeId, str], str]
    numbers: dict[tuple[NodeId, str], Apply]


def storage(graph: Graph) -> Storage:
    """Name every weight operand of a graph."""
    tensors: dict[str, Expr] = {}
    names: dict[tuple[NodeId, str], str] = {}
    numbers: dict[tuple[NodeId, str], Apply] = {}
    by_expr: dict[Expr, str] = {}
    reserved = _reserved(graph)
    for id in graph.order():
        node = graph[id]
        for operand, expr in node.weights.items():
            if isinstance(expr, Apply) and not expr.args and not expr.type.shape:
                numbers[id, operand] = expr
                continue
            name = expr.path if isinstance(expr, Param) else by_expr.get(expr)
            if name is None:
                name = _unused(f"{node.path}.{operand}" if node.path else operand, tensors, reserved)
                by_expr[expr] = name
            tensors.setdefault(name, expr)
            names[id, operand] = name
    return Storage(tensors, names, numbers)


def _reserved(graph: Graph) -> set[str]:
    """What inputs and outputs are called, and the paths of parameters, and of all that contains them or operators."""
    found = {*graph.inputs, *graph.outputs}
    for id in graph.order():
        for path in (graph[id].path, *(e.path for e in graph[id].weights.values() if isinstance(e, Param))):
            parts = path.split(".")
            found.update(".".join(parts[:count]) for count in range(1, len(parts) + 1))
    return found


def _unused(wanted: str, taken: dict[str, Expr], reserved: set[str]) -> str:
    name, count = wanted, 0
    while name in taken or name in reserved:
        count += 1
        name = f"{wanted}_{count}"
    return name
