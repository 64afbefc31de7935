"""Pools over the spatial axes of x (n, c, spatial…)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from repc.ir.field import Field, T
from repc.ir.operator import Operator
from repc.ir.types import ShapeError, TensorType
from repc.ops.operands import of_rank, weighted
from repc.ops.padding import Pairs
from repc.ops.windows import Ints, check_window, window_count


def _infer(
    given: Mapping[str, TensorType], kernel: Ints, stride: Ints, padding: Pairs, dilation: Ints, *, ceil: bool
) -> TensorType:
    rank = len(kernel)
    check_window(rank, padding, kernel=kernel, stride=stride, dilation=dilation)
    x = of_rank(given, "x", rank + 2, f"a {rank}-d pool")
    for size, pair in zip(kernel, padding, strict=True):
        if max(pair) * 2 > size:
            raise ShapeError(
                f"padding {max(pair)} is more than half of the kernel of {size}", "x", f"use at most {size // 2}"
            )
    windows = zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)
    return x.with_shape((*x.shape[:2], *(window_count(*window, ceil=ceil) for window in windows)))


@dataclass(frozen=True)
class MaxPool(Operator):
    """The largest element of each window; padding never wins."""

    name = "max_pool"
    required = ("x",)

    kernel: Ints
    stride: Ints
    padding: Pairs
    dilation: Ints
    ceil: bool = False

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        found = _infer(given, self.kernel, self.stride, self.padding, self.dilation, ceil=self.ceil)
        for axis, size in enumerate(given["x"].shape[2:]):
            if self.dilation[axis] > 1 and isinstance(size, int):
                self._taps(axis, size)
        return found

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        x = given["x"]
        batch, channels, *sizes = field.shape(x)
        split: list[int] = []
        for axis, size in enumerate(sizes):
            taps = self._taps(axis, size)
            x = field.take(x, axis + 2, [tap for window in taps for tap in window])
            split += [len(taps), self.kernel[axis]]
        x = field.reshape(x, (batch, channels, *split))
        outputs, inner = range(2, len(split) + 2, 2), range(3, len(split) + 2, 2)
        x = field.permute(x, (0, 1, *outputs, *inner))
        x = field.reshape(x, (batch, channels, *split[::2], prod(self.kernel)))
        return field.max(x, len(sizes) + 2)

    def _taps(self, axis: int, size: int) -> list[list[int]]:
        """What each window reads; for a place in the padding another of its own, which changes no maximum."""
        pad, dilation = self.padding[axis], self.dilation[axis]
        count = window_count(size, self.kernel[axis], self.stride[axis], pad, dilation, ceil=self.ceil)
        assert isinstance(count, int)
        found: list[list[int]] = []
        for start in range(-pad[0], count * self.stride[axis] - pad[0], self.stride[axis]):
            taps = [start + i * dilation for i in range(self.kernel[axis])]
            inside = [tap for tap in taps if 0 <= tap < size]
            if not inside:
                raise ShapeError(f"a window reads nothing but padding along axis {axis + 2}", "x", "pad less")
            found.append([min(max(tap, inside[0]), inside[-1]) for tap in taps])
        return found


@dataclass(frozen=True)
class AvgPool(Operator):
    """The mean of each window; padding counts as zeros, or with `count_include_pad` false not at all.

    What `ceil` adds beyond the padding never counts.
    """

    name = "avg_pool"
    required = ("x",)

    kernel: Ints
    stride: Ints
    padding: Pairs
    ceil: bool = False
    count_include_pad: bool = True

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        return _infer(given, self.kernel, self.stride, self.padding, (1,) * len(self.kernel), ceil=self.ceil)

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        """A depthwise convolution with ones, divided by the exact counts."""
        shape = field.shape(given["x"])
        rank, widths, counts = len(shape), [(0, 0), (0, 0)], list[list[int]]()
        for axis, size in enumerate(shape[2:]):
            found = self._counts(axis, size)
            reach = (len(found) - 1) * self.stride[axis] + self.kernel[axis] - self.padding[axis][0]
            widths.append((self.padding[axis][0], max(reach - size, 0)))
            counts.append(found)
        ones = field.fill((shape[1], 1, *self.kernel), Fraction(1))
        x = field.conv(field.pad(given["x"], widths), ones, self.stride, (1,) * (rank - 2), shape[1])
        for axis, found in enumerate(counts, start=2):
            extent = [len(found) if i == axis else 1 for i in range(rank)]
            x = field.mul(x, field.constant(extent, [Fraction(1, count) for count in found]))
        return x

    def _counts(self, axis: int, size: int) -> list[int]:
        """How many elements each window averages, along one axis."""
        kernel, stride, (before, after) = self.kernel[axis], self.stride[axis], self.padding[axis]
        count = window_count(size, kernel, stride, (before, after), ceil=self.ceil)
        assert isinstance(count, int)
        low, high = (-before, size + after) if self.count_include_pad else (0, size)
        starts = range(-before, count * stride - before, stride)
        return [min(start + kernel, high) - max(start, low) for start in starts]


def _infer_adaptive(given: Mapping[str, TensorType], output: Ints) -> TensorType:
    rank = len(output)
    check_window(rank, ((0, 0),) * rank, output=output)
    x = of_rank(given, "x", rank + 2, f"a {rank}-d pool")
    for axis, (size, count) in enumerate(zip(x.shape[2:], output, strict=True), start=2):
        if size == 0:
            raise ShapeError(f"axis {axis} of {x} has nothing in it", "x", "use a larger input")
        if count != 1 and not isinstance(size, int):
            raise ShapeError(f"windows of {size} elements for {count} results are not known", "x", "pin the size")
    return x.with_shape((*x.shape[:2], *output))


@dataclass(frozen=True)
class AdaptiveMaxPool(Operator):
    """The largest elements of windows that cover x so that the result has the size `output`."""

    name = "adaptive_max_pool"
    required = ("x",)

    output: Ints

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        return _infer_adaptive(given, self.output)

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        """Axis by axis; shorter windows read their last element again, which changes no maximum."""
        x = given["x"]
        for axis, count in enumerate(self.output, start=2):
            shape = field.shape(x)
            windows = adaptive_windows(shape[axis], count)
            widest = max(high - low for low, high in windows)
            taken = [min(low + i, high - 1) for low, high in windows for i in range(widest)]
            split = (*shape[:axis], count, widest, *shape[axis + 1 :])
            x = field.max(field.reshape(field.take(x, axis, taken), split), axis + 1)
        return x


@dataclass(frozen=True)
class AdaptiveAvgPool(Operator):
    """Means over windows that cover x so that the result has the size `output` (all ones: global average pool)."""

    name = "adaptive_avg_pool"
    required = ("x",)

    output: Ints

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        return _infer_adaptive(given, self.output)

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        """A product with an averaging matrix along each axis, or one mean where a single result is wanted."""
        x = given["x"]
        for axis, (count, size) in enumerate(zip(self.output, field.shape(x)[2:], strict=True), start=2):
            if count == 1:
                x = field.mul(field.sum(x, (axis,), keep=True), field.fill((), Fraction(1, size)))
            else:
                x = weighted(field, x, axis, _averages(size, count))
        return x


def adaptive_windows(size: int, count: int) -> list[tuple[int, int]]:
    """Window i reads the elements from ⌊i·size/count⌋ until before ⌈(i+1)·size/count⌉."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def _averages(size: int, count: int) -> list[list[Fraction]]:
    windows = adaptive_windows(size, count)
    return [[Fraction(int(low <= j < high), high - low) for j in range(size)] for low, high in windows]
