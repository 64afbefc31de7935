"""Types of the results of a node, by ONNX's own shape inference over the types that repc knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import import_module
from typing import Any

import onnx
from onnx import helper, numpy_helper, shape_inference

from repc.importers.onnx.network import Network
from repc.importers.onnx.values import Known
from repc.ir.types import TensorType

ELEMENTS: Mapping[str, int] = {
    "tensor(float)": onnx.TensorProto.FLOAT,
    "tensor(float16)": onnx.TensorProto.FLOAT16,
    "tensor(double)": onnx.TensorProto.DOUBLE,
    "tensor(int64)": onnx.TensorProto.INT64,
    "tensor(int32)": onnx.TensorProto.INT32,
    "tensor(int8)": onnx.TensorProto.INT8,
    "tensor(uint8)": onnx.TensorProto.UINT8,
    "tensor(bool)": onnx.TensorProto.BOOL,
}
SMALL = 1024  # elements of a constant that inference may want to see: sizes, axes, pads


class Inference:
    """What ONNX says about types; `stated` has what the file itself says."""

    def __init__(self, model: onnx.ModelProto, network: Network) -> None:
        self.opsets = {_domain(opset.domain): opset.version for opset in model.opset_import}
        self._model = model
        self._network = network
        stated = [*model.graph.output, *model.graph.value_info]  # in both: what has no shape in one may have it there
        self._stated = {value.name: value.type for value in stated if _has_shape(value.type)}

    def version(self, node: onnx.NodeProto) -> int:
        """The opset of the domain of a node."""
        return self.opsets.get(_domain(node.domain), 1)

    def types(self, node: onnx.NodeProto, names: Sequence[str]) -> dict[str, TensorType | None]:
        """The types of all results that have a name; None where it is not known.

        `names` are the values that the node reads, those that the graphs in its attributes read included.
        """
        found = self._inferred(node, names)
        types: dict[str, TensorType | None] = {}
        for name in filter(None, node.output):
            protos = [proto for proto in (found.get(name), self._stated.get(name)) if proto is not None]
            type = self._read(name, protos)
            types[name] = self._read(name, self._runtime.get(name, ())) if type is None else type
        return types

    def _read(self, name: str, protos: Sequence[onnx.TypeProto]) -> TensorType | None:
        """The first type with a shape; where it leaves a size out, a later one may know it."""
        known = [proto for proto in protos if _has_shape(proto)]
        if not known:
            return None
        first = onnx.TypeProto.FromString(known[0].SerializeToString())
        for axis, dim in enumerate(first.tensor_type.shape.dim):
            for other in known[1:]:
                dims = other.tensor_type.shape.dim
                if len(dims) == len(first.tensor_type.shape.dim) and not dim.WhichOneof("value"):
                    dim.CopyFrom(dims[axis])
        return self._network.types.read(first, name)

    @cached_property
    def _runtime(self) -> Mapping[str, Sequence[onnx.TypeProto]]:
        """What ONNX Runtime says of the results of operators that ONNX itself does not have, without running any."""
        names = [name for node in self._model.graph.node if _domain(node.domain) for name in node.output if name]
        added = onnx.GraphProto(output=[onnx.ValueInfoProto(name=name) for name in names])
        data = self._model.SerializeToString() + onnx.ModelProto(graph=added).SerializeToString()  # which merges them
        runtime: Any = import_module("onnxruntime")  # it has no types
        options = runtime.SessionOptions()
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        try:
            outputs = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"]).get_outputs()
        except Exception:  # whatever it raises of a domain that it does not have either
            return {}
        return {output.name: [_type(output.type, output.shape)] for output in outputs if output.type in ELEMENTS}

    def _inferred(self, node: onnx.NodeProto, names: Sequence[str]) -> Mapping[str, onnx.TypeProto]:
        network = self._network
        try:
            schema = onnx.defs.get_schema(node.op_type, self.version(node), node.domain)
            types: dict[str, onnx.TypeProto] = {}
            data: dict[str, onnx.TensorProto] = {}
            for name in names:
                value = network[name]
                if isinstance(value, tuple):
                    return {}
                if isinstance(value, Known):
                    types[name] = network.types.proto(TensorType(value.array.shape, value.dtype))
                    if not value.symbolic and value.array.size <= SMALL:
                        data[name] = numpy_helper.from_array(value.array, name)
                else:
                    types[name] = network.types.proto(network.type(value))
            return shape_inference.infer_node_outputs(
                schema,
                node,
                types,
                data,
                opset_imports=list(self._model.opset_import),
                ir_version=self._model.ir_version,
            )
        except (onnx.defs.SchemaError, onnx.shape_inference.InferenceError):
            return {}


def _type(element: str, shape: Sequence[int | str | None]) -> onnx.TypeProto:
    return helper.make_tensor_type_proto(ELEMENTS[element], shape)


def _domain(name: str) -> str:
    """ONNX's own domain has two names."""
    return "" if name == "ai.onnx" else name


def _has_shape(proto: onnx.TypeProto) -> bool:
    return proto.tensor_type.HasField("shape")
