"""Pools and resampling."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import cast

from repc.importers.torch.site import Ref, Site, Unknown, Value, exact
from repc.importers.torch.table.linear import equal_sides, every
from repc.ir.dims import Dim
from repc.ir.foreign import TorchCall
from repc.ir.operator import Operator
from repc.ops import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, MaxPool, Opaque, Upsample
from repc.ops.padding import Pairs


def max_pool(rank: int, at: Site, x: Value, kernel: Sequence[int], *window: object) -> Value:
    """``max_pool1d`` to ``max_pool3d``.

    Minus infinity around x is the padding that a pool has by itself.
    """
    stride, padding, dilation, ceil = window
    assert isinstance(ceil, bool)
    size, widths = every(kernel, rank), _ints(padding, rank)
    x, pairs = (x, None) if any(widths) or ceil else _unpadded(at, x, size)
    op = MaxPool(size, _stride(stride, size), pairs or equal_sides(widths), _ints(dilation, rank), ceil)
    return _batched(at, op, x, rank)


def avg_pool(rank: int, at: Site, x: Value, kernel: Sequence[int], *window: object) -> Value:
    """``avg_pool1d`` to ``avg_pool3d``; another divisor than the number of elements is unknown."""
    stride, padding, ceil, counted, *divisor = window
    if divisor not in ([], [None]):
        raise Unknown("a divisor of its own")
    assert isinstance(ceil, bool)
    assert isinstance(counted, bool)
    size = every(kernel, rank)
    op = AvgPool(size, _stride(stride, size), equal_sides(_ints(padding, rank)), ceil, counted)
    return _batched(at, op, x, rank)


def adaptive_avg_pool(rank: int, at: Site, x: Value, output: Sequence[Dim]) -> Value:
    """``adaptive_avg_pool1d`` to ``adaptive_avg_pool3d``."""
    return _batched(at, AdaptiveAvgPool(_known(output)), x, rank)


def adaptive_max_pool(rank: int, at: Site, x: Value, output: Sequence[Dim]) -> list[Value]:
    """``adaptive_max_pool1d`` to ``adaptive_max_pool3d``; where the maxima were, nobody may ask."""
    return [_batched(at, AdaptiveMaxPool(_known(output)), x, rank)]


def nearest(at: Site, x: Value, size: Sequence[Dim] | None, factors: Sequence[float] | None) -> Value:
    """``upsample_nearest1d`` to ``upsample_nearest3d``."""
    return _upsampled(at, x, "nearest", False, factors)


def interpolated(
    mode: str, at: Site, x: Value, size: Sequence[Dim] | None, align_corners: bool, factors: Sequence[float] | None
) -> Value:
    """``upsample_bilinear2d`` and its like."""
    return _upsampled(at, x, mode, align_corners, factors)


def _upsampled(at: Site, x: Value, mode: str, align_corners: bool, factors: Sequence[float] | None) -> Value:
    """By the factors where they are given, which then rule the places of elements, else by the size of the result."""
    if factors:
        return at.add(Upsample(tuple(map(exact, factors)), mode, align_corners), x=x)
    return at.add(Upsample((), mode, align_corners, at.result.shape[2:]), x=x)


def _unpadded(at: Site, x: Value, kernel: Sequence[int]) -> tuple[Value, Pairs | None]:
    """What a call that puts minus infinity around x reads, and how widely, if a pool with this kernel can take that."""
    node = at.graph[x.id] if isinstance(x, Ref) else None
    if node is None or not isinstance(node.op, Opaque) or not isinstance(node.op.call, TorchCall) or not node.inputs:
        return x, None
    match node.op.call.target.split("."), node.op.call.args:
        case ["aten", "pad" | "constant_pad_nd", _], (_, (*given,), *_, value) if value == -inf:
            widths = [width for width in given if isinstance(width, int) and width >= 0]
        case _:
            return x, None
    if not len(widths) == len(given) == 2 * len(kernel):
        return x, None
    pairs = (*zip(widths[-2::-2], widths[::-2], strict=True),)
    if any(2 * max(pair) > size for pair, size in zip(pairs, kernel, strict=True)):
        return x, None
    return Ref(node.inputs[0], at.graph[node.inputs[0]].type), pairs


def _known(output: Sequence[Dim]) -> tuple[int, ...]:
    sizes = tuple(size for size in output if isinstance(size, int))
    if len(sizes) != len(output):
        raise Unknown(f"a pool to {list(output)}")
    return sizes


def _ints(given: object, rank: int) -> tuple[int, ...]:
    return every([int(size) for size in cast("Sequence[int]", given)], rank)


def _stride(given: object, kernel: tuple[int, ...]) -> tuple[int, ...]:
    """As large as the kernel where none is given."""
    return _ints(given, len(kernel)) if given else kernel


def _batched(at: Site, op: Operator, x: Value, rank: int) -> Value:
    """torch also takes one sample without a batch axis."""
    if x.type.rank != rank + 1:
        return at.add(op, x=x)
    y = at.add(op, x=at.reshape(x, (1, *x.type.shape)))
    return at.reshape(y, y.type.shape[1:])
