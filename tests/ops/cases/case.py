"""One operator applied to concrete operands, with the result that is to come out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from hypothesis import strategies as st
from torch import Tensor

from repc.ir.operator import Operator

Draw = st.DrawFn


@dataclass
class Case:
    """`free` names the axes of each operand whose sizes may be unknown when types are inferred."""

    op: Operator
    operands: Mapping[str, Tensor]
    expected: Tensor
    free: Mapping[str, Sequence[int]] = field(default_factory=dict)


def integers(draw: Draw, low: int, high: int) -> int:
    return draw(st.integers(low, high))


def several(draw: Draw, count: int, low: int, high: int) -> tuple[int, ...]:
    return tuple(draw(st.lists(st.integers(low, high), min_size=count, max_size=count)))


def flag(draw: Draw) -> bool:
    return draw(st.booleans())


def tensor(draw: Draw, *shape: int) -> Tensor:
    """Normal numbers; the seed is what hypothesis varies."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def optional(draw: Draw, name: str, *shape: int) -> dict[str, Tensor]:
    return {name: tensor(draw, *shape)} if flag(draw) else {}
