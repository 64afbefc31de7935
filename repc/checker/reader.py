"""An ONNX file as a graph over repc's operators, read without the backend that wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from repc.checker import errors
from repc.checker.computed import Literal
from repc.checker.operators import operator
from repc.checker.rationals import Rationals
from repc.checker.site import Site
from repc.diagnostics import Failure
from repc.ir.expr import Apply, Expr
from repc.ir.foreign import OnnxCall
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId
from repc.ir.operator import Operator
from repc.ir.types import TensorType
from repc.ops import Input
from repc.ops.opaque import Opaque


@dataclass(frozen=True, eq=False)
class Artifact:
    """The graph of a file, its values by name, and the tensors that are stored for an expression."""

    graph: Graph
    values: Mapping[str, NodeId]
    stored: Mapping[str, Tensor]


def read(model: onnx.ModelProto, train: Graph, cuts: Mapping[NodeId, str], tensors: Mapping[str, Expr]) -> Artifact:
    """Read a model: initializers of known names stand for their expressions, all others for constants.

    A value that `cuts` names, for a node of the training graph, has that node's type.  Raises `Failure` where the file
    has other inputs, or something that repc's writer does not write.
    """
    return _Reader(model, train, cuts, tensors).artifact()


class _Reader:
    def __init__(
        self, model: onnx.ModelProto, train: Graph, cuts: Mapping[NodeId, str], tensors: Mapping[str, Expr]
    ) -> None:
        self._proto = model.graph
        self._train = train
        self._tensors = tensors
        self._known = {**{name: id for id, name in cuts.items() if id in train}, **train.outputs}
        self._opsets = {entry.domain: entry.version for entry in model.opset_import}
        self._rationals = Rationals(train)
        self._graph = Graph(train.name)
        self._values: dict[str, NodeId] = {}
        self._stored: dict[str, Tensor] = {}
        self._constants: dict[str, Tensor] = {}
        self._weights: dict[str, Expr] = {}

    def artifact(self) -> Artifact:
        for tensor in self._proto.initializer:
            self._initializer(tensor)
        self._inputs()
        for node in self._proto.node:
            self._node(node)
        for output in self._proto.output:
            if output.name in self._values:
                self._graph.outputs[output.name] = self._values[output.name]
        return Artifact(self._graph, self._values, self._stored)

    def _inputs(self) -> None:
        names = [value.name for value in self._proto.input]
        if sorted(names) != sorted(self._train.inputs):
            raise Failure(errors.unknown_operator("the inputs", f"{names} instead of {list(self._train.inputs)}"))
        for name, id in self._train.inputs.items():
            node = Node(Input(name, self._train[id].type), (), {}, self._train[id].type, name, ())
            self._graph.inputs[name] = self._values[name] = self._graph.add(node)

    def _initializer(self, proto: onnx.TensorProto) -> None:
        value = _tensor(proto)
        if proto.name in self._tensors:
            self._stored[proto.name] = value
            self._weights[proto.name] = self._tensors[proto.name]
        else:
            self._constants[proto.name] = value
            if not value.isfinite().all():
                raise Failure(errors.unknown_operator(f"the constant {proto.name}", "it is not finite"))
            literal = Literal(value, self._rationals.of(value) if value.is_floating_point() else ())
            self._weights[proto.name] = Apply(literal, {}, TensorType(tuple(value.shape)))

    def _node(self, proto: onnx.NodeProto) -> None:
        made = [name for name in proto.output if name]
        ops = self._carried(proto, made)
        if not ops:  # one result is read, and it is the last
            ops, made = [operator(Site(proto, self._constants, self._rationals))], made[-1:]
        for name, op in zip(made, ops, strict=True):
            inputs, weights = self._operands(op, [name for name in proto.input if name])
            self._values[name] = self._graph.add(Node(op, inputs, weights, self._type(name), name, ()))

    def _carried(self, proto: onnx.NodeProto, made: list[str]) -> list[Operator]:
        """The opaque operators of the training graph that are this very node, one for each result; else none."""
        ops = [self._train[self._known[name]].op for name in made if name in self._known]
        calls = [op.call for op in ops if isinstance(op, Opaque)]
        same = [isinstance(call, OnnxCall) and self._is_call(proto, call) for call in calls]
        return ops if len(same) == len(made) and all(same) else []

    def _is_call(self, proto: onnx.NodeProto, call: OnnxCall) -> bool:
        """Whether a node is that of a call but for names; one with graphs inside that read from outside is not told."""
        version, operands = self._opsets.get(call.domain), [name for name in proto.input if name]
        return (version, len(operands)) == (call.opset, len(call.names)) and _unnamed(proto) == _unnamed(call.node)

    def _type(self, name: str) -> TensorType:
        """That of the training graph; where it has no such value, any will do."""
        known = [self._train[self._known[name]]] if name in self._known else map(self._graph.__getitem__, self._graph)
        return next(iter(known)).type

    def _operands(self, op: Operator, names: list[str]) -> tuple[tuple[NodeId, ...], dict[str, Expr]]:
        """In the order of ONNX, which is that of repc's operators too."""
        operands = [str(i) for i in range(len(names))] if op.variadic else [*op.required, *op.optional]
        weights = {o: self._weights[name] for o, name in zip(operands, names, strict=False) if name in self._weights}
        unknown = [name for name in names if name not in self._weights and name not in self._values]
        if unknown:
            raise Failure(errors.unknown_operator(unknown[0], "nothing before it makes this value"))
        return tuple(self._values[name] for name in names if name in self._values), weights


def _unnamed(node: onnx.NodeProto | bytes) -> bytes:
    copy = onnx.NodeProto.FromString(node if isinstance(node, bytes) else node.SerializeToString())
    copy.name = copy.doc_string = ""
    for names in (copy.input, copy.output):
        names[:] = ["x" if name else "" for name in names]
    return copy.SerializeToString(deterministic=True)


def _tensor(proto: onnx.TensorProto) -> Tensor:
    if proto.data_type == onnx.TensorProto.BFLOAT16:  # numpy has no such type
        return torch.frombuffer(bytearray(proto.raw_data), dtype=torch.bfloat16).reshape(tuple(proto.dims))
    return torch.as_tensor(numpy_helper.to_array(proto).copy())
