"""Small graphs, and what ONNX Runtime makes of them beside the float64 reference."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper

from repc.backends.onnx import build
from repc.diagnostics import Source, Span
from repc.evaluate import evaluate, run
from repc.evaluate.dtypes import DTYPES as ELEMENTS
from repc.evaluate.floating import TorchField
from repc.ir.dims import Dim, Shape, symbol
from repc.ir.dims import evaluate as evaluate_size
from repc.ir.expr import Expr, Param
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId
from repc.ir.operator import Operator
from repc.ir.storage import storage
from repc.ir.types import WHOLE, TensorType
from repc.ops import Input

SOURCE = Source("net.rep", "one\ntwo\nthree\n")
DTYPES = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32, "f64": torch.float64}
Values = dict[str, torch.Tensor]


class Network:
    """A graph that is built by hand; weights are parameters with random values."""

    def __init__(self, seed: int = 0) -> None:
        self.graph = Graph("net")
        self.parameters: Values = {}
        self._random = torch.Generator().manual_seed(seed)

    def input(self, name: str, *sizes: Dim | str, dtype: str = "f32") -> NodeId:
        type = TensorType(dims(sizes), dtype)
        id = self.graph.add(Node(Input(name, type), (), {}, type, "", (Span(SOURCE, 0, 3),)))
        self.graph.inputs[name] = id
        return id

    def weight(self, path: str, *shape: int) -> Param:
        """Values between 0.5 and 1.5: as good for a variance as for a kernel."""
        self.parameters[path] = torch.rand(shape, generator=self._random, dtype=torch.float64) + 0.5
        return Param(path, TensorType(shape))

    def add(self, op: Operator, *inputs: NodeId, **weights: Expr | tuple[int, ...]) -> NodeId:
        """A node without a path."""
        return self.add_at("", op, *inputs, **weights)

    def add_at(self, path: str, op: Operator, *inputs: NodeId, **weights: Expr | tuple[int, ...]) -> NodeId:
        """A node; a weight given by its shape becomes the parameter ``path.operand``."""
        stored: dict[str, Expr] = {}
        for name, weight in weights.items():
            key = f"{path}.{name}" if path else name
            stored[name] = self.weight(key, *weight) if isinstance(weight, tuple) else weight
        node = Node(op, inputs, stored, TensorType(()), path, (Span(SOURCE, 4, 7), Span(SOURCE, 8, 13)))
        given = {
            name: self.graph[operand].type if isinstance(operand, int) else operand.type
            for name, operand in node.operands().items()
        }
        return self.graph.add(Node(op, inputs, stored, op.infer(given), path, node.origin))

    def output(self, id: NodeId, name: str = "y") -> Network:
        self.graph.outputs[name] = id
        return self

    def values(self, dtype: str = "f32") -> Values:
        """The stored tensors, rounded."""
        found = evaluate(storage(self.graph).tensors, TorchField(), self.parameters)
        return {name: value.to(DTYPES[dtype]) if value.is_floating_point() else value for name, value in found.items()}

    def model(self, opset: int = 18, dtype: str = "f32", **metadata: str) -> onnx.ModelProto:
        return build(self.graph, self.values(dtype), opset=opset, dtype=dtype, metadata=metadata)

    def inputs(self, sizes: Mapping[str, int], dtype: str = "f32") -> Values:
        """Random values of the inputs where the free dimensions have these sizes."""
        found: Values = {}
        for name, id in self.graph.inputs.items():
            shape = [evaluate_size(size, sizes) for size in self.graph[id].type.shape]
            found[name] = self._draw(shape, self.graph[id].type.dtype, dtype)
        return found

    def _draw(self, shape: list[int], kind: str, dtype: str) -> torch.Tensor:
        if kind in (*WHOLE, "bool"):
            return torch.randint(0, 2, shape, generator=self._random).to(ELEMENTS[kind])
        return torch.randn(shape, generator=self._random).to(DTYPES[dtype])

    def reference(self, inputs: Values, dtype: str = "f32") -> Values:
        """The outputs in float64, of rounded weights."""
        rounded = {name: x.to(DTYPES[dtype]) if x.is_floating_point() else x for name, x in self.parameters.items()}
        found = run(self.graph, TorchField(), inputs, rounded)
        return {name: found[id] for name, id in self.graph.outputs.items()}


def dims(sizes: tuple[Dim | str, ...]) -> Shape:
    return tuple(_dim(size) for size in sizes)


def _dim(size: Dim | str) -> Dim:
    return symbol(size) if isinstance(size, str) else size


def execute(model: onnx.ModelProto, inputs: Values, *, optimized: bool = False) -> dict[str, np.ndarray]:
    """The outputs by ONNX Runtime; its optimizer would hide what the nodes say, so it is off unless asked for."""
    options, levels = onnxruntime.SessionOptions(), onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in model.graph.output]
    arrays = session.run(names, {name: value.numpy() for name, value in inputs.items()})
    return {name: np.asarray(array) for name, array in zip(names, arrays, strict=True)}


def deviation(network: Network, model: onnx.ModelProto, inputs: Values, dtype: str = "f32") -> float:
    """The largest ‖Δ‖∞ / ‖y‖∞ over the outputs; infinite where a shape differs."""
    worst = 0.0
    found = execute(model, inputs)
    for name, expected in network.reference(inputs, dtype).items():
        y, wanted = found[name].astype(np.float64), expected.double().numpy()
        if y.shape != wanted.shape or (found[name].dtype.kind == "f") != expected.is_floating_point():
            return float("inf")
        worst = max(worst, float(np.abs(y - wanted).max() / max(np.abs(wanted).max(), 1e-30)))
    return worst


@cache
def newest_runnable() -> int:
    """The newest opset that onnx defines and the installed ONNX Runtime runs."""
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "probe", [value], [result])
    for opset in range(onnx.defs.onnx_opset_version(), 17, -1):
        opsets = [helper.make_opsetid("", opset)]
        version = helper.find_min_ir_version_for(opsets)
        try:
            execute(helper.make_model(graph, opset_imports=opsets, ir_version=version), {"x": torch.ones(1)})
        except Exception:
            continue
        return opset
    raise AssertionError("ONNX Runtime runs no opset that onnx knows")
