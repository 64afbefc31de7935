"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from repc.ir.field import Field, T
from repc.ir.operator import Operator
from repc.ir.types import ShapeError, TensorType
from repc.ops.operands import check_axes
from repc.ops.windows import Ints

KINDS = ("sum", "mean", "norm")


@dataclass(frozen=True)
class Reduce(Operator):
    """The sum, mean or Euclidean norm over some axes, which stay with size 1 if `keep`."""

    name = "reduce"
    required = ("x",)

    kind: str
    axes: Ints
    keep: bool

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        x = given["x"]
        if self.kind not in KINDS:
            raise ShapeError(f"there is no reduction {self.kind!r}", "x", f"one of {', '.join(KINDS)}")
        check_axes(self.axes, x)
        if self.kind == "mean" and any(x.shape[axis] == 0 for axis in self.axes):
            raise ShapeError(f"there is nothing to average in {x}", "x", "use a larger input")
        if self.keep:
            return x.with_shape([1 if axis in self.axes else size for axis, size in enumerate(x.shape)])
        return x.with_shape([size for axis, size in enumerate(x.shape) if axis not in self.axes])

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        x = given["x"]
        if self.kind == "norm":
            return field.function("sqrt", (), field.sum(field.mul(x, x), self.axes, self.keep))
        total = field.sum(x, self.axes, self.keep)
        if self.kind == "sum":
            return total
        count = prod(field.shape(x)[axis] for axis in self.axes)
        return field.mul(total, field.fill((), Fraction(1, count)))
