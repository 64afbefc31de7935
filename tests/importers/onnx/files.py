"""Small ONNX models written by hand, and how they are run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper

from repc.evaluate import run
from repc.evaluate.floating import TorchField
from repc.importers import Imported

Shape = Sequence[int | str | None]
random = np.random.default_rng


def node(op_type: str, inputs: Sequence[str], outputs: Sequence[str] = ("y",), **attributes: Any) -> onnx.NodeProto:
    domain = attributes.pop("domain", "")
    return helper.make_node(op_type, inputs, outputs, domain=domain, **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Shape],
    weights: Mapping[str, np.ndarray] | None = None,
    outputs: Sequence[str] = ("y",),
    *,
    opset: int = 18,
    element: int = TensorProto.FLOAT,
    elements: Mapping[str, int] | None = None,
    functions: Sequence[onnx.FunctionProto] = (),
    domains: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    """A model; `elements` are the element types of inputs and outputs that are not of type `element`."""
    kinds = dict(elements or {})
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, kinds.get(name, element), shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, kinds.get(name, element), None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in {"": opset, **(domains or {})}.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=functions)


def session(made: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return ort.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])


def execute(made: onnx.ModelProto, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """What ONNX Runtime computes."""
    return [np.asarray(value) for value in session(made).run(None, dict(inputs))]


def evaluated(imported: Imported, inputs: Mapping[str, np.ndarray]) -> list[torch.Tensor]:
    """What the graph means, in float64."""
    given = {name: torch.as_tensor(value) for name, value in inputs.items()}
    values = run(imported.graph, TorchField(torch.float64), given, imported.parameters)
    return [values[id] for id in imported.graph.outputs.values()]


def distance(ours: torch.Tensor, theirs: np.ndarray) -> float:
    """How far two values are apart, relative to the second; shapes must be equal."""
    assert tuple(ours.shape) == theirs.shape, f"{tuple(ours.shape)} instead of {theirs.shape}"
    wanted = torch.as_tensor(theirs).double()
    scale = float(wanted.abs().max()) if wanted.numel() else 1.0
    return float((ours.double() - wanted).abs().max()) / (scale or 1.0) if wanted.numel() else 0.0


def normal(*shape: int, seed: int = 0, dtype: type = np.float32) -> np.ndarray:
    return random(seed + sum(shape)).standard_normal(shape).astype(dtype)


def positive(*shape: int, seed: int = 0) -> np.ndarray:
    return random(seed).uniform(0.5, 2.0, shape).astype(np.float32)
