"""How far stored tensors are from what they should be."""

from __future__ import annotations

from math import inf

import torch

from repc.evaluate.rounding import distances, slack


def test_infinity_is_itself_and_far_from_all_else() -> None:
    exact = torch.tensor([1.0, -inf, inf, 2.0, -inf], dtype=torch.float64)
    stored = torch.tensor([1.0, -inf, inf, 3.0, inf])
    assert 0 < slack(exact) < 1e-13
    found = distances(stored, exact, slack(exact)).tolist()
    assert found[:3] == [0, 0, 0]
    assert found[3] > 1e6
    assert distances(torch.tensor([-1e30, inf]), exact[[1, 4]], slack(exact)).tolist() == [inf, inf]
