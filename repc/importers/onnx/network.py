"""The graph under construction: what every name of the file stands for, and the parameters that have been used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from math import isfinite

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from repc.diagnostics import Source, Span
from repc.evaluate.defined import ROOT_2, ROOT_2_PI
from repc.importers.onnx.elements import Types
from repc.importers.onnx.places import KEY
from repc.importers.onnx.values import Known, Misfit, Operand, Value
from repc.ir.dims import symbols
from repc.ir.expr import Apply, Param
from repc.ir.expr import parameters as parameters_of
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId, Parameter
from repc.ir.operator import Operator
from repc.ir.types import REAL, TensorType
from repc.ops.arithmetic import Sum
from repc.ops.constant import Fill, Input

ROOTS = (ROOT_2, 1 / ROOT_2, ROOT_2_PI)
FEW = 8  # numbers: scales of a Resize, bounds, an exponent


class Network:
    """What a file becomes, node by node.

    A tensor of the file becomes a parameter when it is first used, under its own name; `constants` are those that no
    training changes.
    """

    def __init__(self, name: str, types: Types, source: Source) -> None:
        self.graph = Graph(name)
        self.types = types
        self._start = Span(source, 0, 0)
        self.constants: set[str] = set()
        self.tensors: dict[str, Tensor] = {}
        self._protos: dict[str, onnx.TensorProto] = {}
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
            self.graph.names.setdefault(value, name)

    def is_stored(self, name: str) -> bool:
        """Whether a name is that of a tensor of the file."""
        return name in self._protos

    def store(self, tensor: onnx.TensorProto, name: str, *, constant: bool = False) -> None:
        """A tensor of the file: an initializer, or what a Constant node holds."""
        self._protos[name] = tensor
        if constant:
            self.constants.add(name)

    def _opened(self, name: str) -> Value:
        """Integers are known while reading, and a few numbers that no module calls its own; the rest are weights."""
        proto = self._protos[name]
        dtype = self.types.name(proto.data_type)
        if dtype is None:
            element = onnx.TensorProto.DataType.Name(proto.data_type).lower()
            raise Misfit(f"{name} has elements of type {element}")
        few = int(np.prod(proto.dims)) <= FEW
        if dtype not in REAL or (few and (name in self.constants or not KEY.fullmatch(name))):
            return Known(numpy_helper.to_array(proto), dtype)
        return self.parameter(name)

    def input(self, name: str, type: TensorType) -> None:
        """A runtime input."""
        id = self.graph.add(Node(Input(name, type), (), {}, type, "", (self._start,)))
        self.graph.inputs[name] = id
        self[name] = id

    def output(self, name: str) -> None:
        """A result of the network; a weight is copied, as results are nodes."""
        result = self.tensor(name)
        if not isinstance(result, NodeId):
            result = self.node(Sum((Fraction(1),)), {"0": result}, result.type, "", self._start)
        self.graph.outputs[name] = result

    # ------------------------------------------------------------ operands

    def operand(self, name: str) -> Operand:
        """A name as an operand; one number, the same everywhere, is a constant of the algebra.

        A vector is no tie between those that read it, as exporters store equal ones once: each gets its own.
        """
        value = self[name]
        if isinstance(value, Param) and value.type.rank == 1:
            return replace(value)
        if isinstance(value, Known) and value.dtype in REAL and len(numbers := set(value.array.flat)) == 1:
            (number,) = numbers
            if isfinite(number):
                return constant(meant(number), value)
        return self.tensor(name)

    def tensor(self, name: str) -> Operand:
        """A name as an operand with exactly the tensor of the file."""
        value = self[name]
        if isinstance(value, tuple):
            raise Misfit(f"{name} is a sequence of tensors")
        if not isinstance(value, Known):
            return value
        if value.computed is not None and value.symbolic:
            return value.computed()
        if name not in self._protos:
            self.store(numpy_helper.from_array(value.array, name), name, constant=True)
        return self.parameter(name)

    def type(self, operand: Operand) -> TensorType:
        return self.graph[operand].type if isinstance(operand, NodeId) else operand.type

    def parameter(self, name: str) -> Param:
        """A tensor of the file as a parameter."""
        known = self.graph.parameters.get(name)
        if known is None:
            known = self._declared(name, self._protos[name])
            self.graph.parameters[name] = known
        return Param(name, known.type)

    def _declared(self, name: str, proto: onnx.TensorProto) -> Parameter:
        dtype = self.types.name(proto.data_type)
        assert dtype is not None, "a name was opened before it became an operand"
        self.tensors[name] = tensor_of(proto)
        if dtype not in REAL:
            self.constants.add(name)
        fixed = name in self.constants
        type = TensorType(tuple(proto.dims), dtype)
        zeros = Apply(Fill(type.concrete(), Fraction(0), dtype), {}, type)
        return Parameter(name, type, zeros, buffer=fixed, trainable=not fixed, span=self._start)

    # ------------------------------------------------------------ nodes

    def add(self, op: Operator, operands: Mapping[str, Operand], path: str, place: Span) -> Operand:
        """An operator over operands: a weight where all of them are weights, and its sizes are known; else a node.

        Raises `ShapeError` where they do not fit, `Misfit` where a value of the graph stands where only weights may.
        """
        type = op.infer({name: self.type(operand) for name, operand in operands.items()})
        weights = {name: operand for name, operand in operands.items() if not isinstance(operand, NodeId)}
        if len(weights) == len(operands) and not symbols(type.shape):
            return Apply(op, weights, type)
        return self.node(op, operands, type, path, place)

    def node(self, op: Operator, operands: Mapping[str, Operand], type: TensorType, path: str, place: Span) -> NodeId:
        """A node of that type, whatever its operands are."""
        weights = {name: operand for name, operand in operands.items() if not isinstance(operand, NodeId)}
        inputs = tuple(operand for operand in operands.values() if isinstance(operand, NodeId))
        node = Node(op, inputs, weights, type, path, (place,))
        if node.operands() != dict(operands):
            raise Misfit("an operand that is computed follows one that is missing")
        return self.graph.add(node)

    def finish(self) -> Graph:
        """The graph without what no output depends on, and with the parameters that it reads."""
        needed = self.graph.upstream(self.graph.outputs.values()) | set(self.graph.inputs.values())
        for id in reversed(self.graph.order()):
            if id not in needed:
                self.graph.remove(id)
                self.graph.names.pop(id, None)
        read = parameters_of(expr for id in self.graph for expr in self.graph[id].weights.values())
        self.graph.parameters = {name: p for name, p in self.graph.parameters.items() if name in read}
        self.tensors = {name: self.tensors[name] for name in self.graph.parameters}
        return self.graph


def constant(number: Fraction, like: Known) -> Apply:
    """One number in the shape and type of a constant of the file."""
    type = TensorType(like.array.shape, like.dtype)
    return Apply(Fill(type.concrete(), number, type.dtype), {}, type)


def meant(number: np.generic) -> Fraction:
    """The number that a float of a file stands for: a root that GELU is made of, or the shortest decimal."""
    kind = type(number)
    decimal = Fraction(str(number))
    return next((root for root in ROOTS if kind(float(root)) == number), decimal)


def tensor_of(proto: onnx.TensorProto) -> Tensor:
    """A tensor of a file; numpy does not know bfloat16."""
    array = numpy_helper.to_array(proto)
    if proto.data_type == onnx.TensorProto.BFLOAT16:
        return torch.as_tensor(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.as_tensor(array.copy())
