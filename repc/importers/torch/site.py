"""Values of an imported network, and the place of one call, where operators for it are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite, isinf
from typing import TypeAlias

import torch
from torch import Tensor

from repc.diagnostics import Span
from repc.evaluate import evaluate
from repc.evaluate.floating import TorchField
from repc.ir.dims import Dim, Polynomial, symbols
from repc.ir.expr import Apply, Expr, parameters
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId
from repc.ir.operator import Operator
from repc.ir.types import REAL, TensorType
from repc.ops import Cast, Fill, Function, Multiply, Permute, Reshape, Sum


@dataclass(frozen=True, slots=True)
class Ref:
    """The value of a node."""

    id: NodeId
    type: TensorType


Value: TypeAlias = Ref | Expr
"""An activation, or a weight expression where nothing but weights is involved."""

Number: TypeAlias = bool | int | float


class Unknown(Exception):
    """A call that repc has no operators for; the text says what about it."""


def exact(value: Number | Fraction) -> Fraction:
    """A number as the decimal that it is written as: 1e-05 is one over a hundred thousand."""
    if isinstance(value, float):
        if not isfinite(value):
            raise Unknown(f"the constant {value}")
        return Fraction(str(value))
    return Fraction(value)


def axis_of(x: Value, axis: int) -> int:
    """An axis counted from the front; a single number, of which torch admits axis 0, has none."""
    if not x.type.rank:
        raise Unknown("an axis of a single number")
    return axis % x.type.rank


@dataclass(frozen=True, eq=False)
class Site:
    """One call of the original network: where its operators go, the types of its results, and the tensors there are.

    `compute` is the type that repc calls f32.

    Methods that make something raise `ShapeError` or `Unknown` where no operator does it.
    """

    graph: Graph
    path: str
    origin: tuple[Span, ...]
    results: tuple[TensorType, ...]
    held: Mapping[str, Tensor]
    compute: torch.dtype

    @property
    def result(self) -> TensorType:
        """The type of the first result."""
        return self.results[0]

    def add(self, op: Operator, **operands: Value | None) -> Value:
        """An operator on the operands that are there."""
        given = {name: value for name, value in operands.items() if value is not None}
        type = op.infer({name: value.type for name, value in given.items()})
        weights = {name: value for name, value in given.items() if not isinstance(value, Ref)}
        inputs = tuple(value.id for value in given.values() if isinstance(value, Ref))
        if not inputs and not symbols(type.shape):
            return Apply(op, weights, type)
        node = Node(op, inputs, weights, type, self.path, self.origin)
        if node.operands().keys() != given.keys():
            raise Unknown("activations where an operator takes weights")
        return Ref(self.graph.add(node), type)

    def add_all(self, op: Operator, values: Sequence[Value]) -> Value:
        """The same for a variadic operator."""
        return self.add(op, **{str(i): value for i, value in enumerate(values)})

    def is_true(self, x: Value) -> bool:
        """Whether a weight is known to be true throughout, with the values that the network has."""
        if isinstance(x, Ref):
            return False
        held = {path: self.held[path] for path in parameters([x])}
        if any(tensor.is_meta for tensor in held.values()):
            return False
        values = {path: tensor.detach().cpu() for path, tensor in held.items()}
        return bool(evaluate({0: x}, TorchField(), values)[0].all())

    # ------------------------------------------------------------ what many calls are made of

    def number(self, value: Number, dtype: str = "f32", shape: Sequence[int] = ()) -> Expr:
        """A constant; infinity is the logarithm of zero, negated."""
        if isinstance(value, float) and isinf(value) and dtype in REAL:
            lowest = self.function("log", self.number(0, dtype, shape))
            found = lowest if value < 0 else self.combine((-1, lowest))
            assert not isinstance(found, Ref)
            return found
        return Apply(Fill(tuple(shape), exact(value), dtype), {}, TensorType(tuple(shape), dtype))

    def operands(self, *given: Value | Dim | Number, dtype: str | None = None) -> list[Value]:
        """Operands of arithmetic in one element type, that of the result if none is named; numbers become constants."""
        return [self._operand(x, dtype or self.result.dtype) for x in given]

    def combine(self, *terms: tuple[Number | Fraction, Value]) -> Value:
        """The sum of values, each times a number."""
        return self.add_all(Sum(tuple(exact(factor) for factor, _ in terms)), [value for _, value in terms])

    def times(self, a: Value, b: Value) -> Value:
        """The product, element by element."""
        return self.add(Multiply(), a=a, b=b)

    def function(self, name: str, x: Value, *attributes: Number) -> Value:
        """An elementwise function."""
        return self.add(Function(name, tuple(map(exact, attributes))), x=x)

    def reshape(self, x: Value, shape: Sequence[Dim]) -> Value:
        """x in another shape; x itself where it has that shape."""
        return x if x.type.shape == tuple(shape) else self.add(Reshape(tuple(shape)), x=x)

    def permute(self, x: Value, axes: Sequence[int]) -> Value:
        """x with its axes in another order; x itself where that is its own."""
        return x if list(axes) == list(range(x.type.rank)) else self.add(Permute(tuple(axes)), x=x)

    def cast(self, x: Value, dtype: str) -> Value:
        """x as another element type; x itself where that is its own."""
        if x.type.dtype == dtype:
            return x
        if "c64" in (x.type.dtype, dtype):
            raise Unknown("complex numbers")
        return self.add(Cast(dtype), x=x)

    def _operand(self, x: Value | Dim | Number, dtype: str) -> Value:
        if isinstance(x, Polynomial):
            raise Unknown(f"arithmetic with the free size {x}")
        return self.number(x, dtype) if isinstance(x, Number) else self.cast(x, dtype)
