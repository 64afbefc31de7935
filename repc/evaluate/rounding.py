"""Rounding to a stored type, and how far stored tensors are from what they should be."""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor

LIMIT = 0.5  # units in the last place: what rounding once costs at most
RECOMPUTED = 2.0**-48  # of a tensor's largest magnitude: by how much two float64 evaluations may differ


def rounded(exact: Tensor, dtype: torch.dtype) -> Tensor:
    """A tensor in another type, to the nearest number.

    torch takes 64 bits to 16 by way of 32, and so rounds twice.  The detour does no harm if it rounds to odd: a number
    between two of 32 bits becomes the one whose last bit is set, which is never halfway between two of 16 bits
    (Boldo and Melquiond 2008, doi:10.1109/TC.2007.70819).
    """
    if exact.dtype != torch.float64 or dtype not in (torch.float16, torch.bfloat16):
        return exact.to(dtype)
    near = exact.to(torch.float32)
    bits = near.view(torch.int32)
    bits -= (near.double().abs() > exact.abs()).to(torch.int32)
    bits |= (near.double() != exact).to(torch.int32)
    return near.to(dtype)


def reals(value: Tensor) -> Tensor:
    """A tensor as numbers that have an order: complex ones as pairs, truth values as 0 and 1."""
    if value.is_complex():
        return torch.view_as_real(value)
    return value.to(torch.uint8) if value.dtype == torch.bool else value


def slack(exact: Tensor) -> float:
    """By how much two evaluations of a tensor in float64 may differ; infinity is the same in both."""
    return RECOMPUTED * float(exact.double().abs().nan_to_num_(posinf=0.0).max()) if exact.numel() else 0.0


def distances(stored: Tensor, exact: Tensor, slack: float) -> Tensor:
    """How far each element is from the exact value, beyond the slack, in units in the last place; integers in ones."""
    gap = (stored.double() - exact.double()).abs_().masked_fill_(stored.double() == exact, 0.0)  # infinity is itself
    if stored.is_floating_point():
        gap.sub_(slack).clamp_(min=0.0).div_(unit(exact, stored.dtype))
    return gap.nan_to_num_(nan=inf, posinf=inf)


def unit(exact: Tensor, dtype: torch.dtype) -> Tensor:
    """The distance of neighbouring numbers of a type, at each value."""
    info = torch.finfo(dtype)
    magnitude = exact.abs().clamp_(min=info.smallest_normal)
    return (torch.frexp(magnitude).exponent - 1).to(torch.float64).exp2_().mul_(info.eps)
