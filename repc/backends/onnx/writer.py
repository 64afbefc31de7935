"""The walk over a graph: every node is lowered in order, inputs and outputs get their names and types."""

from __future__ import annotations

import onnx
from onnx import helper

from repc.backends.onnx.emitter import Emitter, Names, Value, reads
from repc.backends.onnx.errors import no_form
from repc.backends.onnx.lowerings import LOWERINGS
from repc.diagnostics import Diagnostic, Failure
from repc.ir.graph import Graph, value_names
from repc.ir.node import Node, NodeId
from repc.ir.storage import Storage
from repc.ir.types import TensorType


class Writer:
    """Lowers a graph once; then `graph_proto` and `weights` say what came of it."""

    def __init__(self, graph: Graph, stored: Storage, opset: int, dtype: str) -> None:
        self._graph, self._stored = graph, stored
        self._names = Names(stored.tensors)
        own = bool(graph.names)  # then the names of its inputs and outputs are an interface that others use
        self._inputs = {id: self._names.take(name, given=own) for name, id in graph.inputs.items()}
        self._outputs = [(self._names.take(name, given=own), id) for name, id in graph.outputs.items()]
        self._emitter = Emitter(opset, dtype, self._names)
        self._values: dict[NodeId, str] = dict(self._inputs)
        for id, name in self._inputs.items():
            self._emitter.see_input(name, graph[id].type.shape)
        self._lower()
        self._name_outputs()

    def graph_proto(self) -> onnx.GraphProto:
        """The graph with its constants, but without the stored tensors; every value has its type."""
        e, graph = self._emitter, self._graph
        made = {name for node in e.nodes for name in node.output} - {name for name, _ in self._outputs}
        types = {self._values[id]: graph[id].type for id in graph.order()}
        return helper.make_graph(
            e.nodes,
            graph.name,
            [self.value_info(name, graph[id].type) for id, name in self._inputs.items()],
            [self.value_info(name, graph[id].type) for name, id in self._outputs],
            e.constants,
            value_info=[self.value_info(name, type) for name, type in types.items() if name in made],
        )

    def weights(self) -> list[str]:
        """The stored tensors that the model reads, in the order of the graph."""
        read = {name for node in self._emitter.nodes for name in reads(node)}
        return [name for name in self._stored.tensors if name in read]

    def opsets(self) -> dict[str, int]:
        """The opset of each domain that the model uses."""
        return dict(self._emitter.opsets)

    def values(self) -> dict[NodeId, str]:
        """What every value of the graph is called in the model."""
        return dict(self._values)

    def element(self, type: TensorType) -> int:
        """The ONNX element type."""
        return self._emitter.element(type)

    def value_info(self, name: str, type: TensorType) -> onnx.ValueInfoProto:
        """A value's type, its free sizes by their text: ``b``, ``(h//2) + 1``."""
        sizes = [size if isinstance(size, int) else str(size) for size in type.shape]
        return helper.make_tensor_value_info(name, self.element(type), sizes)

    def _lower(self) -> None:
        problems: list[Diagnostic] = []
        for id, name in value_names(self._graph, _suffix):
            if id in self._inputs:
                continue
            try:
                self._values[id] = self._lower_node(id, name)
            except Failure as failure:
                problems += failure.diagnostics
                self._values[id] = name
        if problems:
            raise Failure(problems)

    def _lower_node(self, id: NodeId, name: str) -> str:
        node = self._graph[id]
        lowering = LOWERINGS.get(type(node.op))
        if lowering is None:
            raise no_form(node.op.name, node.origin, "keep it out of what the target computes")
        self._emitter.enter(self._names.take(name, given=id in self._graph.names), node.origin)
        result = self._emitter.leave(lowering(self._emitter, node.op, self._operands(id, node)))
        self._emitter.see(result, node.type.shape)
        return result

    def _operands(self, id: NodeId, node: Node) -> dict[str, Value]:
        given: dict[str, Value] = {}
        for operand, source in node.operands().items():
            if isinstance(source, NodeId):
                given[operand] = Value(self._values[source], self._graph[source].type)
            elif (id, operand) in self._stored.numbers:
                number = self._stored.numbers[id, operand]
                given[operand] = Value(LOWERINGS[type(number.op)](self._emitter, number.op, {}), number.type)
            else:
                given[operand] = Value(self._stored.names[id, operand], source.type)
        return given

    def _name_outputs(self) -> None:
        """Call values as the outputs are called; one that already has such a name, or no node, is copied."""
        made = {name for node in self._emitter.nodes for name in node.output}
        renamed: dict[str, str] = {}
        for output, id in self._outputs:
            value = self._values[id]
            if value in made and value not in renamed:
                renamed[value] = output
            else:
                self._emitter.enter(self._names.take(f"{output}/identity"), self._graph[id].origin)
                copy = self._emitter.leave(self._emitter.add("Identity", value))
                renamed[copy] = output
        self._emitter.rename(renamed)
        self._values = {id: renamed.get(name, name) for id, name in self._values.items()}


def _suffix(node: Node) -> str:
    return node.op.title
