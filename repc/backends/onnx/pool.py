"""Pools."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from repc.backends.onnx.conv import pads
from repc.backends.onnx.emitter import Emitter, Value
from repc.backends.onnx.reduce import reduce_over
from repc.ops.pool import AdaptiveAvgPool, AvgPool, MaxPool


def max_pool(e: Emitter, op: MaxPool, given: Mapping[str, Value]) -> str:
    """MaxPool, whose ceil_mode has torch's meaning: no window starts behind the input."""
    return e.add(
        "MaxPool",
        given["x"].name,
        kernel_shape=op.kernel,
        strides=op.stride,
        pads=pads(op.padding),
        dilations=op.dilation,
        ceil_mode=int(op.ceil),
    )


def avg_pool(e: Emitter, op: AvgPool, given: Mapping[str, Value]) -> str:
    """AveragePool, which leaves the padding out of its counts unless told otherwise."""
    return e.add(
        "AveragePool",
        given["x"].name,
        kernel_shape=op.kernel,
        strides=op.stride,
        pads=pads(op.padding),
        ceil_mode=int(op.ceil),
        count_include_pad=int(op.count_include_pad),
    )


def adaptive_avg_pool(e: Emitter, op: AdaptiveAvgPool, given: Mapping[str, Value]) -> str:
    """GlobalAveragePool for a single result, AveragePool where all windows are equal, else axis by axis."""
    x, spatial = given["x"], given["x"].type.shape[2:]
    if set(op.output) == {1}:
        return e.add("GlobalAveragePool", x.name)
    kernel = [size // count for size, count in zip(spatial, op.output, strict=True) if isinstance(size, int)]
    if spatial == tuple(size * count for size, count in zip(kernel, op.output, strict=False)):
        return e.add("AveragePool", x.name, kernel_shape=kernel, strides=kernel)
    result = x.name
    for axis, (size, count) in enumerate(zip(spatial, op.output, strict=True), start=2):
        if count == 1:
            result = reduce_over(e, "ReduceMean", result, [axis], keep=True)
        elif isinstance(size, int) and size != count:
            result = averaged(e, Value(result, x.type), axis, size, count)
    return result


def averaged(e: Emitter, x: Value, axis: int, size: int, count: int) -> str:
    """x times an averaging matrix along one axis: result i is the mean from ⌊i·size/count⌋ to ⌈(i+1)·size/count⌉."""
    matrix = np.zeros((size, count))
    for i in range(count):
        low, high = i * size // count, -(-(i + 1) * size // count)
        matrix[low:high, i] = 1 / (high - low)
    last = x.type.rank - 1
    swap = list(range(x.type.rank))
    swap[axis], swap[last] = last, axis
    rows = x.name if axis == last else e.add("Transpose", x.name, perm=swap)
    product = e.add("MatMul", rows, e.array(matrix.astype(e.numpy_type(x.type))))
    return product if axis == last else e.add("Transpose", product, perm=swap)
