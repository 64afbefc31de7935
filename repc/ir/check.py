"""The stage check: what must hold of a graph between any two passes.

A fault found here is a mistake in repc, never in a spec, so it is an assertion and not a diagnostic.
"""

from __future__ import annotations

from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId
from repc.ir.types import ShapeError, TensorType


class InvalidGraph(AssertionError):
    """A pass or an importer left a graph that is not well-formed; the text names the node and the fault."""


def check(graph: Graph) -> None:
    """Raise `InvalidGraph` unless the graph is whole, acyclic, typed as its operators say, and without dead nodes.

    The cost is linear in the number of nodes and edges.
    """
    _check_ports(graph)
    for id in graph:
        _check_operands(graph, id)
    _check_edges(graph)
    _check_acyclic(graph)
    for id in graph:
        _check_type(graph, id)
    needed = graph.upstream(graph.outputs.values()) | set(graph.inputs.values())
    for id in graph:
        if id not in needed:
            raise _invalid(graph, id, "no output depends on it")


def _invalid(graph: Graph, id: NodeId, fault: str) -> InvalidGraph:
    node = graph[id]
    return InvalidGraph(f"{graph.name}: %{id} {node.op.name} at {node.path or 'the top'}: {fault}")


def _check_ports(graph: Graph) -> None:
    for kind, ports in (("input", graph.inputs), ("output", graph.outputs)):
        for name, id in ports.items():
            if id not in graph:
                raise InvalidGraph(f"{graph.name}: {kind} {name} is node %{id}, which does not exist")
    for name, id in graph.inputs.items():
        if graph[id].inputs or graph[id].weights:
            raise _invalid(graph, id, f"it is the input {name} and has operands")


def _check_operands(graph: Graph, id: NodeId) -> None:
    node = graph[id]
    for source in node.inputs:
        if source not in graph:
            raise _invalid(graph, id, f"operand %{source} does not exist")
    found = node.operands()
    for name in node.op.required:
        if name not in found:
            raise _invalid(graph, id, f"operand {name} is missing")
    unknown = sorted(node.weights.keys() - found.keys())
    if unknown:
        raise _invalid(graph, id, f"there is no operand {unknown[0]}")
    if len(found) != len(node.inputs) + len(node.weights):
        raise _invalid(graph, id, f"{len(node.inputs)} activations are more than it takes")


def _check_edges(graph: Graph) -> None:
    """The topology says what the nodes say: it is kept beside them, for speed."""
    readers: dict[NodeId, list[NodeId]] = {id: [] for id in graph}
    for id in graph:
        for source in graph[id].inputs:
            readers[source].append(id)
    for id in graph:
        if graph.users(id) != sorted(readers[id]):
            raise _invalid(graph, id, f"its edges lead to {graph.users(id)}, and it is read by {sorted(readers[id])}")


def _check_acyclic(graph: Graph) -> None:
    waiting = {id: len(graph[id].inputs) for id in graph}
    ready = [id for id, count in waiting.items() if not count]
    for id in ready:
        for user in graph.users(id):
            waiting[user] -= 1
            if not waiting[user]:
                ready.append(user)
    stuck = [id for id, count in waiting.items() if count]
    if stuck:
        raise _invalid(graph, stuck[0], "it depends on itself")


def _check_type(graph: Graph, id: NodeId) -> None:
    node = graph[id]
    try:
        inferred = node.op.infer(_operand_types(graph, node))
    except ShapeError as error:
        raise _invalid(graph, id, error.reason) from error
    if inferred != node.type:
        raise _invalid(graph, id, f"it is said to be {node.type} and is {inferred}")


def _operand_types(graph: Graph, node: Node) -> dict[str, TensorType]:
    types: dict[str, TensorType] = {}
    for name, source in node.operands().items():
        if isinstance(source, int):
            types[name] = graph[source].type
        else:
            types[name] = source.type.with_shape(source.type.concrete())
    return types
