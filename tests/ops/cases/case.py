"""One operator applied to concrete operands, with the result that is to come out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import torch
from hypothesis import strategies as st
from torch import Tensor

from repc.evaluate.dtypes import DTYPES
from repc.ir.operator import Operator
from repc.ir.types import TensorType

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


def fraction(low: int, high: int) -> st.SearchStrategy[Fraction]:
    """A positive fraction that floating-point numbers have."""
    return st.integers(8 * low + 1, 8 * high).map(lambda n: Fraction(n, 8))


def type_of(x: Tensor) -> TensorType:
    """Floating-point tensors are of the compute type."""
    if x.is_floating_point():
        return TensorType(tuple(x.shape))
    return TensorType(tuple(x.shape), next(name for name, dtype in DTYPES.items() if dtype == x.dtype))


def agree(result: Tensor, expected: Tensor, tolerance: float, least: float = 0.0) -> bool:
    """Relative to the largest element, or to `least`; both must have the same shape, and the same kind of elements."""
    if result.shape != expected.shape or type_of(result).dtype != type_of(expected).dtype:
        return False
    if not expected.is_floating_point() or not expected.numel():
        return torch.equal(result, expected)
    return bool((result - expected).abs().max() <= tolerance * max(least, float(expected.abs().max())))
