"""Rearranging weights of linear operators, as expressions.

A weight has rows, columns and taps: (o, i / groups, k…) of a convolution, (i, o / groups, k…) of a transposed one,
(o, i) of a linear layer.  Rows are whole, columns are counted inside a group; no more is known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from repc.ir.expr import Expr, apply
from repc.ops import build
from repc.ops.constant import Eye
from repc.passes.frames import Frame, Window, place


def scale_rows(weight: Expr, scale: Expr) -> Expr:
    """Row r times scale[r]; a scalar scales everything."""
    return build.mul(weight, build.along(scale, 0, weight.type.rank) if scale.type.rank else scale)


def scale_columns(weight: Expr, scale: Expr, groups: int) -> Expr:
    """Column c of group g times scale[g · columns + c]; a scalar scales everything."""
    if not scale.type.rank:
        return build.mul(weight, scale)
    rows, columns, *taps = weight.type.concrete()
    ones = [1] * len(taps)
    if groups == 1:
        return build.mul(weight, build.reshape(scale, (1, columns, *ones)))
    split = build.reshape(weight, (groups, rows // groups, columns, *taps))
    return build.reshape(build.mul(split, build.reshape(scale, (groups, 1, columns, *ones))), weight.type.shape)


def regroup(weight: Expr, groups: int, wanted: int) -> Expr:
    """The same map with fewer groups, of which the old ones are diagonal blocks.

    Blocks, not a diagonal across all columns: columns are counted inside a group.
    """
    if groups == wanted:
        return weight
    rows, columns, *taps = weight.type.concrete()
    blocks = groups // wanted
    split = build.reshape(weight, (wanted, blocks, rows // groups, 1, columns, *taps))
    diagonal = build.reshape(apply(Eye(blocks)), (1, blocks, 1, blocks, 1, *([1] * len(taps))))
    return build.reshape(build.mul(split, diagonal), (rows, blocks * columns, *taps))


def swap(weight: Expr, groups: int) -> Expr:
    """Rows for columns inside each group, as a transposed convolution stores them."""
    rows, columns, *_ = weight.type.concrete()
    return _blocks(weight, (groups, rows // groups, columns), (0, 2, 1), groups * columns)


def flip(weight: Expr) -> Expr:
    """The taps in the other order, along every axis."""
    for axis, taps in enumerate(weight.type.concrete()[2:], start=2):
        weight = build.concat([build.take(weight, axis, tap, tap + 1) for tap in reversed(range(taps))], axis)
    return weight


def spread_rows(weight: Expr, groups: int) -> Expr:
    """(o, c, k…) as (o / groups, groups · c, k…): the rows of one group, with those of the others beside them."""
    rows, columns, *_ = weight.type.concrete()
    return _blocks(weight, (groups, rows // groups, columns), (1, 0, 2), rows // groups) if groups > 1 else weight


def gather_rows(weight: Expr, groups: int) -> Expr:
    """The way back from `spread_rows`."""
    rows, columns, *_ = weight.type.concrete()
    return _blocks(weight, (rows, groups, columns // groups), (1, 0, 2), rows * groups) if groups > 1 else weight


def _blocks(weight: Expr, split: Sequence[int], order: Sequence[int], rows: int) -> Expr:
    """Rows and columns split in three, put in another order, and joined to so many rows again."""
    columns, taps = prod(split) // rows, weight.type.concrete()[2:]
    turned = build.permute(build.reshape(weight, (*split, *taps)), (*order, *range(3, len(taps) + 3)))
    return build.reshape(turned, (rows, columns, *taps))


def embed(weight: Expr, part: Frame, whole: Frame) -> Expr:
    """The taps of one frame put in their places in another, with zeros elsewhere."""
    widths = [(0, 0), (0, 0)]
    for axis, (p, w) in enumerate(zip(part, whole, strict=True), start=2):
        weight, width = _spread(weight, axis, p, w)
        widths.append(width)
    return build.pad(weight, widths)


def _spread(weight: Expr, axis: int, part: Window, whole: Window) -> tuple[Expr, tuple[int, int]]:
    """Zeros between the taps of one axis, and how many belong before and after them."""
    placement = place(part, whole)
    assert placement is not None, f"{part} does not lie in {whole}"
    if placement.step > 1:
        before, taps, after = _around(weight.type.concrete(), axis)
        apart = build.pad(build.reshape(weight, (*before, taps, 1, *after)), _widen(weight, axis, placement.step - 1))
        reach = (taps - 1) * placement.step + 1
        weight = build.take(build.reshape(apart, (*before, taps * placement.step, *after)), axis, 0, reach)
    reach = placement.step * (part.taps - 1) + 1
    return weight, (placement.first, whole.taps - placement.first - reach)


def _around(shape: Sequence[int], axis: int) -> tuple[Sequence[int], int, Sequence[int]]:
    return shape[:axis], shape[axis], shape[axis + 1 :]


def _widen(weight: Expr, axis: int, width: int) -> list[tuple[int, int]]:
    return [(0, width if i == axis + 1 else 0) for i in range(weight.type.rank + 1)]
