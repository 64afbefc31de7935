"""Movement of data: shapes, axes, slices, padding, resampling."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from repc.backends.torch.errors import free_padding
from repc.backends.torch.text import Given, Value, call, compact, literal, size
from repc.diagnostics import Failure
from repc.ir.dims import Polynomial, Shape, symbols
from repc.ir.types import TensorType
from repc.ops.order import TakeAlong
from repc.ops.padding import source
from repc.ops.resample import Upsample
from repc.ops.select import Gather, Roll, Take
from repc.ops.shape import Concat, Expand, Pad, Permute, Reshape, Slice


def pad_arguments(widths: Sequence[tuple[int, int]], least: int = 0) -> tuple[int, ...]:
    """The widths as `F.pad` takes them: last axis first, without zeros at the end apart from the `least` last axes."""
    pairs = list(widths)
    while len(pairs) > least and pairs[0] == (0, 0):
        pairs.pop(0)
    return tuple(width for pair in reversed(pairs) for width in pair)


def free_sizes(op: Reshape | Expand | Upsample, x: TensorType) -> set[str]:
    """The free dimensions that the text of an operator with sizes needs as variables."""
    return symbols(dim for dim in _dims(op, Value("x", x)) if isinstance(dim, Polynomial))


def reshape(op: Reshape, given: Given) -> str:
    """``flatten`` where that is all it does."""
    x = given["x"]
    start = _flattened_from(x.type.shape, op.shape)
    if start is not None:
        return call(f"{x.text}.flatten", str(start))
    return call(f"{x.text}.reshape", *_sizes(op, x))


def expand(op: Expand, given: Given) -> str:
    """``x.expand(sizes)``"""
    x = given["x"]
    return call(f"{x.text}.expand", *_sizes(op, x))


def permute(op: Permute, given: Given) -> str:
    """``x.permute(axes)``"""
    return call(f"{given['x'].text}.permute", *(str(axis) for axis in op.axes))


def take_slice(op: Slice, given: Given) -> str:
    """``x[:, start:stop:step]``"""
    x = given["x"]
    step = f":{op.step}" if op.step != 1 else ""
    return f"{x.text}[{':, ' * op.axis}{op.start or ''}:{_stop(op, x)}{step}]"


def take(op: Take, given: Given) -> str:
    """``x[:, [2, 0, 1]]``"""
    return f"{given['x'].text}[{':, ' * op.axis}{list(op.positions)}]"


def gather(op: Gather, given: Given) -> str:
    """``F.embedding(index, x)`` for a table of vectors, else ``x[:, index]``."""
    x, index = given["x"], given["index"]
    if op.axis == 0 and x.type.rank == 2 and index.type.rank:
        return call("F.embedding", index.text, x.text)
    return f"{x.text}[{':, ' * op.axis}{index.text}]"


def take_along(op: TakeAlong, given: Given) -> str:
    """``torch.take_along_dim(x, index, dim)``, which takes i64 alone."""
    index = given["index"]
    places = index.text if index.type.dtype == "i64" else f"{index.text}.long()"
    return call("torch.take_along_dim", given["x"].text, places, dim=op.axis)


def roll(op: Roll, given: Given) -> str:
    """``torch.roll(x, shifts, dims)``"""
    shifts, axes = (values[0] if len(values) == 1 else values for values in (op.shifts, op.axes))
    return call("torch.roll", given["x"].text, shifts=shifts, dims=axes)


def concat(op: Concat, given: Given) -> str:
    """``torch.cat([a, b], dim)``"""
    return call("torch.cat", f"[{', '.join(value.text for value in given.values())}]", dim=op.axis)


def pad(op: Pad, given: Given) -> str:
    """With a value: zeros, and then the value in their place."""
    x = given["x"]
    if op.mode != "constant":
        return _repeat(op, x)
    widths = literal(pad_arguments(op.widths))
    if "value" not in given:
        return call("F.pad", x.text, widths)
    value = given["value"]
    fill = along(value.text, 1, x.type.rank) if value.type.rank else value.text
    inside = call("F.pad", f"torch.ones_like({x.text}, dtype=torch.bool)", widths)
    return call("torch.where", inside, call("F.pad", x.text, widths), fill)


def upsample(op: Upsample, given: Given) -> str:
    """``F.interpolate`` by factors, or to a size."""
    x = given["x"]
    linear = ("linear", "bilinear", "trilinear")[x.type.rank - 3]
    factors = op.whole_factors(x.type.shape[2:])
    size = [] if factors or op.scale else [f"({', '.join(_sizes(op, x))},)"]
    return call(
        "F.interpolate",
        x.text,
        *size,
        scale_factor=compact(factors) if factors else compact(op.scale) if op.scale else None,
        mode={"nearest": "nearest", "linear": linear, "cubic": "bicubic"}[op.mode],
        align_corners=None if op.mode == "nearest" else op.align_corners,
    )


def along(vector: str, axis: int, rank: int) -> str:
    """A vector laid along one axis of a tensor."""
    behind = rank - 1 - axis % rank
    return f"{vector}[:{', None' * behind}]" if behind else vector


def _stop(op: Slice, x: Value) -> str:
    """Where a slice ends; one of a free size counts from the end."""
    if isinstance(op.stop, int):
        return str(op.stop)
    return str(op.stop - x.type.shape[op.axis] or "")


def _repeat(op: Pad, x: Value) -> str:
    """Padding with elements of x. `F.pad` does the last axes of a batch, up to three; others are picked by index."""
    text, rank = x.text, x.type.rank
    batched = rank - 3 if rank > 3 else 1  # the first axis that F.pad can do
    for axis, (before, after) in enumerate(op.widths[:batched] if rank < 6 else op.widths):
        if before or after:
            text += f"[{':, ' * axis}{_indices(x.type, axis, before, after, op.mode)}]"
    spatial = op.widths[batched:] if rank < 6 else ()
    if not any(map(any, spatial)):
        return text
    return call("F.pad", text, literal(pad_arguments(spatial, least=rank - 2)), mode=op.mode)


def _indices(x: TensorType, axis: int, before: int, after: int, mode: str) -> str:
    size = x.shape[axis]
    if not isinstance(size, int):
        raise Failure(free_padding(mode, axis, x))
    return str([source(i, size, mode) for i in range(-before, size + after)])


def _flattened_from(before: Shape, after: Shape) -> int | None:
    """The axis from which on all axes become one, where that is all that a reshape does."""
    start = len(after) - 1
    return start if 0 <= start < len(before) - 1 and before[:start] == after[:start] else None


def _dims(op: Reshape | Expand | Upsample, x: Value) -> list[str | Polynomial]:
    """The sizes as a person writes them: a single unknown is -1, a size of the operand is read off it.

    What remains has to be computed from the free dimensions.
    """
    shape = _wanted(op, x)
    unknown = [dim for dim in shape if isinstance(dim, Polynomial)]
    if isinstance(op, Reshape) and len(unknown) == 1 and prod(dim for dim in shape if isinstance(dim, int)):
        return ["-1" if isinstance(dim, Polynomial) else str(dim) for dim in shape]
    return [_read(dim, x) if isinstance(dim, Polynomial) else str(dim) for dim in shape]


def _wanted(op: Reshape | Expand | Upsample, x: Value) -> Shape:
    """The sizes that the text of an operator gives."""
    if isinstance(op, Upsample):
        return () if op.whole_factors(x.type.shape[2:]) else op.size
    return op.shape


def _read(dim: Polynomial, x: Value) -> str | Polynomial:
    shape = x.type.shape
    return f"{x.text}.shape[{shape.index(dim)}]" if dim in shape else dim


def _sizes(op: Reshape | Expand | Upsample, x: Value) -> list[str]:
    return [dim if isinstance(dim, str) else size(dim) for dim in _dims(op, x)] or ["()"]
