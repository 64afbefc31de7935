"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf

from repc.importers.torch.site import Number, Site, Unknown, Value, axis_of
from repc.ir.dims import Dim, volume
from repc.ir.types import REAL, broadcast
from repc.ops import Binary, CumSum, Divide, Expand, Order, Reduce, TakeAlong


def over(kind: str, at: Site, x: Value, axes: Sequence[int] | None, keep: bool, *rest: object) -> Value:
    """A reduction over some axes."""
    return _reduce(at, kind, x, axes, keep)


def over_all(kind: str, at: Site, x: Value, *rest: object) -> Value:
    """A reduction to one number."""
    return _reduce(at, kind, x, None, False)


def extremum(kind: str, at: Site, x: Value, axis: int, keep: bool) -> list[Value]:
    """``max`` and ``min`` along an axis, and where it was."""
    place = at.add(Order(axis % x.type.rank, 1, kind == "max"), x=x) if x.type.rank else at.number(0, "i64")
    return [_reduce(at, kind, x, [axis], keep), at.reshape(place, at.result.shape)]


def extreme_place(largest: bool, at: Site, x: Value, axis: int | None = None, keep: bool = False) -> Value:
    """``argmax`` and ``argmin``, without an axis over all elements in a row."""
    if axis is None or not x.type.rank:
        x, axis = at.reshape(x, (volume(x.type.shape),)), 0
    return at.reshape(at.add(Order(axis % x.type.rank, 1, largest), x=x), at.result.shape)


def top(at: Site, x: Value, count: Dim, axis: int = -1, largest: bool = True, *rest: object) -> list[Value]:
    """``topk``, in order whether that is asked for or not."""
    places = at.add(Order(axis_of(x, axis), count, largest), x=x)
    return [at.add(TakeAlong(axis_of(x, axis)), x=x, index=places), places]


def sort(at: Site, x: Value, axis: int = -1, descending: bool = False) -> list[Value]:
    """``sort``"""
    return top(at, x, x.type.shape[axis_of(x, axis)], axis, descending)


def stable_sort(at: Site, x: Value, stable: bool | None, axis: int = -1, descending: bool = False) -> list[Value]:
    """``sort``, which here is stable always."""
    return sort(at, x, axis, descending)


def sorted_places(at: Site, x: Value, axis: int = -1, descending: bool = False) -> Value:
    """``argsort``"""
    return sort(at, x, axis, descending)[1]


def stably_sorted_places(at: Site, x: Value, stable: bool, axis: int = -1, descending: bool = False) -> Value:
    """``argsort``, which here is stable always."""
    return sort(at, x, axis, descending)[1]


def quantified(kind: str, at: Site, x: Value, axes: Sequence[int] | int | None = None, keep: bool = False) -> Value:
    """``any`` and ``all``: the largest or the smallest of zeros and ones."""
    ones = at.cast(at.cast(x, "bool"), "f32")
    return at.cast(at.add(Reduce(kind, _axes(x, axes), keep), x=ones), "bool")


def variance_by_flag(at: Site, x: Value, axes: Sequence[int] | None, unbiased: bool, keep: bool) -> Value:
    """``var`` as it used to be called."""
    return variance(at, x, axes, int(unbiased), keep)


def deviation_by_flag(at: Site, x: Value, axes: Sequence[int] | None, unbiased: bool, keep: bool) -> Value:
    """``std`` as it used to be called."""
    return deviation(at, x, axes, int(unbiased), keep)


def variance(at: Site, x: Value, axes: Sequence[int] | None, correction: Number | None, keep: bool) -> Value:
    """``var`` with a whole correction, 1 if none is given."""
    return _variance(at, x, axes, correction, keep)


def deviation(at: Site, x: Value, axes: Sequence[int] | None, correction: Number | None, keep: bool) -> Value:
    """``std``: the root of the variance."""
    return at.function("sqrt", _variance(at, x, axes, correction, keep))


def variance_and_mean(
    at: Site, x: Value, axes: Sequence[int] | None, correction: Number | None, keep: bool
) -> list[Value]:
    """``var_mean``"""
    return [_variance(at, x, axes, correction, keep), _reduce(at, "mean", x, axes, keep)]


def vector_norm(at: Site, x: Value, order: Number, axes: Sequence[int] | None, keep: bool, *rest: object) -> Value:
    """The Euclidean norm, or another one of absolute values; of order zero, how many there are."""
    if order == 2:
        return _reduce(at, "norm", x, axes, keep)
    sizes = at.function("abs", at.cast(x, at.result.dtype))
    if isinf(order):
        return _reduce(at, "max" if order > 0 else "min", sizes, axes, keep)
    if order == 0:
        return _reduce(at, "sum", at.function("sign", sizes), axes, keep)
    if order == 1:
        return _reduce(at, "sum", sizes, axes, keep)
    return at.function("pow", _reduce(at, "sum", at.function("pow", sizes, order), axes, keep), 1 / order)


def distance(at: Site, a: Value, b: Value, order: Number = 2) -> Value:
    """``dist``: the norm of all of the difference."""
    return vector_norm(at, at.combine((1, a), (-1, b)), order, None, False)


def cosine_similarity(at: Site, a: Value, b: Value, axis: int, eps: float) -> Value:
    """The product of two vectors of length one, or of less where they are shorter than eps."""
    shape = broadcast([a.type, b.type]).shape
    one, two = (x if x.type.shape == shape else at.add(Expand(shape), x=x) for x in at.operands(a, b))
    lengths = [_reduce(at, "norm", x, [axis], True) for x in (one, two)]
    bounded = [at.add(Binary("maximum"), a=length, b=at.number(eps, at.result.dtype)) for length in lengths]
    units = [at.add(Divide(), a=x, b=length) for x, length in zip((one, two), bounded, strict=True)]
    return _reduce(at, "sum", at.times(*units), [axis], False)


def norm(at: Site, x: Value, order: Number | None, axes: Sequence[int] | None = None, keep: bool = False) -> Value:
    """``torch.norm``, Euclidean unless it says otherwise."""
    return vector_norm(at, x, 2 if order is None else order, axes, keep)


def cumsum(at: Site, x: Value, axis: int, *rest: object) -> Value:
    """``torch.cumsum``"""
    return at.add(CumSum(axis_of(x, axis)), x=at.cast(x, at.result.dtype))


def _variance(at: Site, x: Value, axes: Sequence[int] | None, correction: Number | None, keep: bool) -> Value:
    less = 1 if correction is None else correction
    if less != int(less):
        raise Unknown(f"a variance with correction {less}")
    return at.add(Reduce("var", _axes(x, axes), keep, int(less)), x=x)


def _reduce(at: Site, kind: str, x: Value, axes: Sequence[int] | int | None, keep: bool) -> Value:
    if at.result.dtype not in REAL and (kind, at.result.dtype) != ("sum", "i64"):
        raise Unknown(f"a {kind} of {at.result.dtype}")
    return at.add(Reduce(kind, _axes(x, axes), keep), x=at.cast(x, at.result.dtype))


def _axes(x: Value, axes: Sequence[int] | int | None) -> tuple[int, ...]:
    """Axes from zero, in order; none means all."""
    named = [axes] if isinstance(axes, int) else axes
    rank = x.type.rank
    return tuple(sorted({axis % rank for axis in named})) if named and rank else tuple(range(rank))
