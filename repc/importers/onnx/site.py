"""One node of a file, seen by the function that says what it means."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from repc.diagnostics import Span
from repc.importers.onnx.network import Network
from repc.importers.onnx.values import Known, Misfit, Operand
from repc.ir.dims import Dim, evaluate
from repc.ir.expr import Param
from repc.ir.operator import Operator
from repc.ir.types import REAL, TensorType
from repc.ops.constant import Fill

LITERALS = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}


class Site:
    """What a node is given, and what it adds to the graph.  `Misfit` is raised for whatever repc does not express."""

    def __init__(self, network: Network, node: onnx.NodeProto, opset: int, path: str, place: Span) -> None:
        self.network = network
        self.node = node
        self.opset = opset
        self.path, self.place = path, place
        self._attributes = {attribute.name: attribute for attribute in node.attribute}

    # ------------------------------------------------------------ attributes

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute as plain data."""
        if name not in self._attributes:
            return default
        value = helper.get_attribute_value(self._attributes[name])
        return value.decode() if isinstance(value, bytes) else value

    def number(self, name: str, default: str) -> Fraction:
        """A float attribute as the shortest decimal that it stands for: 1e-05 and not 9.99999974738e-06."""
        value = self.attribute(name)
        return Fraction(default if value is None else str(np.float32(value)))

    def only(self, **wanted: object) -> None:
        """Attributes that must have these values, which are their defaults."""
        for name, value in wanted.items():
            if (found := self.attribute(name, value)) != value:
                raise Misfit(f"{name} is {found}")

    def tensor(self) -> onnx.TensorProto:
        """The value of a Constant, which has one attribute."""
        ((name, attribute),) = self._attributes.items()
        if name == "value":
            return attribute.t
        if name not in LITERALS:
            raise Misfit(f"it holds a {name}")
        return numpy_helper.from_array(np.array(helper.get_attribute_value(attribute), LITERALS[name]))

    # ------------------------------------------------------------ operands

    def has(self, index: int) -> bool:
        """Whether there is an input of that number."""
        return index < len(self.node.input) and bool(self.node.input[index])

    def __getitem__(self, index: int) -> Operand:
        """An input as an operand."""
        return self.network.operand(self.node.input[index])

    def optional(self, index: int) -> Operand | None:
        """The same, where there is one."""
        return self[index] if self.has(index) else None

    def all(self) -> list[Operand]:
        """Every input as an operand."""
        return [self[index] for index in range(len(self.node.input))]

    def type(self, operand: Operand) -> TensorType:
        return self.network.type(operand)

    def real(self, operand: Operand) -> Operand:
        """An operand that must have a floating-point type: integers divide in another way."""
        if self.type(operand).dtype not in REAL:
            raise Misfit(f"it computes in {self.type(operand).dtype}")
        return operand

    def shape(self, index: int) -> tuple[Dim, ...]:
        """The shape of an input, known or not."""
        value = self.network[self.node.input[index]]
        return value.array.shape if isinstance(value, Known) else self.type(self[index]).shape

    # ------------------------------------------------------------ what is known while reading

    def constant(self, index: int) -> np.ndarray:
        """The elements of an input that are known while reading; integers may be symbolic."""
        name = self.node.input[index]
        value = self.network[name]
        if isinstance(value, Known):
            return value.array
        if isinstance(value, Param):
            return self.network.tensors[value.path].double().numpy()
        raise Misfit(f"input {index} is computed at run time")

    def dims(self, index: int) -> tuple[Dim, ...]:
        """Sizes, as an input has them."""
        return tuple(self.constant(index).astype(object).flat)

    def ints(self, index: int) -> tuple[int, ...]:
        """Integers, as an input has them."""
        found = self.dims(index)
        if not all(isinstance(value, int) for value in found):
            raise Misfit(f"input {index} depends on sizes that are free")
        return tuple(evaluate(value, {}) for value in found)

    def axes(self, index: int, rank: int, name: str = "axes") -> tuple[int, ...] | None:
        """Axes counted from zero: an input, or in older opsets an attribute; None where neither is there."""
        found = self.ints(index) if self.has(index) else self.attribute(name)
        return None if found is None else tuple(axis % rank for axis in found)

    def axis(self, default: int, rank: int) -> int:
        """The attribute `axis`, counted from zero."""
        return self.attribute("axis", default) % max(rank, 1)

    # ------------------------------------------------------------ results

    def add(self, op: Operator, **operands: Operand | None) -> Operand:
        """An operator over operands, those that are missing left out."""
        given = {name: operand for name, operand in operands.items() if operand is not None}
        return self.network.add(op, given, self.path, self.place)

    def add_all(self, op: Operator, operands: Sequence[Operand]) -> Operand:
        """The same for an operator with numbered operands."""
        return self.add(op, **{str(index): operand for index, operand in enumerate(operands)})

    def fill(self, number: Fraction | int, like: Operand) -> Operand:
        """A number of the element type of an operand."""
        return self.add(Fill((), Fraction(number), self.type(like).dtype))
