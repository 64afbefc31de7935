"""Convolutions and transposed convolutions over one to three spatial axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from repc.ir.dims import Dim
from repc.ir.field import Field, T
from repc.ir.operator import Operator
from repc.ir.types import ShapeError, TensorType
from repc.ops.operands import along, of_rank, one_dtype, vectors
from repc.ops.padding import Pairs, check_padding, pad
from repc.ops.windows import Ints, check_window, window_count


def _operands(given: Mapping[str, TensorType], rank: int, user: str) -> tuple[TensorType, Ints]:
    """x and the known shape of the weight."""
    one_dtype(given)
    x = of_rank(given, "x", rank + 2, f"a {rank}-d {user}")
    return x, of_rank(given, "weight", rank + 2, f"a {rank}-d {user}").concrete()


def _check_channels(x: TensorType, expected: int) -> None:
    if x.shape[1] != expected:
        raise ShapeError(
            f"x has {x.shape[1]} channels, and the weight is for {expected}", "x", "change the weight or the groups"
        )


def _check_groups(groups: int, channels: int, what: str) -> None:
    if groups < 1 or channels % groups:
        raise ShapeError(f"{channels} {what} channels do not divide into {groups} groups", "weight", "change groups")


def _with_bias(field: Field[T], y: T, given: Mapping[str, T]) -> T:
    return field.add(y, along(field, given["bias"], 1, len(field.shape(y)))) if "bias" in given else y


@dataclass(frozen=True)
class Conv(Operator):
    """Cross-correlation of x (n, c, spatial…) with weight (o, c / groups, kernel…), as in torch and ONNX.

    `padding` is (before, after) for each spatial axis; modes other than constant pad x first.
    """

    name = "conv"
    required = ("x", "weight")
    optional = ("bias",)

    stride: Ints
    padding: Pairs
    dilation: Ints
    groups: int = 1
    mode: str = "constant"

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        rank = len(self.stride)
        check_window(rank, self.padding, stride=self.stride, dilation=self.dilation)
        x, (out, per_group, *kernel) = _operands(given, rank, "convolution")
        _check_groups(self.groups, out, "output")
        _check_channels(x, per_group * self.groups)
        check_padding(x.shape[2:], self.padding, self.mode)
        vectors(given, ("bias",), out, "output channels")
        windows = zip(x.shape[2:], kernel, self.stride, self.padding, self.dilation, strict=True)
        return x.with_shape((x.shape[0], out, *(window_count(*window) for window in windows)))

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        x = pad(field, given["x"], ((0, 0), (0, 0), *self.padding), self.mode)
        return _with_bias(field, field.conv(x, given["weight"], self.stride, self.dilation, self.groups), given)


@dataclass(frozen=True)
class ConvTranspose(Operator):
    """The transpose of a convolution: x (n, c, spatial…), weight (c, o / groups, kernel…).

    `padding` is cut off the full result; `output_padding` adds positions at its end.
    """

    name = "conv_transpose"
    required = ("x", "weight")
    optional = ("bias",)

    stride: Ints
    padding: Pairs
    dilation: Ints
    groups: int
    output_padding: Ints

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        rank = len(self.stride)
        check_window(rank, self.padding, stride=self.stride, dilation=self.dilation)
        x, (channels, per_group, *kernel) = _operands(given, rank, "transposed convolution")
        _check_groups(self.groups, channels, "input")
        _check_channels(x, channels)
        vectors(given, ("bias",), per_group * self.groups, "output channels")
        self._check_output_padding()
        sizes = tuple(self._size(x.shape[axis + 2], kernel[axis], axis) for axis in range(rank))
        return x.with_shape((x.shape[0], per_group * self.groups, *sizes))

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        y = field.conv_transpose(given["x"], given["weight"], self.stride, self.dilation, self.groups)
        y = pad(field, y, ((0, 0), (0, 0), *((0, extra) for extra in self.output_padding)), "constant")
        for axis, (before, after) in enumerate(self.padding, start=2):
            if before or after:
                y = field.take(y, axis, range(before, field.shape(y)[axis] - after))
        return _with_bias(field, y, given)

    def _size(self, size: Dim, kernel: int, axis: int) -> Dim:
        reach = self.dilation[axis] * (kernel - 1) + 1 + self.output_padding[axis] - sum(self.padding[axis])
        result = (size - 1) * self.stride[axis] + reach
        if isinstance(result, int) and result < 1:
            raise ShapeError(f"padding {self.padding[axis]} leaves nothing of axis {axis + 2}", "x", "pad less")
        return result

    def _check_output_padding(self) -> None:
        if len(self.output_padding) != len(self.stride):
            raise ShapeError(
                f"output_padding has {len(self.output_padding)} entries for {len(self.stride)} spatial axes",
                "x",
                f"give {len(self.stride)}",
            )
        for extra, stride, dilation in zip(self.output_padding, self.stride, self.dilation, strict=True):
            if not 0 <= extra < max(stride, dilation):
                raise ShapeError(
                    f"output_padding {extra} must be smaller than the stride {stride} or the dilation {dilation}",
                    "x",
                    "use a smaller output_padding",
                )
