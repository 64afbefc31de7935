"""Types of the results of a node, by ONNX's own shape inference over the types that repc knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
from onnx import numpy_helper, shape_inference

from repc.importers.onnx.network import Network
from repc.importers.onnx.values import Known
from repc.ir.types import TensorType

SMALL = 1024  # elements of a constant that inference may want to see: sizes, axes, pads


class Inference:
    """What ONNX says about types; `stated` has what the file itself says."""

    def __init__(self, model: onnx.ModelProto, network: Network) -> None:
        self.opsets = {_domain(opset.domain): opset.version for opset in model.opset_import}
        self._imports = list(model.opset_import)
        self._ir_version = model.ir_version
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
            types[name] = self._read(name, protos)
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
                schema, node, types, data, opset_imports=self._imports, ir_version=self._ir_version
            )
        except (onnx.defs.SchemaError, onnx.shape_inference.InferenceError):
            return {}


def _domain(name: str) -> str:
    """ONNX's own domain has two names."""
    return "" if name == "ai.onnx" else name


def _has_shape(proto: onnx.TypeProto) -> bool:
    return proto.tensor_type.HasField("shape")
