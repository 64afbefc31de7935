"""Reductions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from repc.backends.onnx.emitter import Emitter, Value
from repc.ops.reduce import Reduce

OPERATORS = {"sum": "ReduceSum", "mean": "ReduceMean", "norm": "ReduceL2"}


def reduce(e: Emitter, op: Reduce, given: Mapping[str, Value]) -> str:
    """One reduction; over no axis at all, which to ONNX would mean all of them, nothing is left to add up."""
    if not op.axes:
        return e.add("Abs", given["x"].name) if op.kind == "norm" else given["x"].name
    return reduce_over(e, OPERATORS[op.kind], given["x"].name, op.axes, op.keep)


def reduce_over(e: Emitter, op_type: str, x: str, axes: Sequence[int], keep: bool) -> str:
    """The axes are an input of ReduceSum in every opset here, of the others from 18 on."""
    if op_type == "ReduceSum" or e.opset >= 18:
        return e.add(op_type, x, e.ints(axes), keepdims=int(keep))
    return e.add(op_type, x, axes=axes, keepdims=int(keep))
