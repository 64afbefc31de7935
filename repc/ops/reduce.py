"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from repc.ir.dims import volume
from repc.ir.field import Field, T
from repc.ir.operator import Operator
from repc.ir.types import ShapeError, TensorType
from repc.ops.operands import check_axes
from repc.ops.windows import Ints

KINDS = ("sum", "mean", "norm", "var", "max", "min")


@dataclass(frozen=True)
class Reduce(Operator):
    """The sum, mean, Euclidean norm, variance or extremum over some axes, which stay with size 1 if `keep`.

    A variance divides by the number of elements less `correction`.
    """

    name = "reduce"
    required = ("x",)

    kind: str
    axes: Ints
    keep: bool
    correction: int = 0

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        x = given["x"]
        if self.kind not in KINDS:
            raise ShapeError(f"there is no reduction {self.kind!r}", "x", f"one of {', '.join(KINDS)}")
        check_axes(self.axes, x)
        if self.kind in ("mean", "max", "min") and any(x.shape[axis] == 0 for axis in self.axes):
            raise ShapeError(f"there is no {self.kind} of nothing, as in {x}", "x", "use a larger input")
        if self.kind == "var":
            self._check_count(x)
        if self.keep:
            return x.with_shape([1 if axis in self.axes else size for axis, size in enumerate(x.shape)])
        return x.with_shape([size for axis, size in enumerate(x.shape) if axis not in self.axes])

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        x = given["x"]
        count = prod(field.shape(x)[axis] for axis in self.axes)
        match self.kind:
            case "sum":
                return field.sum(x, self.axes, self.keep)
            case "mean":
                return field.mul(field.sum(x, self.axes, self.keep), field.fill((), Fraction(1, count)))
            case "norm":
                return field.function("sqrt", (), field.sum(field.mul(x, x), self.axes, self.keep))
            case "var":
                mean = field.mul(field.sum(x, self.axes, keep=True), field.fill((), Fraction(1, count)))
                centred = field.sub(x, mean)
                total = field.sum(field.mul(centred, centred), self.axes, self.keep)
                return field.mul(total, field.fill((), Fraction(1, count - self.correction)))
            case "max":
                return self._largest(field, x)
            case _:
                return _negative(field, self._largest(field, _negative(field, x)))

    def _check_count(self, x: TensorType) -> None:
        count = volume(x.shape[axis] for axis in self.axes)
        if not self.axes or (isinstance(count, int) and count <= self.correction):
            raise ShapeError(
                f"a variance of {count} elements does not divide by {self.correction} less",
                "x",
                "name more axes, or use a smaller correction",
            )

    def _largest(self, field: Field[T], x: T) -> T:
        shape = field.shape(x)
        for axis in sorted(self.axes, reverse=True):
            x = field.max(x, axis)
        return field.reshape(x, [1 if i in self.axes else size for i, size in enumerate(shape)]) if self.keep else x


def _negative(field: Field[T], x: T) -> T:
    return field.mul(x, field.fill((), Fraction(-1)))
