"""Elements picked by positions."""

from __future__ import annotations

from collections.abc import Sequence

from repc.importers.torch.site import Site, Unknown, Value
from repc.ir.types import WHOLE
from repc.ops import Gather


def embedding(at: Site, weight: Value, index: Value, *rest: object) -> Value:
    """Rows of a table."""
    return _gathered(at, weight, 0, index)


def index_select(at: Site, x: Value, axis: int, index: Value) -> Value:
    """Elements of one axis."""
    return _gathered(at, x, axis % x.type.rank, index)


def index(at: Site, x: Value, indices: Sequence[Value | None]) -> Value:
    """``x[:, index]``: one axis by whole numbers; several at once, or a mask, are unknown."""
    places = [(axis, found) for axis, found in enumerate(indices) if found is not None]
    if len(places) != 1:
        raise Unknown(f"{len(places)} axes indexed at once")
    ((axis, found),) = places
    return _gathered(at, x, axis, found)


def _gathered(at: Site, x: Value, axis: int, index: Value) -> Value:
    if index.type.dtype not in WHOLE:
        raise Unknown(f"elements picked by {index.type}")
    return at.add(Gather(axis), x=x, index=index)
