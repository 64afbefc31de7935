"""Normalizations.

The norms that ONNX has added since opset 17 compute in float32 whatever their inputs are; a model in f64 therefore
takes the decomposition, as an opset without the operator does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from repc.backends.onnx.emitter import ELEMENTS, Emitter, Value
from repc.backends.onnx.reduce import reduce_over
from repc.backends.onnx.shape import along, reshaped
from repc.ops.norm import BatchNorm, GroupNorm, LayerNorm, RMSNorm


def batch_norm(e: Emitter, op: BatchNorm, given: Mapping[str, Value]) -> str:
    """BatchNormalization in its inference mode; by the statistics of the batch where none are stored."""
    x = given["x"]
    if "running_mean" not in given:
        axes = [axis for axis in range(x.type.rank) if axis != 1]
        return affine(e, standardized(e, x, axes, op.eps), given, 1)
    statistics = given["running_mean"].name, given["running_var"].name
    return e.add("BatchNormalization", x.name, *scale_and_bias(e, given), *statistics, epsilon=float(op.eps))


def layer_norm(e: Emitter, op: LayerNorm, given: Mapping[str, Value]) -> str:
    """LayerNormalization over the trailing axes."""
    x = given["x"]
    if not has_norm(e, x, op.axes, since=17):
        return affine(e, standardized(e, x, trailing(x, op.axes), op.eps), given, x.type.rank - op.axes)
    bias = [given["bias"].name] if "bias" in given else []
    scale = trailing_scale(e, given, op.axes)
    return e.add("LayerNormalization", x.name, scale, *bias, axis=-op.axes, epsilon=float(op.eps))


def group_norm(e: Emitter, op: GroupNorm, given: Mapping[str, Value]) -> str:
    """GroupNormalization from opset 21 on: its first form, of opset 18, has a scale per group, not per channel.

    Before, each group is an instance of InstanceNormalization.
    """
    x, eps = given["x"], float(op.eps)
    if has_norm(e, x, 0, since=21):
        return e.add("GroupNormalization", x.name, *scale_and_bias(e, given), num_groups=op.groups, epsilon=eps)
    grouped = e.add("Reshape", x.name, e.ints([0, op.groups, -1]))
    ones, zeros = e.filled(x, 1, [op.groups]), e.filled(x, 0, [op.groups])
    normal = e.add("InstanceNormalization", grouped, ones, zeros, epsilon=eps)
    restored = reshaped(e, normal, (x.type.shape[0], op.groups), x.type.shape)
    return affine(e, Value(restored, x.type), given, 1)


def rms_norm(e: Emitter, op: RMSNorm, given: Mapping[str, Value]) -> str:
    """RMSNormalization from opset 23 on, else x / √(mean(x²) + eps)."""
    x = given["x"]
    if has_norm(e, x, op.axes, since=23):
        scale = trailing_scale(e, given, op.axes)
        return e.add("RMSNormalization", x.name, scale, axis=-op.axes, epsilon=float(op.eps))
    normal = divided_by_root(e, x, mean_square(e, x, trailing(x, op.axes)), op.eps)
    return affine(e, normal, given, x.type.rank - op.axes)


def has_norm(e: Emitter, x: Value, axes: int, since: int) -> bool:
    """Whether an operator that ONNX has from an opset on serves.

    It computes in float32, and needs a weight over the last `axes` axes, whose sizes therefore have to be known.
    """
    known = all(isinstance(size, int) for size in x.type.shape[x.type.rank - axes :])
    return e.opset >= since and known and e.element(x.type) != ELEMENTS["f64"]


def trailing_scale(e: Emitter, given: Mapping[str, Value], axes: int) -> str:
    """The weight of a norm over the last axes, made up where it is not given."""
    type = given["x"].type
    shape = type.with_shape(type.shape[type.rank - axes :]).concrete()
    return given["weight"].name if "weight" in given else e.filled(given["x"], 1, shape)


def scale_and_bias(e: Emitter, given: Mapping[str, Value]) -> tuple[str, str]:
    """What norms along the channels require, made up where it is not given."""
    x = given["x"]
    weight, bias = given.get("weight"), given.get("bias")
    channels = x.type.with_shape(x.type.shape[1:2])
    return (
        weight.name if weight else e.filled(x, 1, channels.concrete()),
        bias.name if bias else e.filled(x, 0, channels.concrete()),
    )


def trailing(x: Value, count: int) -> list[int]:
    """The last `count` axes."""
    return list(range(x.type.rank - count, x.type.rank))


def standardized(e: Emitter, x: Value, axes: Sequence[int], eps: Fraction) -> Value:
    """(x − mean) / √(var + eps), with the biased variance."""
    centred = Value(e.add("Sub", x.name, reduce_over(e, "ReduceMean", x.name, axes, keep=True)), x.type)
    return divided_by_root(e, centred, mean_square(e, centred, axes), eps)


def mean_square(e: Emitter, x: Value, axes: Sequence[int]) -> str:
    """The mean of x² over some axes, which stay."""
    return reduce_over(e, "ReduceMean", e.add("Mul", x.name, x.name), axes, keep=True)


def divided_by_root(e: Emitter, x: Value, square: str, eps: Fraction) -> Value:
    """x / √(square + eps)."""
    root = e.add("Sqrt", e.add("Add", square, e.filled(x, eps)))
    return Value(e.add("Div", x.name, root), x.type)


def affine(e: Emitter, x: Value, given: Mapping[str, Value], axis: int) -> str:
    """x · weight + bias, each if given, with their first axis along `axis`."""
    result = x.name
    if "weight" in given:
        result = e.add("Mul", result, along(e, given["weight"], axis, x.type.rank))
    if "bias" in given:
        result = e.add("Add", result, along(e, given["bias"], axis, x.type.rank))
    return result
