"""How errors are measured: against what scale, by sample, border and interior apart."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from repc.verify.cuts import Cut
from repc.verify.tally import Tally, is_finite


def tally(cut: Cut, expected: Tensor, found: Tensor, samples: int = 1) -> Tally:
    made = Tally()
    made.add(cut, expected, found, samples)
    return made


def test_the_maximum_is_relative_to_the_largest_value() -> None:
    expected = torch.tensor([[4.0, 1.0]], dtype=torch.float64)
    found = tally(Cut("y"), expected, expected + torch.tensor([0.1, -0.2]))
    assert [found.largest(key) for key in found.parts()] == [pytest.approx(0.05)]


def test_the_mean_is_quadratic_and_relative_to_that_of_the_value() -> None:
    expected = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    found = tally(Cut("y"), expected, expected + torch.tensor([0.0, 0.5]))
    assert [found.rms(key) for key in found.parts()] == [pytest.approx(0.1)]


def test_batches_count_by_their_samples() -> None:
    found, cut = Tally(), Cut("y")
    for samples, error in ((3, 0.3), (1, 0.4)):
        found.add(cut, torch.ones(samples, 2), torch.full((samples, 2), 1 + error), samples)
    assert found.rms((cut, "interior")) == pytest.approx(((3 * 0.3**2 + 0.4**2) / 4) ** 0.5, rel=1e-6)
    assert found.largest((cut, "interior")) == pytest.approx(0.4, rel=1e-6)


@pytest.mark.parametrize(
    ("place", "part", "count"),
    [((0, 0, 0, 3), "border", 18), ((0, 0, 4, 1), "border", 18), ((0, 0, 2, 2), "interior", 12)],
)
def test_an_error_is_counted_where_it_is(place: tuple[int, ...], part: str, count: int) -> None:
    expected = torch.ones(1, 1, 5, 6, dtype=torch.float64)
    found = expected.clone()
    found[place] += 0.5
    measured = tally(Cut("y", border=1), expected, found)
    assert {of: measured.largest((cut, of)) for cut, of in measured.parts()} == {
        "interior": 0.5 if part == "interior" else 0.0,
        "border": 0.5 if part == "border" else 0.0,
    }
    wrong = next(key for key in measured.parts() if key[1] == part)
    assert measured.rms(wrong) == pytest.approx(0.5 / count**0.5)


def test_a_map_without_interior_is_all_border() -> None:
    expected = torch.ones(1, 1, 2, 6, dtype=torch.float64)
    assert [part for _, part in tally(Cut("y", border=1), expected, expected).parts()] == ["border"]


def test_a_value_that_is_zero_everywhere_is_compared_absolutely() -> None:
    expected = torch.zeros(2, 3, dtype=torch.float64)
    found = tally(Cut("y"), expected, expected + 1e-3)
    assert [found.rms(key) for key in found.parts()] == [pytest.approx(1e-3)]
    assert [found.largest(key) for key in found.parts()] == [pytest.approx(1e-3)]


@pytest.mark.parametrize("shape", [(), (5,), (4, 5), (0, 3)])
def test_values_without_spatial_axes_have_no_border(shape: tuple[int, ...]) -> None:
    expected = torch.ones(shape, dtype=torch.float64)
    parts = [part for _, part in tally(Cut("y", border=1), expected, expected + 0.5).parts()]
    assert parts == (["interior"] if expected.numel() else [])


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_one_element_that_is_not_finite_is_seen(value: float) -> None:
    values = torch.zeros(3, 4)
    assert is_finite(values)
    values[1, 2] = value
    assert not is_finite(values)
