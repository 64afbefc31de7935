"""What a merge destroys is seen on the weights themselves."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from repc.evaluate.properties import lost


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def sparse() -> Tensor:
    weight = random(20, 30)
    weight[weight.abs() < 0.5] = 0
    return weight


UPDATE = 0.1 * random(20, 2) @ random(2, 30)
QUANTISED = (random(20, 30) * 4).round() / 4
ORTHOGONAL = torch.linalg.qr(random(30, 20))[0].T


@pytest.mark.parametrize(
    ("weight", "words"),
    [(sparse(), "was zero, 0% is"), (QUANTISED, "as of a quantiser"), (ORTHOGONAL, "it was orthogonal")],
)
def test_an_update_destroys_it(weight: Tensor, words: str) -> None:
    assert [words in text for text in lost(weight, weight + UPDATE)][-1:] == [True]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (sparse(), sparse() * (1 + UPDATE)),
        (QUANTISED, -QUANTISED * 2),
        (ORTHOGONAL, ORTHOGONAL @ torch.linalg.qr(random(30, 30))[0]),
        (random(20, 30), random(20, 30) + UPDATE),
        (torch.zeros(3, 4), torch.ones(3, 4)),
        (torch.ones(500), random(500)),
    ],
)
def test_what_stays_true_or_was_not_is_not_told(before: Tensor, after: Tensor) -> None:
    assert lost(before, after) == []
