"""Reductions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from repc.backends.onnx.emitter import Emitter, Value
from repc.ir.dims import volume
from repc.ops.order import Order
from repc.ops.reduce import Reduce
from repc.ops.select import CumSum

OPERATORS = {"sum": "ReduceSum", "mean": "ReduceMean", "norm": "ReduceL2", "max": "ReduceMax", "min": "ReduceMin"}


def reduce(e: Emitter, op: Reduce, given: Mapping[str, Value]) -> str:
    """One reduction; over no axis at all, which to ONNX would mean all of them, nothing is left to add up."""
    if not op.axes:
        return e.add("Abs", given["x"].name) if op.kind == "norm" else given["x"].name
    if op.kind == "var":
        return variance(e, op, given["x"])
    return reduce_over(e, OPERATORS[op.kind], given["x"].name, op.axes, op.keep)


def variance(e: Emitter, op: Reduce, x: Value) -> str:
    """The mean square of what is left without the mean, times n / (n − correction)."""
    centred = e.add("Sub", x.name, reduce_over(e, "ReduceMean", x.name, op.axes, keep=True))
    square = e.add("Mul", centred, centred)
    if not op.correction:
        return reduce_over(e, "ReduceMean", square, op.axes, op.keep)
    total = reduce_over(e, "ReduceSum", square, op.axes, op.keep)
    count = volume(x.type.shape[axis] for axis in op.axes)
    if isinstance(count, int):
        return e.add("Div", total, e.filled(x, count - op.correction))
    number = e.add("Cast", e.add("Squeeze", e.shape([count - op.correction])), to=e.element(x.type))
    return e.add("Div", total, number)


def cumsum(e: Emitter, op: CumSum, given: Mapping[str, Value]) -> str:
    """CumSum; its axis is a scalar input."""
    return e.add("CumSum", given["x"].name, e.array(np.array(op.axis, np.int64)))


def order(e: Emitter, op: Order, given: Mapping[str, Value]) -> str:
    """ArgMax or ArgMin for a single one, else TopK, whose second output are the positions."""
    x = given["x"].name
    if op.count == 1:
        return e.add("ArgMax" if op.largest else "ArgMin", x, axis=op.axis, keepdims=1)
    return e.add_second("TopK", x, e.shape([op.count]), axis=op.axis, largest=int(op.largest))


def reduce_over(e: Emitter, op_type: str, x: str, axes: Sequence[int], keep: bool) -> str:
    """The axes are an input of ReduceSum in every opset here, of the others from 18 on."""
    if op_type == "ReduceSum" or e.opset >= 18:
        return e.add(op_type, x, e.ints(axes), keepdims=int(keep))
    return e.add(op_type, x, axes=axes, keepdims=int(keep))
