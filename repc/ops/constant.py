"""Constants, initial values and runtime inputs: the operators without operands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from repc.ir.field import Field, T
from repc.ir.notation import ATOM, PRODUCT, SUM, Term, attributes, call
from repc.ir.operator import Operator
from repc.ir.types import ShapeError, TensorType
from repc.ops.windows import Ints

DISTRIBUTIONS = ("uniform", "normal")


@dataclass(frozen=True)
class Fill(Operator):
    """A tensor of one value."""

    name = "fill"

    shape: Ints
    value: Fraction
    dtype: str = "f32"

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        return TensorType(self.shape, self.dtype)

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return field.fill(self.shape, self.value)

    def notation(self, operands: Mapping[str, Term]) -> Term:
        if self.shape:
            return call(self.name, (), attributes(self, vars(self)))
        whole = ATOM if self.value.denominator == 1 else PRODUCT
        return Term(str(self.value), SUM if self.value < 0 else whole)


@dataclass(frozen=True)
class Constant(Operator):
    """A tensor of given values, in row-major order."""

    name = "constant"

    shape: Ints
    values: tuple[Fraction, ...]

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        return TensorType(self.shape)

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return field.constant(self.shape, self.values)


@dataclass(frozen=True)
class Eye(Operator):
    """The identity matrix."""

    name = "eye"

    size: int

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        return TensorType((self.size, self.size))

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        """A one and `size` zeros, repeated, has its ones on the diagonal."""
        n, one = self.size, Fraction(1)
        rows = field.pad(field.fill((n - 1, 1), one), ((0, 0), (0, n)))
        flat = field.concat([field.reshape(rows, ((n - 1) * (n + 1),)), field.fill((1,), one)], 0)
        return field.reshape(flat, (n, n))


@dataclass(frozen=True)
class Random(Operator):
    """Random numbers for initial values: uniform in [low, high), or normal with mean `low` and deviation `high`."""

    name = "random"

    distribution: str
    shape: Ints
    low: float
    high: float

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        if self.distribution not in DISTRIBUTIONS:
            raise ShapeError(
                f"there is no distribution {self.distribution!r}", remedy=f"one of {', '.join(DISTRIBUTIONS)}"
            )
        return TensorType(self.shape)

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return field.sample(self.distribution, self.shape, self.low, self.high)


@dataclass(frozen=True)
class Input(Operator):
    """A runtime input; whoever runs the graph brings its value."""

    name = "input"

    port: str
    type: TensorType

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        return self.type

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        raise AssertionError(f"the value of input {self.port} is given, not computed")
