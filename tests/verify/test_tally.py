"""How errors are measured: against what scale, by sample, border and interior apart."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from repc.verify.cuts import Cut
from repc.verify.tally import Tally, is_finite


def errors(cut: Cut, expected: Tensor, found: Tensor, samples: int) -> dict[str, float]:
    tally = Tally()
    tally.add(cut, expected, found, samples)
    return {part: tally.rms((of, part)) for of, part in tally.parts()}


def test_the_error_is_relative_to_the_largest_value() -> None:
    expected = torch.tensor([[4.0, 1.0]], dtype=torch.float64)
    assert errors(Cut("y"), expected, expected + torch.tensor([0.0, 0.2]), 1) == {"interior": pytest.approx(0.05)}


def test_the_mean_over_samples_is_quadratic() -> None:
    expected = torch.ones(2, 3, dtype=torch.float64)
    found = expected + torch.tensor([[0.3], [0.4]])
    assert errors(Cut("y"), expected, found, 2)["interior"] == pytest.approx((0.5 * (0.3**2 + 0.4**2)) ** 0.5)


def test_batches_add_up() -> None:
    tally, cut = Tally(), Cut("y")
    for error in (0.3, 0.4):
        tally.add(cut, torch.ones(1, 2), torch.full((1, 2), 1 + error), 1)
    assert tally.rms((cut, "interior")) == pytest.approx((0.5 * (0.3**2 + 0.4**2)) ** 0.5, rel=1e-6)
    assert tally.largest((cut, "interior")) == pytest.approx(0.4, rel=1e-6)


@pytest.mark.parametrize(
    ("place", "part"), [((0, 0, 0, 3), "border"), ((0, 0, 4, 1), "border"), ((0, 0, 2, 2), "interior")]
)
def test_an_error_is_counted_where_it_is(place: tuple[int, ...], part: str) -> None:
    expected = torch.ones(1, 1, 5, 6, dtype=torch.float64)
    found = expected.clone()
    found[place] += 0.5
    assert errors(Cut("y", border=1), expected, found, 1) == {
        "interior": 0.5 if part == "interior" else 0.0,
        "border": 0.5 if part == "border" else 0.0,
    }


def test_a_map_without_interior_is_all_border() -> None:
    expected = torch.ones(1, 1, 2, 6, dtype=torch.float64)
    assert errors(Cut("y", border=1), expected, expected + 0.5, 1) == {"border": 0.5}


def test_a_value_that_is_zero_everywhere_is_compared_absolutely() -> None:
    expected = torch.zeros(2, 3, dtype=torch.float64)
    assert errors(Cut("y"), expected, expected + 1e-3, 2) == {"interior": pytest.approx(1e-3)}


def test_partitions_of_a_batch_belong_to_their_sample() -> None:
    """As RepMLP has them: two samples of three tiles each."""
    expected = torch.ones(6, 4, dtype=torch.float64)
    found = expected.clone()
    found[3:] += 0.5
    assert errors(Cut("y"), expected, found, 2)["interior"] == pytest.approx((0.5 * 0.5**2) ** 0.5)


@pytest.mark.parametrize("shape", [(), (5,), (0, 3)])
def test_values_of_any_rank_are_compared(shape: tuple[int, ...]) -> None:
    expected = torch.ones(shape, dtype=torch.float64)
    assert errors(Cut("y", border=1), expected, expected + 0.5, 2) == ({"interior": 0.5} if expected.numel() else {})


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_one_element_that_is_not_finite_is_seen(value: float) -> None:
    values = torch.zeros(3, 4)
    assert is_finite(values)
    values[1, 2] = value
    assert not is_finite(values)
