"""Elements by their size, and elements picked along with others."""

from __future__ import annotations

from repc.importers.onnx.site import Site
from repc.importers.onnx.values import Operand
from repc.ops.order import Order, TakeAlong
from repc.ops.shape import Reshape, Slice


def largest(site: Site) -> Operand:
    """ArgMax."""
    return _extreme(site, largest=True)


def smallest(site: Site) -> Operand:
    """ArgMin."""
    return _extreme(site, largest=False)


def top(site: Site) -> list[Operand]:
    """TopK in order; without one, nobody knows which."""
    site.only(sorted=1)
    x = site[0]
    axis = site.axis(-1, site.type(x).rank)
    (count,) = site.dims(1) if site.opset >= 10 else (site.attribute("k"),)
    places = site.add(Order(axis, count, bool(site.attribute("largest", 1))), x=x)
    return [site.add(TakeAlong(axis), x=x, index=places), places]


def gather_elements(site: Site) -> Operand:
    """GatherElements: of x that much is read along the other axes as there are positions."""
    x, index = site[0], site[1]
    axis = site.axis(0, site.type(x).rank)
    for other, (size, wanted) in enumerate(zip(site.type(x).shape, site.type(index).shape, strict=True)):
        if other != axis and size != wanted:
            x = site.add(Slice(other, 0, wanted), x=x)
    return site.add(TakeAlong(axis), x=x, index=index)


def _extreme(site: Site, *, largest: bool) -> Operand:
    site.only(select_last_index=0)
    x = site[0]
    axis = site.axis(0, site.type(x).rank)
    y = site.add(Order(axis, 1, largest), x=x)
    shape = site.type(y).shape
    return y if site.attribute("keepdims", 1) else site.add(Reshape(shape[:axis] + shape[axis + 1 :]), x=y)
