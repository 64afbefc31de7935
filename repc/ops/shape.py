"""Movement of elements: nothing is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from repc.ir.dims import Dim, Shape, evaluate, least, volume
from repc.ir.field import Field, T
from repc.ir.notation import Term, call, show
from repc.ir.operator import Operator
from repc.ir.types import ShapeError, TensorType, broadcast
from repc.ops.operands import along, check_axes, numbered, one_dtype
from repc.ops.padding import Pairs, check_padding, pad
from repc.ops.windows import Ints


def _integers(shape: Shape) -> Ints:
    """The sizes of an operator that runs: `Operator.at` has put integers in the place of symbols."""
    return tuple(evaluate(size, {}) for size in shape)


@dataclass(frozen=True)
class Reshape(Operator):
    """The same elements, in order, with another shape."""

    name = "reshape"
    required = ("x",)

    shape: Shape

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        x = given["x"]
        if volume(x.shape) != volume(self.shape):
            raise ShapeError(
                f"{x} has {volume(x.shape)} elements and {x.with_shape(self.shape)} has {volume(self.shape)}",
                "x",
                "choose sizes with the same product",
            )
        return x.with_shape(self.shape)

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return field.reshape(given["x"], _integers(self.shape))

    def notation(self, operands: Mapping[str, Term]) -> Term:
        """A vector that is only turned along an axis reads as the vector."""
        turned = len(self.shape) > 1 and sum(size != 1 for size in self.shape) <= 1
        return operands["x"] if turned else call(self.name, operands.values(), [show(self.shape)])

    def at(self, sizes: Mapping[str, int]) -> Reshape:
        return replace(self, shape=tuple(evaluate(size, sizes) for size in self.shape))


@dataclass(frozen=True)
class Permute(Operator):
    """Axis i of the result is axis axes[i] of x."""

    name = "permute"
    required = ("x",)

    axes: Ints

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        x = given["x"]
        if sorted(self.axes) != list(range(x.rank)):
            raise ShapeError(f"{list(self.axes)} is no order of the axes of {x}", "x", "name every axis once")
        return x.with_shape([x.shape[axis] for axis in self.axes])

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return field.permute(given["x"], self.axes)


@dataclass(frozen=True)
class Expand(Operator):
    """x repeated along axes of size 1, and along new axes in front."""

    name = "expand"
    required = ("x",)

    shape: Shape

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        x = given["x"]
        if broadcast([x, x.with_shape(self.shape)]).shape != self.shape:
            raise ShapeError(
                f"{x} does not expand to {x.with_shape(self.shape)}", "x", "only axes of size 1 and new ones expand"
            )
        return x.with_shape(self.shape)

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return field.expand(given["x"], _integers(self.shape))

    def at(self, sizes: Mapping[str, int]) -> Expand:
        return replace(self, shape=tuple(evaluate(size, sizes) for size in self.shape))


@dataclass(frozen=True)
class Slice(Operator):
    """Every `step`-th element of an axis from `start` until before `stop`.

    Of an axis whose size is free, `stop` is that size less a number, or a number that the size surely reaches.
    """

    name = "slice"
    required = ("x",)

    axis: int
    start: int
    stop: Dim
    step: int = 1

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        x = given["x"]
        check_axes((self.axis,), x)
        size = x.shape[self.axis]
        if not isinstance(size, int) and not self._fits(size):
            raise ShapeError(
                f"{self.start}:{self.stop} of axis {self.axis} of {x} is not known to be there", "x", "pin the size"
            )
        if isinstance(size, int) and not (isinstance(self.stop, int) and 0 <= self.start < self.stop <= size):
            raise self._no_part(size)
        if self.step < 1 or self.start < 0:
            raise self._no_part(size)
        kept = (self.stop - self.start + self.step - 1) // self.step
        return x.with_shape((*x.shape[: self.axis], kept, *x.shape[self.axis + 1 :]))

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return field.take(given["x"], self.axis, range(self.start, evaluate(self.stop, {}), self.step))

    def at(self, sizes: Mapping[str, int]) -> Slice:
        return replace(self, stop=evaluate(self.stop, sizes))

    def _fits(self, size: Dim) -> bool:
        """Whether it is known that a free size has the part; one of the two places must be a number of elements."""
        left = size - self.stop
        bounds = least(left), least(self.stop - self.start)
        plain = isinstance(self.stop, int) or isinstance(left, int)
        return plain and all(bound is not None and bound >= 0 for bound in bounds)

    def _no_part(self, size: Dim) -> ShapeError:
        return ShapeError(
            f"{self.start}:{self.stop}:{self.step} takes no valid part of {size} elements",
            "x",
            f"use 0 <= start < stop <= {size} and a step of at least 1",
        )


@dataclass(frozen=True)
class Concat(Operator):
    """The operands one after another along an axis."""

    name = "concat"
    variadic = True

    axis: int

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        if not given:
            raise ShapeError("there is nothing to concatenate", remedy="give at least one operand")
        one_dtype(given)
        first, *others = numbered(given)
        check_axes((self.axis,), first)
        before, total, after = first.shape[: self.axis], first.shape[self.axis], first.shape[self.axis + 1 :]
        for position, other in enumerate(others, start=1):
            if (other.shape[: self.axis], other.shape[self.axis + 1 :]) != (before, after):
                raise ShapeError(
                    f"{first} and {other} differ beside axis {self.axis}",
                    str(position),
                    "make all other sizes equal, or pin them",
                )
            total = other.shape[self.axis] + total
        return first.with_shape((*before, total, *after))

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return field.concat(numbered(given), self.axis)


@dataclass(frozen=True)
class Pad(Operator):
    """Every axis widened by (before, after); in constant mode with `value`: zero, a scalar, or [c] along axis 1.

    Negative widths crop, which is for the constant mode alone.
    """

    name = "pad"
    required = ("x",)
    optional = ("value",)

    widths: Pairs
    mode: str = "constant"

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        one_dtype(given)
        x = given["x"]
        if len(self.widths) != x.rank:
            raise ShapeError(f"{len(self.widths)} pairs of widths for {x}", "x", f"give {x.rank}, one for each axis")
        check_padding(x.shape, self.widths, self.mode)
        self._check_value(given)
        return x.with_shape([size + sum(pair) for size, pair in zip(x.shape, self.widths, strict=True)])

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        """The value is put beside x, not multiplied by what is outside, since it may be infinite."""
        if "value" not in given:
            return pad(field, given["x"], self.widths, self.mode)
        x = pad(field, given["x"], tuple((min(before, 0), min(after, 0)) for before, after in self.widths), self.mode)
        rank, value = len(self.widths), given["value"]
        value = along(field, value, 1, rank) if field.shape(value) else field.reshape(value, (1,) * rank)
        for axis, widths in enumerate(self.widths):
            shape = field.shape(x)
            sides = [
                [field.expand(value, (*shape[:axis], width, *shape[axis + 1 :]))] if width > 0 else []
                for width in widths
            ]
            x = field.concat([*sides[0], x, *sides[1]], axis) if any(sides) else x
        return x

    def _check_value(self, given: Mapping[str, TensorType]) -> None:
        if "value" not in given:
            return
        x, value = given["x"], given["value"]
        if self.mode != "constant":
            raise ShapeError(f"{self.mode} padding has no value", "value", "leave the value out")
        if value.rank and (x.rank < 2 or self.widths[1] != (0, 0) or value.shape != x.shape[1:2]):
            raise ShapeError(
                f"the value is {value} and x is {x}",
                "value",
                "give a scalar, or one value for each channel of axis 1 and no padding there",
            )
