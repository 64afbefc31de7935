"""What a reshape makes of a map: the numbers themselves, moved."""

from __future__ import annotations

from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repc.evaluate.expressions import evaluate
from repc.evaluate.floating import TorchField
from repc.ir.dims import Dim, Shape, symbol
from repc.ir.expr import Param
from repc.ir.types import TensorType
from repc.passes.maps import Map
from repc.passes.refine import Factor, refine

B, H, W = symbol("b"), symbol("h"), symbol("w")


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int, ...]:
    """The same 72 elements, cut in some way."""
    primes = draw(st.permutations([2, 2, 2, 3, 3]))
    cuts = sorted(draw(st.sets(st.integers(0, 5), max_size=4)))
    return tuple(prod(primes[i:j]) for i, j in zip([0, *cuts], [*cuts, 5], strict=True))


@settings(max_examples=200, deadline=None)
@given(shapes(), shapes(), st.data())
def test_a_reshaped_map_is_the_map_of_what_is_reshaped(
    here: tuple[int, ...], there: tuple[int, ...], data: st.DataObject
) -> None:
    long = [axis for axis, size in enumerate(here) if size > 1]
    axes = sorted(data.draw(st.sets(st.sampled_from(long), min_size=1)))
    scale = Param("scale", TensorType(tuple(here[axis] for axis in axes)))
    found = Map(tuple(axes), scale).reshaped(here, there)
    if found is None or found.scale is None:
        assert any(factor.mixed for factor in refine(here, there))
        return
    values = torch.randn(scale.type.concrete(), dtype=torch.float64)
    full = values.reshape([size if axis in axes else 1 for axis, size in enumerate(here)]).expand(here)
    moved = evaluate({"moved": found.scale}, TorchField(), {"scale": values})["moved"]
    wide = moved.reshape([size if axis in found.axes else 1 for axis, size in enumerate(there)]).expand(there)
    assert torch.equal(wide, full.reshape(there))


@pytest.mark.parametrize(
    ("left", "right", "factors"),
    [
        ((B, 6, H, W), (B, 6, H * W), [(B, 0, 0), (6, 1, 1), (H, 2, 2), (W, 3, 2)]),
        ((B * 5, 6), (B, 5, 6), [(B, 0, 0), (5, 0, 1), (6, 1, 2)]),
        ((4, 6), (6, 4), None),
        ((4, 6), (2, 12), [(2, 0, 0), (2, 0, 1), (6, 1, 1)]),
        ((1, 6, 1), (6,), [(6, 1, 0)]),
        ((6,), (2, 1, 3), [(2, 0, 0), (3, 0, 2)]),
    ],
)
def test_common_factors(left: Shape, right: Shape, factors: list[tuple[Dim, int, int]] | None) -> None:
    plain = [Factor(size, (here,), (there,)) for size, here, there in factors or []]
    assert refine(left, right) == (plain or [Factor(24, (0, 1), (0, 1))])


def test_sizes_that_are_sums_divide_together() -> None:
    """(h + 1)·(w + 1) is known as a product of both sides only."""
    left: Shape = (B, 6, H + 1, W + 1)
    right: Shape = (B, 6, (H + 1) * (W + 1))
    assert refine(left, right) == [
        Factor(B, (0,), (0,)),
        Factor(6, (1,), (1,)),
        Factor((H + 1) * (W + 1), (2, 3), (2,)),
    ]


def test_a_map_along_free_sizes_is_none() -> None:
    scale = Param("scale", TensorType((6,)))
    assert Map((1,), scale).reshaped((B, 6, H), (B, 6 * H)) is None
