"""Pools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from repc.backends.onnx.emitter import Emitter, Value
from repc.backends.onnx.reduce import reduce_over
from repc.backends.onnx.shape import padded, pads, sliced
from repc.ir.dims import Shape
from repc.ops.padding import Pairs
from repc.ops.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, MaxPool, adaptive_windows
from repc.ops.windows import Ints


def max_pool(e: Emitter, op: MaxPool, given: Mapping[str, Value]) -> str:
    """MaxPool; padding as wide as the kernel, which a dilated one may have, is a Pad before it."""
    x, extents = given["x"], [d * (k - 1) + 1 for k, d in zip(op.kernel, op.dilation, strict=True)]
    padding, ceil = border(op.padding, op.stride, extents, op.ceil)
    values = unmerged(e, x.name)
    if any(max(pair) >= size for pair, size in zip(padding, op.kernel, strict=True)):
        lowest = Value(e.filled(x, float("-inf")), x.type.with_shape(()))
        values = padded(e, values, ((0, 0), (0, 0), *padding), "constant", lowest)
        padding = ((0, 0),) * len(padding)
    return e.add(
        "MaxPool",
        values,
        kernel_shape=op.kernel,
        strides=op.stride,
        pads=pads(padding),
        dilations=op.dilation,
        ceil_mode=ceil,
    )


def avg_pool(e: Emitter, op: AvgPool, given: Mapping[str, Value]) -> str:
    """AveragePool, which leaves the padding out of its counts unless told otherwise.

    Whether what `ceil` adds counts too has changed between versions; so it never meets a padding that counts.
    """
    x, counted = given["x"].name, op.count_include_pad and any(map(any, op.padding))
    padding, ceil = border(op.padding, op.stride, op.kernel, op.ceil)
    if op.ceil and counted:
        x = padded(e, x, ((0, 0), (0, 0), *op.padding), "constant")
        padding = tuple((0, wide - own) for (_, wide), (_, own) in zip(padding, op.padding, strict=True))
        counted = False
    return e.add(
        "AveragePool",
        unmerged(e, x),
        kernel_shape=op.kernel,
        strides=op.stride,
        pads=pads(padding),
        ceil_mode=ceil,
        count_include_pad=int(counted),
    )


def unmerged(e: Emitter, x: str) -> str:
    """x, where it is a Pad hidden behind a maximum of one value.

    ONNX Runtime (1.31) merges a Pad of zeros into the pool behind it.  But a max pool's own padding never wins, an
    average pool may not count it, and no pool takes as much of it as its kernel is wide.
    """
    before = e.maker(x)
    return e.add("Max", x) if before is not None and before.op_type == "Pad" else x


def border(padding: Pairs, stride: Ints, extents: Sequence[int], ceil: bool) -> tuple[Pairs, int]:
    """The padding, and ONNX's ceil_mode.

    A last window must not start in the padding at the end.  Versions of ONNX and of runtimes differ in whether they see
    to that, so where it could, the padding is widened instead, to that with which just these windows fit.
    """
    sides = list(zip(padding, stride, extents, strict=True))
    if not ceil or all(after + step <= extent for (_, after), step, extent in sides):
        return padding, int(ceil)
    return tuple((before, min(after + step, extent) - 1) for (before, after), step, extent in sides), 0


def adaptive_avg_pool(e: Emitter, op: AdaptiveAvgPool, given: Mapping[str, Value]) -> str:
    """ReduceMean for a single result, AveragePool where all windows are equal, else axis by axis.

    ReduceMean and not GlobalAveragePool: it is what torch exports, and ONNX Runtime adds up long rows more exactly.
    """
    x, spatial = given["x"], given["x"].type.shape[2:]
    if set(op.output) == {1}:
        return reduce_over(e, "ReduceMean", x.name, range(2, x.type.rank), keep=True)
    kernel = _equal_windows(op.output, spatial)
    if kernel:
        return e.add("AveragePool", x.name, kernel_shape=kernel, strides=kernel)
    result = x.name
    for axis, (size, count) in enumerate(zip(spatial, op.output, strict=True), start=2):
        if count == 1:
            result = reduce_over(e, "ReduceMean", result, [axis], keep=True)
        elif isinstance(size, int) and size != count:
            result = averaged(e, Value(result, x.type), axis, size, count)
    return result


def adaptive_max_pool(e: Emitter, op: AdaptiveMaxPool, given: Mapping[str, Value]) -> str:
    """ReduceMax for a single result, MaxPool where all windows are equal, else window by window along each axis."""
    x, spatial = given["x"], given["x"].type.shape[2:]
    if set(op.output) == {1}:
        return reduce_over(e, "ReduceMax", x.name, range(2, x.type.rank), keep=True)
    kernel = _equal_windows(op.output, spatial)
    if kernel:
        return e.add("MaxPool", x.name, kernel_shape=kernel, strides=kernel)
    result = x.name
    for axis, (size, count) in enumerate(zip(spatial, op.output, strict=True), start=2):
        if count == 1:
            result = reduce_over(e, "ReduceMax", result, [axis], keep=True)
        elif isinstance(size, int) and size != count:
            windows = adaptive_windows(size, count)
            parts = [sliced(e, result, axis, low, high) for low, high in windows]
            largest = [reduce_over(e, "ReduceMax", part, [axis], keep=True) for part in parts]
            result = e.add("Concat", *largest, axis=axis)
    return result


def _equal_windows(output: Ints, spatial: Shape) -> list[int]:
    """The kernel of a pool with these results and equal windows that meet; empty where there is none."""
    kernel = [size // count for size, count in zip(spatial, output, strict=True) if isinstance(size, int)]
    return kernel if spatial == tuple(size * count for size, count in zip(kernel, output, strict=False)) else []


def averaged(e: Emitter, x: Value, axis: int, size: int, count: int) -> str:
    """x times an averaging matrix along one axis: result i is the mean from ⌊i·size/count⌋ to ⌈(i+1)·size/count⌉."""
    matrix = np.zeros((size, count))
    for i, (low, high) in enumerate(adaptive_windows(size, count)):
        matrix[low:high, i] = 1 / (high - low)
    last = x.type.rank - 1
    swap = list(range(x.type.rank))
    swap[axis], swap[last] = last, axis
    rows = x.name if axis == last else e.add("Transpose", x.name, perm=swap)
    product = e.add("MatMul", rows, e.array(matrix.astype(e.numpy_type(x.type))))
    return product if axis == last else e.add("Transpose", product, perm=swap)
