"""Weight expressions in one word each, for whoever derives weights from weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from repc.ir.dims import Dim
from repc.ir.expr import Apply, Expr, apply, apply_all
from repc.ops.arithmetic import Divide, Multiply, Sum
from repc.ops.constant import Eye, Fill
from repc.ops.function import Function
from repc.ops.linear import MatMul
from repc.ops.reduce import Reduce
from repc.ops.select import Take
from repc.ops.shape import Concat, Expand, Pad, Permute, Reshape, Slice


def add(*terms: Expr) -> Expr:
    """The sum of the terms."""
    return combine([(Fraction(1), term) for term in terms])


def sub(a: Expr, b: Expr) -> Expr:
    """a − b."""
    return combine([(Fraction(1), a), (Fraction(-1), b)])


def combine(terms: Iterable[tuple[Fraction, Expr]]) -> Expr:
    """The sum of the terms, each times its coefficient."""
    coefficients, exprs = zip(*terms, strict=True)
    return apply_all(Sum(coefficients), exprs)


def scale(a: Expr, coefficient: Fraction) -> Expr:
    """a times a constant."""
    return a if coefficient == 1 else combine([(coefficient, a)])


def mul(a: Expr, b: Expr) -> Expr:
    """a · b, element by element."""
    return apply(Multiply(), a=a, b=b)


def div(a: Expr, b: Expr) -> Expr:
    """a / b, element by element."""
    return apply(Divide(), a=a, b=b)


def matmul(a: Expr, b: Expr) -> Expr:
    """The matrix product."""
    return apply(MatMul(), a=a, b=b)


def rsqrt(a: Expr) -> Expr:
    """1 / sqrt(a)."""
    return apply(Function("rsqrt"), x=a)


def reduce(a: Expr, kind: str, axes: Sequence[int], keep: bool = False) -> Expr:
    """The sum, mean or norm of a over some axes."""
    return apply(Reduce(kind, tuple(axes), keep), x=a)


def reshape(a: Expr, shape: Sequence[Dim]) -> Expr:
    """a in another shape; a itself where it has that shape, and one reshape where it was reshaped before."""
    if isinstance(a, Apply) and isinstance(a.op, Reshape):
        a = a.args["x"]
    return a if a.type.shape == tuple(shape) else apply(Reshape(tuple(shape)), x=a)


def permute(a: Expr, axes: Sequence[int]) -> Expr:
    """a with its axes in another order; a itself where that is its own."""
    return a if list(axes) == list(range(a.type.rank)) else apply(Permute(tuple(axes)), x=a)


def expand(a: Expr, shape: Sequence[Dim]) -> Expr:
    """a repeated to a shape; a itself where it has that shape."""
    return a if a.type.shape == tuple(shape) else apply(Expand(tuple(shape)), x=a)


def along(a: Expr, axis: int, rank: int) -> Expr:
    """A vector as a tensor of that rank, so that it broadcasts along one axis."""
    (size,) = a.type.shape
    return reshape(a, [size if i == axis else 1 for i in range(rank)])


def concat(parts: Sequence[Expr], axis: int) -> Expr:
    """The parts one after another; a single part is itself."""
    return parts[0] if len(parts) == 1 else apply_all(Concat(axis), parts)


def pad(a: Expr, widths: Sequence[tuple[int, int]]) -> Expr:
    """a with zeros around it; a itself where all widths are zero."""
    return apply(Pad(tuple(widths)), x=a) if any(any(pair) for pair in widths) else a


def take(a: Expr, axis: int, start: int, stop: int) -> Expr:
    """The part of an axis from `start` until before `stop`; a itself where that is the whole axis."""
    return a if (start, stop) == (0, a.type.shape[axis]) else apply(Slice(axis, start, stop), x=a)


def pick(a: Expr, axis: int, places: Sequence[int]) -> Expr:
    """The elements at some places of an axis, as a part of the axis where they follow each other."""
    if places and list(places) == list(range(places[0], places[-1] + 1)):
        return take(a, axis, places[0], places[-1] + 1)
    return apply(Take(axis, tuple(places)), x=a)


def fill(shape: Sequence[int], value: Fraction | int) -> Expr:
    """A constant tensor of one value."""
    return apply(Fill(tuple(shape), Fraction(value)))


def eye(size: int) -> Expr:
    """The identity matrix."""
    return apply(Eye(size))
