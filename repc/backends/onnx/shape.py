"""Movement of elements."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from repc.backends.onnx.emitter import ELEMENTS, Emitter, Value
from repc.ir.dims import Dim, Shape
from repc.ops.order import TakeAlong
from repc.ops.padding import Pairs
from repc.ops.select import Gather, Roll, Take
from repc.ops.shape import Concat, Expand, Pad, Permute, Reshape, Slice

PAD_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
END = np.iinfo(np.int64).max


def reshape(e: Emitter, op: Reshape, given: Mapping[str, Value]) -> str:
    """Reshape, unless nothing changes."""
    x = given["x"]
    if op.shape == x.type.shape:
        return x.name
    return reshaped(e, x.name, x.type.shape, op.shape)


def reshaped(e: Emitter, x: str, given: Shape, wanted: Shape) -> str:
    """A Reshape that computes no size it can do without: 0 takes the size at the same place, one -1 is inferred."""
    dims: list[Dim] = list(wanted)
    for axis, (size, other) in enumerate(zip(wanted, given, strict=False)):
        if not isinstance(size, int) and size == other:
            dims[axis] = 0
    free = [axis for axis, size in enumerate(dims) if not isinstance(size, int)]
    if free:
        dims[free[-1]] = -1
    return e.add("Reshape", x, e.shape(dims))


def permute(e: Emitter, op: Permute, given: Mapping[str, Value]) -> str:
    """Transpose means the same."""
    return e.add("Transpose", given["x"].name, perm=op.axes)


def expand(e: Emitter, op: Expand, given: Mapping[str, Value]) -> str:
    """Expand broadcasts, so that an axis which stays is written as 1."""
    x = given["x"]
    fresh = len(op.shape) - x.type.rank
    stays = [axis >= fresh and size == x.type.shape[axis - fresh] for axis, size in enumerate(op.shape)]
    return e.add("Expand", x.name, e.shape([1 if s else size for s, size in zip(stays, op.shape, strict=True)]))


def slice_of(e: Emitter, op: Slice, given: Mapping[str, Value]) -> str:
    """Slice of one axis; one of a free size ends so far from the end."""
    stop = op.stop
    if not isinstance(stop, int):
        end = stop - given["x"].type.shape[op.axis]
        assert isinstance(end, int), "the size less a number"
        stop = end or END
    return sliced(e, given["x"].name, op.axis, op.start, stop, step=op.step)


def sliced(e: Emitter, x: str, axis: int, start: int, stop: int, *, step: int = 1) -> str:
    """Part of one axis; negative places count from the end."""
    return e.add("Slice", x, e.ints([start]), e.ints([stop]), e.ints([axis]), e.ints([step]))


def take(e: Emitter, op: Take, given: Mapping[str, Value]) -> str:
    """Gather at constant positions."""
    return e.add("Gather", given["x"].name, e.ints(op.positions), axis=op.axis)


def gather(e: Emitter, op: Gather | TakeAlong, given: Mapping[str, Value]) -> str:
    """Gather, or GatherElements for positions that differ along the other axes; they are i64 or i32."""
    index = given["index"]
    position = index.name
    if index.type.dtype not in ("i64", "i32"):
        position = e.add("Cast", position, to=ELEMENTS["i64"])
    kind = "GatherElements" if isinstance(op, TakeAlong) else "Gather"
    return e.add(kind, given["x"].name, position, axis=op.axis)


def roll(e: Emitter, op: Roll, given: Mapping[str, Value]) -> str:
    """For each axis its end before its beginning; where they meet is computed for a size that is free."""
    x = given["x"]
    result = x.name
    for shift, axis in zip(op.shifts, op.axes, strict=True):
        size = x.type.shape[axis]
        place = e.ints([-shift % size]) if isinstance(size, int) else e.add("Mod", e.ints([-shift]), e.shape([size]))
        end = e.add("Slice", result, place, e.ints([END]), e.ints([axis]))
        beginning = e.add("Slice", result, e.ints([0]), place, e.ints([axis]))
        result = e.add("Concat", end, beginning, axis=axis)
    return result


def concat(e: Emitter, op: Concat, given: Mapping[str, Value]) -> str:
    """Concat along one axis."""
    return e.add("Concat", *(value.name for value in given.values()), axis=op.axis)


def pad(e: Emitter, op: Pad, given: Mapping[str, Value]) -> str:
    """Pad; a value per channel is added to zeros through a mask of the border, as Pad takes a single value."""
    x, value = given["x"], given.get("value")
    if value is None or value.type.rank == 0:
        return padded(e, x.name, op.widths, op.mode, value)
    zeros = padded(e, x.name, op.widths, "constant")
    sizes = [size if any(pair) else 1 for size, pair in zip(x.type.shape, op.widths, strict=True)]
    inside = e.add("Expand", e.filled(x, 0), e.shape(sizes))
    border = padded(e, inside, op.widths, "constant", Value(e.filled(x, 1), value.type))
    return e.add("Add", zeros, e.add("Mul", border, along(e, value, 1, x.type.rank)))


def padded(e: Emitter, x: str, widths: Pairs, mode: str, value: Value | None = None) -> str:
    """Every axis widened; before opset 19 Pad does not wrap around."""
    if mode == "circular" and e.opset < 19:
        return wrapped(e, x, widths)
    return e.add("Pad", x, e.ints(pads(widths)), *([value.name] if value else []), mode=PAD_MODES[mode])


def pads(pairs: Pairs) -> list[int]:
    """ONNX lists the widths before every axis, then those after."""
    return [*(before for before, _ in pairs), *(after for _, after in pairs)]


def wrapped(e: Emitter, x: str, widths: Pairs) -> str:
    """Circular padding, axis by axis: the end before the beginning, and the beginning after the end."""
    for axis, (before, after) in enumerate(widths):
        parts = [sliced(e, x, axis, -before, END)] if before else []
        parts.append(x)
        parts += [sliced(e, x, axis, 0, after)] if after else []
        if before or after:
            x = e.add("Concat", *parts, axis=axis)
    return x


def along(e: Emitter, value: Value, axis: int, rank: int) -> str:
    """A value whose first axis is `axis` of a tensor of that rank, so that it broadcasts."""
    missing = rank - axis - value.type.rank
    return e.add("Unsqueeze", value.name, e.ints(range(1, missing + 1))) if missing else value.name
