"""What a reshape does to axes: both shapes as products of common factors.

``[b, c, h, w]`` and ``[b, h·w, c']`` lie over the same elements in the same order.  Cut into the finest factors that
both sides are made of, each axis of either shape is a run of factors, so that whatever varies along whole factors on
one side is seen to vary along whole factors on the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from repc.ir.dims import Dim, Shape, divide, volume


@dataclass(frozen=True, slots=True)
class Factor:
    """A run of elements that is a part of one axis on each side.

    Where sizes do not divide, `left` or `right` lists several axes that only together are one factor.
    """

    size: Dim
    left: tuple[int, ...]
    right: tuple[int, ...]

    @property
    def mixed(self) -> bool:
        """Whether it is no part of a single axis on one side."""
        return len(self.left) > 1 or len(self.right) > 1


def refine(left: Shape, right: Shape) -> list[Factor]:
    """The common factors of two shapes of equally many elements, in their order; those of one element are left out."""
    found: list[Factor] = []
    i = j = 0
    a, b = _at(left, 0), _at(right, 0)
    while i < len(left) and j < len(right):
        if a == b:
            found.append(Factor(a, (i,), (j,)))
            i, j = i + 1, j + 1
            a, b = _at(left, i), _at(right, j)
        elif (rest := divide(a, b)) is not None:
            found.append(Factor(b, (i,), (j,)))
            a, j = rest, j + 1
            b = _at(right, j)
        elif (rest := divide(b, a)) is not None:
            found.append(Factor(a, (i,), (j,)))
            b, i = rest, i + 1
            a = _at(left, i)
        else:
            k, m = _together(a, left[i + 1 :], b, right[j + 1 :])
            found.append(Factor(volume((a, *left[i + 1 : i + k])), _run(i, k), _run(j, m)))
            i, j = i + k, j + m
            a, b = _at(left, i), _at(right, j)
    return [factor for factor in found if factor.size != 1]


def _at(shape: Shape, axis: int) -> Dim:
    return shape[axis] if axis < len(shape) else 1


def _run(start: int, count: int) -> tuple[int, ...]:
    return tuple(range(start, start + count))


def _together(a: Dim, left: Sequence[Dim], b: Dim, right: Sequence[Dim]) -> tuple[int, int]:
    """How many axes of each side make the shortest runs with as many elements: what is left always does."""
    counts = [(k, m) for k in range(len(left) + 1) for m in range(len(right) + 1)]
    shortest = sorted(counts, key=sum)
    k, m = next((k, m) for k, m in shortest if volume((a, *left[:k])) == volume((b, *right[:m])))
    return k + 1, m + 1
