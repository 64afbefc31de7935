"""Normalisations, made of sums, products and one table, `rsqrt`, so that a finite field can compute them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from repc.ir.field import Field, T
from repc.ir.operator import Operator
from repc.ir.types import ShapeError, TensorType
from repc.ops.operands import along, one_dtype, vectors, with_channels


def _mean(field: Field[T], x: T, axes: Sequence[int]) -> T:
    count = prod(field.shape(x)[axis] for axis in axes)
    return field.mul(field.sum(x, axes, keep=True), field.fill((), Fraction(1, count)))


def _scaled(field: Field[T], x: T, square: T, eps: Fraction) -> T:
    """x / sqrt(square + eps)."""
    return field.mul(x, field.function("rsqrt", (), field.add(square, field.fill((), eps))))


def _standardised(field: Field[T], x: T, axes: Sequence[int], eps: Fraction) -> T:
    """x with mean 0 and variance 1 over the axes."""
    centred = field.sub(x, _mean(field, x, axes))
    return _scaled(field, centred, _mean(field, field.mul(centred, centred), axes), eps)


def _affine(field: Field[T], x: T, weight: T | None, bias: T | None) -> T:
    if weight is not None:
        x = field.mul(x, weight)
    return x if bias is None else field.add(x, bias)


def _check_trailing(given: Mapping[str, TensorType], axes: int, operands: Sequence[str]) -> TensorType:
    """The weights of a norm over the last axes have exactly their shape."""
    one_dtype(given)
    x = given["x"]
    if not 1 <= axes <= x.rank:
        raise ShapeError(f"{x} does not have {axes} axes to normalise over", "x", f"use 1 to {x.rank} axes")
    shape = x.shape[-axes:]
    for operand in operands:
        if operand in given and given[operand].shape != shape:
            wanted = x.with_shape(shape)
            raise ShapeError(f"{operand} is {given[operand]}, not {wanted}", operand, f"make it {wanted}")
    return x


@dataclass(frozen=True)
class BatchNorm(Operator):
    """(x − running_mean) / sqrt(running_var + eps) · weight + bias along axis 1.

    Without running statistics those of the batch are used, in evaluation too, and nothing about it is constant.
    `momentum` (None: cumulative average) and num_batches_tracked only matter in training.
    """

    name = "batch_norm"
    required = ("x",)
    optional = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

    eps: Fraction
    momentum: float | None = 0.1

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        one_dtype({name: type for name, type in given.items() if name != "num_batches_tracked"})
        x, channels = with_channels(given, "batch norm")
        vectors(given, self.optional[:4], channels, "channels")
        if ("running_mean" in given) != ("running_var" in given):
            raise ShapeError("batch norm has one running statistic of two", "running_mean", "give both or none")
        if "num_batches_tracked" in given and given["num_batches_tracked"] != TensorType((), "i64"):
            raise ShapeError(
                f"num_batches_tracked is {given['num_batches_tracked']}", "num_batches_tracked", "make it i64[]"
            )
        return x

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        x = given["x"]
        rank = len(field.shape(x))
        parts = {name: along(field, given[name], 1, rank) for name in self.optional[:4] if name in given}
        if "running_mean" in parts:
            x = _scaled(field, field.sub(x, parts["running_mean"]), parts["running_var"], self.eps)
        else:
            x = _standardised(field, x, [axis for axis in range(rank) if axis != 1], self.eps)
        return _affine(field, x, parts.get("weight"), parts.get("bias"))


@dataclass(frozen=True)
class LayerNorm(Operator):
    """x standardised over its last `axes` axes, times weight plus bias, both of the shape of those axes."""

    name = "layer_norm"
    required = ("x",)
    optional = ("weight", "bias")

    axes: int
    eps: Fraction

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        return _check_trailing(given, self.axes, self.optional)

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        rank = len(field.shape(given["x"]))
        x = _standardised(field, given["x"], range(rank - self.axes, rank), self.eps)
        return _affine(field, x, given.get("weight"), given.get("bias"))


@dataclass(frozen=True)
class GroupNorm(Operator):
    """x (n, c, …) standardised over each group of channels and all further axes, then scaled by channel."""

    name = "group_norm"
    required = ("x",)
    optional = ("weight", "bias")

    groups: int
    eps: Fraction

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        one_dtype(given)
        x, channels = with_channels(given, "group norm")
        if self.groups < 1 or not isinstance(channels, int) or channels % self.groups:
            raise ShapeError(f"{channels} channels do not divide into {self.groups} groups", "x", "change groups")
        vectors(given, self.optional, channels, "channels")
        return x

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        shape = field.shape(given["x"])
        grouped = field.reshape(given["x"], (shape[0], self.groups, prod(shape[1:]) // self.groups))
        x = field.reshape(_standardised(field, grouped, (2,), self.eps), shape)
        parts = {name: along(field, given[name], 1, len(shape)) for name in self.optional if name in given}
        return _affine(field, x, parts.get("weight"), parts.get("bias"))


@dataclass(frozen=True)
class RMSNorm(Operator):
    """x / sqrt(mean(x²) + eps) over the last `axes` axes, times weight."""

    name = "rms_norm"
    required = ("x",)
    optional = ("weight",)

    axes: int
    eps: Fraction

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        return _check_trailing(given, self.axes, self.optional)

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        x = given["x"]
        rank = len(field.shape(x))
        square = _mean(field, field.mul(x, x), range(rank - self.axes, rank))
        return _affine(field, _scaled(field, x, square, self.eps), given.get("weight"), None)
