"""Elements picked by positions."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from repc.importers.torch.site import Site, Unknown, Value, axis_of
from repc.importers.torch.table.shape import narrow
from repc.ir.dims import Dim
from repc.ir.types import WHOLE
from repc.ops import Binary, Constant, Gather, TakeAlong, Where


def embedding(at: Site, weight: Value, index: Value, *rest: object) -> Value:
    """Rows of a table."""
    return _gathered(at, weight, 0, index)


def index_select(at: Site, x: Value, axis: int, index: Value) -> Value:
    """Elements of one axis."""
    return _gathered(at, x, axis_of(x, axis), index)


def index(at: Site, x: Value, indices: Sequence[Value | None]) -> Value:
    """``x[:, index]``: one axis by whole numbers; several at once, or a mask, are unknown."""
    places = [(axis, found) for axis, found in enumerate(indices) if found is not None]
    if len(places) != 1:
        raise Unknown(f"{len(places)} axes indexed at once")
    ((axis, found),) = places
    return _gathered(at, x, axis, found)


def index_put(
    at: Site, x: Value, indices: Sequence[Value | None], value: Value, accumulate: bool = False, *rest: object
) -> Value:
    """``x[mask] = value`` for one value; elements put anywhere else are unknown."""
    mask = indices[0] if len(indices) == 1 else None
    if mask is None or mask.type.dtype != "bool" or accumulate or value.type.rank:
        raise Unknown("elements put at computed places")
    inside = at.reshape(mask, (*mask.type.shape, *(1 for _ in range(x.type.rank - mask.type.rank))))
    return at.add(Where(), condition=inside, a=at.cast(value, x.type.dtype), b=x)


def gather(at: Site, x: Value, axis: int, index: Value, *rest: object) -> Value:
    """``torch.gather``: of x that much is read along the other axes as there are positions."""
    for other, size in enumerate(index.type.shape):
        if other != axis_of(index, axis):
            x = narrow(at, x, other, 0, size)
    return at.add(TakeAlong(axis_of(index, axis)), x=x, index=index)


def one_hot(at: Site, index: Value, count: Dim = -1) -> Value:
    """``F.one_hot``, for a number of classes that is known."""
    if not isinstance(count, int) or count < 0:
        raise Unknown("as many classes as there are")
    classes = at.cast(at.add(Constant((count,), tuple(map(Fraction, range(count))))), "i64")
    column = at.reshape(index, (*index.type.shape, 1))
    return at.cast(at.add(Binary("equal"), a=column, b=classes), "i64")


def _gathered(at: Site, x: Value, axis: int, index: Value) -> Value:
    if index.type.dtype not in WHOLE:
        raise Unknown(f"elements picked by {index.type}")
    return at.add(Gather(axis), x=x, index=index)
