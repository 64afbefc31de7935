"""The graph under construction: what every name of the file stands for, and the parameters that have been used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from repc.diagnostics import Span
from repc.importers.onnx.elements import Types
from repc.importers.onnx.places import KEY
from repc.importers.onnx.values import Known, Misfit, Operand, Value
from repc.ir.expr import Apply, Expr, Param
from repc.ir.expr import parameters as parameters_of
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId, Parameter
from repc.ir.operator import Operator
from repc.ir.types import TensorType
from repc.ops import build
from repc.ops.constant import Fill, Input

REAL = ("f16", "bf16", "f32", "f64")


class Network:
    """What a file becomes, node by node.

    A tensor of the file becomes a parameter when it is first used, under its own name.  `names` keeps what the file
    calls the values of the graph, `constants` the parameters that no training changes.
    """

    def __init__(self, name: str, types: Types) -> None:
        self.graph = Graph(name)
        self.types = types
        self.names: dict[NodeId, str] = {}
        self.constants: set[str] = set()
        self.tensors: dict[str, Tensor] = {}
        self._protos: dict[str, onnx.TensorProto] = {}
        self._places: dict[str, Span] = {}
        self._values: dict[str, Value] = {}

    # ------------------------------------------------------------ names

    def __contains__(self, name: str) -> bool:
        return name in self._values or name in self._protos

    def __getitem__(self, name: str) -> Value:
        """What a name stands for."""
        if name not in self._values:
            self._values[name] = self._opened(name)
        return self._values[name]

    def __setitem__(self, name: str, value: Value) -> None:
        self._values[name] = value
        if isinstance(value, NodeId):
            self.names.setdefault(value, name)

    def store(self, tensor: onnx.TensorProto, name: str, place: Span, *, constant: bool) -> None:
        """A tensor of the file: an initializer, or what a Constant node holds."""
        self._protos[name], self._places[name] = tensor, place
        if constant:
            self.constants.add(name)

    def _opened(self, name: str) -> Value:
        """Integers are known while reading, and single numbers that no module calls its own; the rest are weights."""
        proto = self._protos[name]
        dtype = self.types.name(proto.data_type)
        if dtype is None:
            element = onnx.TensorProto.DataType.Name(proto.data_type).lower()
            raise Misfit(f"{name} has elements of type {element}")
        single = int(np.prod(proto.dims)) == 1
        if dtype not in REAL or (single and (name in self.constants or not KEY.fullmatch(name))):
            return Known(numpy_helper.to_array(proto), dtype)
        return self.parameter(name)

    # ------------------------------------------------------------ weights

    def parameter(self, name: str) -> Param:
        """A tensor of the file as a parameter."""
        known = self.graph.parameters.get(name)
        if known is None:
            proto = self._protos[name]
            dtype = self.types.name(proto.data_type)
            assert dtype is not None, "only what has a type is asked for"
            type = TensorType(tuple(proto.dims), dtype)
            self.tensors[name] = tensor_of(proto)
            if dtype not in REAL:
                self.constants.add(name)
            fixed = name in self.constants
            zeros = build.expand(Apply(Fill((), Fraction(0), dtype), {}, TensorType((), dtype)), type.shape)
            known = Parameter(name, type, zeros, buffer=fixed, trainable=not fixed, span=self._places[name])
            self.graph.parameters[name] = known
        return Param(name, known.type)
