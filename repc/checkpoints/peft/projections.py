"""Frozen projections that a file has not, drawn again from their seed.

Each is as large as the largest of the adapted weights asks for.  The numbers are those of torch's generator on a CPU,
one draw after another, in the order of PEFT.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Generator, Tensor

Draw: TypeAlias = Callable[[Mapping[str, Any], int, int], Mapping[str, Tensor] | None]
"""The shared tensors by the settings and the largest numbers of outputs and of inputs; none where they do not tell."""


def draw_vera(settings: Mapping[str, Any], outputs: int, inputs: int) -> Mapping[str, Tensor]:
    """The projections of VeRA: `vera_A` [r, inputs] and `vera_B` [outputs, r]."""
    generator, r = _seeded(settings), settings["r"]
    return {"vera_A": _uniform((r, inputs), generator), "vera_B": _uniform((outputs, r), generator)}


def draw_pvera(settings: Mapping[str, Any], outputs: int, inputs: int) -> Mapping[str, Tensor]:
    """Those of PVeRA: `pvera_A` [2 r, inputs] and `pvera_B` [outputs, r]."""
    generator, r = _seeded(settings), settings["r"]
    return {"pvera_A": _uniform((2 * r, inputs), generator), "pvera_B": _uniform((outputs, r), generator)}


def draw_randlora(settings: Mapping[str, Any], outputs: int, inputs: int) -> Mapping[str, Tensor] | None:
    """Those of RandLoRA: `randlora_A` [r, 1, small] and `randlora_B` [large, bases, r], of standard deviation one.

    Where they are not sparse they are drawn in a precision that PEFT chooses by the machine at hand.
    """
    if not (settings["sparse"] or settings["very_sparse"]):
        return None
    small, large, r = min(outputs, inputs), max(outputs, inputs), settings["r"]
    generator, part = _seeded(settings), 1 / (2 * (math.sqrt(small) if settings["very_sparse"] else 3))
    a, b = (_signs(torch.rand(n, generator=generator), part) for n in ((r, 1, small), (large, math.ceil(small / r), r)))
    return {"randlora_A": a / a.std(), "randlora_B": b / b.std()}


def _seeded(settings: Mapping[str, Any]) -> Generator:
    return Generator().manual_seed(settings["projection_prng_key"])


def _uniform(shape: Sequence[int], generator: Generator) -> Tensor:
    """He et al. 2015: the variance is two over the number of inputs."""
    bound = math.sqrt(6 / shape[1])
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def _signs(drawn: Tensor, part: float) -> Tensor:
    """Minus one and one for a part each of the values, and zero for the others."""
    return (drawn > 1 - part).float() - (drawn < part).float()
