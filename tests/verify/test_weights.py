"""Distances in units in the last place, at the edges of the number formats."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from repc.evaluate.rounding import rounded
from repc.ir.storage import storage
from repc.passes import fold
from repc.verify.report import Check
from repc.verify.weights import CHUNK, LABELS, check_weights
from tests.verify.networks import tiny

FUSED, _ = fold(tiny())
NAME = "linear.bias"


def check(stored: Tensor, exact: Tensor) -> Check:
    """The check of one tensor, as if the network had no other."""
    assert NAME in storage(FUSED).tensors
    return check_weights(FUSED, [(NAME, exact)], {"computed weights": {NAME: stored}})


def distance(stored: Tensor, exact: Tensor) -> float:
    (figure,) = check(stored, exact).figures
    return figure.error


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_rounding_once_is_at_most_half_a_unit(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    exact = torch.randn(100_000, dtype=torch.float64, generator=generator).exp() * 1e-3
    halves = torch.arange(-40, 40).double() + 0.5 + torch.linspace(-1e-9, 1e-9, 80, dtype=torch.float64)
    exact = torch.cat([exact, 256 + halves, 1 + halves * 2.0**-7, halves * 2.0**-24])
    found = check(rounded(exact, dtype), exact)
    assert found.passed
    assert dtype == torch.float64 or 0.45 < found.figures[0].error <= 0.5


@pytest.mark.parametrize("exact", [1.0, 1.5, 2.0 - 2.0**-23, 2.0**-126, 2.0**-140, 0.0, 3e38])
def test_the_neighbour_is_one_unit_away(exact: float) -> None:
    """The unit is that of the exact value: above a power of two it is the larger one."""
    value = torch.tensor([exact])
    above = torch.nextafter(value, torch.tensor([torch.inf]))
    assert distance(above, value.to(torch.float64)) == pytest.approx(1.0, abs=1e-6)


def test_an_error_at_zero_is_not_measured_by_larger_numbers() -> None:
    assert not check(torch.tensor([1e-9]), torch.tensor([0.0], dtype=torch.float64)).passed


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_is_infinitely_far(wrong: float) -> None:
    found = check(torch.tensor([1.0, wrong]), torch.tensor([1.0, 1.0], dtype=torch.float64))
    assert not found.passed
    assert found.figures[0].error == torch.inf
    assert "at [1]" in found.reason


def test_an_exact_value_that_is_no_number_fails_too() -> None:
    assert not check(torch.tensor([1.0]), torch.tensor([torch.nan], dtype=torch.float64)).passed


def test_counters_must_be_equal() -> None:
    assert check(torch.tensor(7), torch.tensor(7)).passed
    assert distance(torch.tensor(8), torch.tensor(7)) == 1.0


def test_another_shape_is_named() -> None:
    found = check(torch.zeros(3), torch.zeros(2, dtype=torch.float64))
    assert not found.passed
    assert "has the shape [3] instead of [2]" in found.reason


def test_an_element_behind_the_first_chunk_is_found_by_its_index() -> None:
    exact = torch.ones(3, CHUNK, dtype=torch.float64)
    stored = exact.to(torch.float32)
    stored[2, 5] = 1.5
    assert "at [2, 5]" in check(stored, exact).reason


def test_the_histogram_counts_every_element_once() -> None:
    exact = torch.tensor([1.0, 1.0 + 2**-24, 1.0 + 2**-25, 1.0 + 2**-22], dtype=torch.float64)
    found = check(torch.ones(4), exact)
    assert dict(found.histogram) == {**dict.fromkeys(LABELS, 0), "0": 1, "<= 0.25": 1, "<= 0.5": 1, "> 0.5": 1}


def test_equal_tensors_of_several_holders_are_compared_once() -> None:
    exact = torch.ones(2, dtype=torch.float64)
    same, other = {NAME: torch.ones(2)}, {NAME: torch.tensor([1.0, 2.0])}
    found = check_weights(FUSED, [(NAME, exact)], {"a": same, "b": {NAME: torch.ones(2)}, "c": other, "d": {}})
    assert [figure.where for figure in found.figures] == [f"{NAME} in the a", f"{NAME} in the c"]
