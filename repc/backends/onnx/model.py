"""A graph and its stored tensors as an ONNX model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version

import numpy as np
import onnx
import torch
from onnx import helper

from repc.backends.onnx.errors import unknown_opset, untypable
from repc.backends.onnx.opaque import check_calls
from repc.backends.onnx.writer import Writer
from repc.evaluate.raw import raw
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ir.storage import storage

OLDEST_OPSET = 13


def build(
    graph: Graph,
    values: Mapping[str, torch.Tensor | np.ndarray],
    *,
    opset: int = 18,
    dtype: str = "f32",
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """The checked ONNX model of a graph; the same arguments make the same bytes.

    `values` holds the stored tensors (`repc.ir.storage`), in the compute type `dtype` already.  `metadata` goes into
    the model as it is.  Raises `Failure`: E710 for an opset out of range, E711 where an operator does not take the
    compute type at that opset, E712 for an operator without an ONNX form, E713 for a size unknown at run time,
    E714 for opaque operators of torch, E715 for one that the opset has changed.
    """
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= opset <= newest:
        raise unknown_opset(opset, OLDEST_OPSET, newest)
    check_calls(graph, opset)
    stored = storage(graph)
    writer = Writer(graph, stored, opset, dtype)
    model = _model(writer.graph_proto(), writer.opsets(), metadata or {})
    weights = [writer.value_info(name, stored.tensors[name].type) for name in writer.weights()]
    _check(model, weights, opset, dtype)
    model.graph.initializer.extend(_tensor(weight, values[weight.name]) for weight in weights)
    return model


def value_names(graph: Graph) -> dict[NodeId, str]:
    """What every value of a graph is called in the model that `build` makes of it, at any opset and type."""
    return Writer(graph, storage(graph), OLDEST_OPSET, "f32").values()


def counts(model: onnx.ModelProto) -> dict[str, int]:
    """How many nodes of each operator type the model has."""
    return _counts(model.graph)


def operators(graph: Graph, opset: int = 18) -> dict[str, int]:
    """How many nodes of each operator type a graph would have as a model, for which no weights are needed.

    Opaque operators that ONNX does not have count by the name of what they call.
    """
    return _counts(Writer(graph, storage(graph), opset, "f32").graph_proto())


def written(graph: Graph, opset: int = 18) -> dict[NodeId, list[str]]:
    """The operator types that each node of a graph would be written with."""
    writer = Writer(graph, storage(graph), opset, "f32")
    nodes = writer.graph_proto().node
    names = {node.output[0]: node.name for node in nodes}
    sites = {names[value]: id for id, value in writer.values().items() if value in names}
    found: dict[NodeId, list[str]] = {}
    for node in nodes:
        # What a lowering makes beside the node itself is called after it: ``path/conv/Pad``.
        id = sites.get(node.name, sites.get(node.name.rpartition("/")[0]))
        if id is not None:
            found.setdefault(id, []).append(node.op_type)
    return found


def _counts(graph: onnx.GraphProto) -> dict[str, int]:
    return dict(sorted(Counter(node.op_type for node in graph.node).items()))


def _model(graph: onnx.GraphProto, opsets: Mapping[str, int], metadata: Mapping[str, str]) -> onnx.ModelProto:
    """The model around a graph.  The oldest IR version that has the opset, as runtimes lag behind the newest."""
    ids = [helper.make_opsetid(domain, opset) for domain, opset in opsets.items()]
    model = helper.make_model(
        graph,
        opset_imports=ids,
        ir_version=helper.find_min_ir_version_for(ids, ignore_unknown=True),
        producer_name="repc",
        producer_version=version("repc"),
    )
    helper.set_model_props(model, dict(sorted(metadata.items())))
    return model


def _check(model: onnx.ModelProto, weights: list[onnx.ValueInfoProto], opset: int, dtype: str) -> None:
    """The full checker, with the weights as inputs: it looks at their types only, and they may exceed 2 GB."""
    checked = onnx.ModelProto()
    checked.CopyFrom(model)
    checked.graph.input.extend(weights)
    try:
        onnx.checker.check_model(checked, full_check=True)  # pyright: ignore[reportUnknownMemberType]
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        if dtype == "f32":
            raise
        raise untypable(dtype, opset, str(error)) from error


def _tensor(info: onnx.ValueInfoProto, value: torch.Tensor | np.ndarray) -> onnx.TensorProto:
    """An initializer; the bytes of a tensor, since numpy does not know bfloat16."""
    type = info.type.tensor_type
    shape = tuple(dim.dim_value for dim in type.shape.dim)
    assert tuple(value.shape) == shape, f"{info.name} is {tuple(value.shape)}, not {shape}"
    data = raw(value).tobytes() if isinstance(value, torch.Tensor) else value.tobytes()
    size = helper.tensor_dtype_to_np_dtype(type.elem_type).itemsize
    assert len(data) == size * np.prod(shape, dtype=int), f"{info.name} has another element type than the model"
    return onnx.TensorProto(name=info.name, data_type=type.elem_type, dims=shape, raw_data=data)
