"""Which nodes are blocks of specs/std: a single operator with parameters of its own, keys and all."""

from __future__ import annotations

from collections import Counter

from repc.backends.spec.forms import block_form
from repc.backends.spec.slots import Form
from repc.ir.expr import Param, walk
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId
from repc.ops.select import Gather

BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def module_path(key: str) -> str:
    """The path of the module that a parameter lies in."""
    return key.rpartition(".")[0]


def place(node: Node) -> str:
    """The path of the module that a node belongs to: its own, without the name that the spec gave the operator."""
    return module_path(node.path) if node.named else node.path


def standards(graph: Graph) -> dict[NodeId, Form]:
    """The blocks of specs/std by node; what they declare are the keys of their operands, and nobody else reads it."""
    reads = Counter(_paths(graph))
    found: dict[NodeId, Form] = {}
    for id in graph:
        said = _standard(graph, id)
        own = {expr.path for expr in graph[id].weights.values() if isinstance(expr, Param)}
        if said is not None and all(reads[path] == 1 for path in own):
            found[id] = said
    return found


def _paths(graph: Graph) -> list[str]:
    """The parameters that are read, once for each reader."""
    exprs = [part for id in graph for part in graph[id].weights.values()]
    inits = [parameter.init for parameter in graph.parameters.values()]
    inner = [arg for part in walk([*exprs, *inits]) if not isinstance(part, Param) for arg in part.args.values()]
    return [part.path for part in (*exprs, *inits, *inner) if isinstance(part, Param)]


def _standard(graph: Graph, id: NodeId) -> Form | None:
    node = graph[id]
    if node.op.required[:1] != ("x",) or len(node.inputs) != 1 or node.named:
        return None
    if ("x" in node.weights) is not isinstance(node.op, Gather):  # an embedding looks its input up in its weight
        return None
    path = f"{node.path}." if node.path else ""
    for operand, expr in node.weights.items():
        name = "weight" if operand == "x" else operand
        if not isinstance(expr, Param) or expr.path != path + name or not _is_plain(graph, expr.path, name):
            return None
    types = {name: graph[cell].type if isinstance(cell, int) else cell.type for name, cell in node.operands().items()}
    return block_form(node.op, types)


def _is_plain(graph: Graph, path: str, name: str) -> bool:
    parameter = graph.parameters[path]
    dtype = "i64" if name == "num_batches_tracked" else "f32"
    return not parameter.aliases and parameter.buffer == (name in BUFFERS) and parameter.type.dtype == dtype
