"""Elements by their size: where the largest and the smallest are, and elements picked along with others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from repc.ir.dims import Dim, evaluate, least
from repc.ir.field import Field, T
from repc.ir.operator import Operator
from repc.ir.types import WHOLE, ShapeError, TensorType
from repc.ops.function import check_real
from repc.ops.operands import check_axes, positions


@dataclass(frozen=True)
class Order(Operator):
    """The positions of the `count` largest elements along an axis, or smallest ones, the first of them first.

    Of equal elements the one at the lower position comes first, as in ArgMax and TopK of ONNX.
    """

    name = "order"
    required = ("x",)

    axis: int
    count: Dim
    largest: bool = True

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        x = given["x"]
        check_axes((self.axis,), x)
        if x.dtype not in WHOLE:
            check_real(x, self.name)
        size = x.shape[self.axis]
        if any((bound := least(left)) is None or bound < 0 for left in (self.count - 1, size - self.count)):
            raise ShapeError(
                f"axis {self.axis} of {x} is not known to have {self.count} elements", "x", f"use at most {size}"
            )
        return TensorType((*x.shape[: self.axis], self.count, *x.shape[self.axis + 1 :]), "i64")

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        places = field.order(given["x"], self.axis, self.largest)
        return field.take(places, self.axis, range(evaluate(self.count, {})))

    def at(self, sizes: Mapping[str, int]) -> Order:
        return replace(self, count=evaluate(self.count, sizes))


@dataclass(frozen=True)
class TakeAlong(Operator):
    """For each position in `index` the element there along an axis of x, as `numpy.take_along_axis`.

    The other axes are the same.  Negative positions count from the end.
    """

    name = "take_along"
    required = ("x", "index")

    axis: int

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        x, index = positions(given, self.axis)
        others = [type.shape[: self.axis] + type.shape[self.axis + 1 :] for type in (x, index)]
        if others[0] != others[1] or x.rank != index.rank:
            raise ShapeError(
                f"the positions are {index} and x is {x}: they differ in more than axis {self.axis}",
                "index",
                "expand one of them",
            )
        return x.with_shape(index.shape)

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return field.take_along(given["x"], self.axis, given["index"])
