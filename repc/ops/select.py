"""Elements picked by their positions, and elements added up from the first position on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from repc.ir.field import Field, T
from repc.ir.operator import Operator
from repc.ir.types import ShapeError, TensorType
from repc.ops.function import check_real
from repc.ops.operands import check_axes, positions, weighted
from repc.ops.windows import Ints


@dataclass(frozen=True)
class Gather(Operator):
    """The elements of x at the positions `index` along an axis, which becomes the axes of `index`; as `numpy.take`.

    An embedding is a weight gathered along axis 0.  Negative positions count from the end.
    """

    name = "gather"
    required = ("x", "index")

    axis: int

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        x, index = positions(given, self.axis)
        return x.with_shape((*x.shape[: self.axis], *index.shape, *x.shape[self.axis + 1 :]))

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return field.gather(given["x"], self.axis, given["index"])


@dataclass(frozen=True)
class Take(Operator):
    """The elements of an axis at constant positions, in their order."""

    name = "take"
    required = ("x",)

    axis: int
    positions: Ints

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        x = given["x"]
        check_axes((self.axis,), x)
        size = x.shape[self.axis]
        if not isinstance(size, int):
            raise ShapeError(f"axis {self.axis} of {x} has no known size to take from", "x", "pin the size")
        wrong = [position for position in self.positions if not 0 <= position < size]
        if wrong:
            raise ShapeError(f"axis {self.axis} of {x} has no position {wrong[0]}", "x", f"use 0 to {size - 1}")
        return x.with_shape((*x.shape[: self.axis], len(self.positions), *x.shape[self.axis + 1 :]))

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return field.take(given["x"], self.axis, self.positions)


@dataclass(frozen=True)
class Roll(Operator):
    """Every element moved by `shifts` along `axes`; what leaves an axis at its end enters it at its beginning."""

    name = "roll"
    required = ("x",)

    shifts: Ints
    axes: Ints

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        check_axes(self.axes, given["x"])
        if len(self.shifts) != len(self.axes):
            raise ShapeError(
                f"{len(self.shifts)} shifts for {len(self.axes)} axes", "x", "give one shift for each axis"
            )
        return given["x"]

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        x = given["x"]
        for shift, axis in zip(self.shifts, self.axes, strict=True):
            size = field.shape(x)[axis]
            x = field.take(x, axis, [(position - shift) % size for position in range(size)])
        return x


@dataclass(frozen=True)
class CumSum(Operator):
    """The sum of all elements up to each one along an axis."""

    name = "cumsum"
    required = ("x",)

    axis: int

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        check_axes((self.axis,), given["x"])
        return check_real(given["x"], self.name)

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        """A product with a triangle of ones."""
        size = field.shape(given["x"])[self.axis]
        triangle = [[Fraction(int(j <= i)) for j in range(size)] for i in range(size)]
        return weighted(field, given["x"], self.axis, triangle)
