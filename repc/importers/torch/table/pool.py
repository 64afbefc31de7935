"""Pools and resampling."""

from __future__ import annotations

from collections.abc import Sequence

from repc.importers.torch.site import Site, Unknown, Value
from repc.importers.torch.table.linear import equal_sides, every
from repc.ir.dims import Dim, divide
from repc.ir.operator import Operator
from repc.ops import AdaptiveAvgPool, AvgPool, MaxPool, Reduce, Upsample


def max_pool(rank: int, at: Site, x: Value, kernel: Sequence[int], *window: object) -> Value:
    """``max_pool1d`` to ``max_pool3d``."""
    stride, padding, dilation, ceil = window
    assert isinstance(ceil, bool)
    size = every(kernel, rank)
    op = MaxPool(size, _stride(stride, size), equal_sides(_ints(padding, rank)), _ints(dilation, rank), ceil)
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
    sizes = tuple(size for size in output if isinstance(size, int))
    if len(sizes) != len(output):
        raise Unknown(f"a pool to {list(output)}")
    return _batched(at, AdaptiveAvgPool(sizes), x, rank)


def adaptive_max_pool(at: Site, x: Value, output: Sequence[Dim]) -> list[Value]:
    """To one element, which is the maximum; where it was, nobody may ask."""
    if any(size != 1 for size in output):
        raise Unknown(f"a pool to {list(output)}")
    axes = tuple(range(x.type.rank - len(output), x.type.rank))
    return [at.add(Reduce("max", axes, True), x=x)]


def nearest(at: Site, x: Value, size: Sequence[Dim] | None, factors: Sequence[float] | None) -> Value:
    """``upsample_nearest1d`` to ``upsample_nearest3d``, by whole factors."""
    return at.add(Upsample(_factors(at, x, factors), "nearest"), x=x)


def linear(
    at: Site, x: Value, size: Sequence[Dim] | None, align_corners: bool, factors: Sequence[float] | None
) -> Value:
    """``upsample_linear1d``, ``upsample_bilinear2d`` and ``upsample_trilinear3d``, by whole factors."""
    return at.add(Upsample(_factors(at, x, factors), "linear", align_corners), x=x)


def _factors(at: Site, x: Value, given: Sequence[float] | None) -> tuple[int, ...]:
    """How many times larger the result is along each spatial axis; factors that are given rule the places."""
    sizes = zip(at.result.shape[2:], x.type.shape[2:], strict=True)
    found = [divide(after, before) for after, before in sizes]
    whole = tuple(factor for factor in found if isinstance(factor, int))
    if len(whole) != len(found) or (given and list(given) != list(whole)):
        raise Unknown(f"{x.type} resampled to {at.result}")
    return whole


def _ints(given: object, rank: int) -> tuple[int, ...]:
    assert isinstance(given, Sequence)
    return every([int(size) for size in given], rank)


def _stride(given: object, kernel: tuple[int, ...]) -> tuple[int, ...]:
    """As large as the kernel where none is given."""
    return _ints(given, len(kernel)) if given else kernel


def _batched(at: Site, op: Operator, x: Value, rank: int) -> Value:
    """torch also takes one sample without a batch axis."""
    if x.type.rank != rank + 1:
        return at.add(op, x=x)
    y = at.add(op, x=at.reshape(x, (1, *x.type.shape)))
    return at.reshape(y, y.type.shape[1:])
