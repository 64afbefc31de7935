"""What operators ask of their operands, and how they speak of it when they do not get it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from repc.ir.dims import Dim
from repc.ir.field import Field, T
from repc.ir.types import WHOLE, ShapeError, TensorType


def of_rank(given: Mapping[str, TensorType], operand: str, rank: int, user: str) -> TensorType:
    """The operand, which must have this many axes."""
    found = given[operand]
    if found.rank != rank:
        raise ShapeError(
            f"{user} takes {operand} with {rank} axes, not {found}", operand, "reshape it, or use another operator"
        )
    return found


def with_channels(given: Mapping[str, TensorType], user: str) -> tuple[TensorType, Dim]:
    """The operand x (n, c, …) and its number of channels."""
    x = given["x"]
    if x.rank < 2:
        raise ShapeError(f"{user} takes x with a batch axis and a channel axis, not {x}", "x", "reshape it")
    return x, x.shape[1]


def vectors(given: Mapping[str, TensorType], operands: Sequence[str], size: Dim, what: str) -> None:
    """Every one of these operands that is there must have the shape [size]."""
    for operand in operands:
        if operand in given and given[operand].shape != (size,):
            raise ShapeError(
                f"{operand} is {given[operand]}, and there are {size} {what}", operand, f"make it [{size}]"
            )


def one_dtype(given: Mapping[str, TensorType]) -> None:
    """Arithmetic is done in one element type; nothing is converted silently."""
    first, *others = given.items()
    for operand, type in others:
        if type.dtype != first[1].dtype:
            raise ShapeError(
                f"{_spoken(first[0])} is {first[1].dtype} and {_spoken(operand)} is {type.dtype}",
                operand,
                "give both one element type",
            )


def _spoken(operand: str) -> str:
    """An operand by its name, or by its number from one on."""
    return f"operand {int(operand) + 1}" if operand.isdecimal() else operand


def check_axes(axes: Sequence[int], x: TensorType) -> None:
    """Axes are counted from zero, each at most once."""
    for axis in axes:
        if not 0 <= axis < x.rank:
            raise ShapeError(f"{x} has no axis {axis}", "x", f"axes are 0 to {x.rank - 1}")
    if len(set(axes)) != len(axes):
        raise ShapeError(f"an axis occurs twice in {list(axes)}", "x", "name every axis once")


def positions(given: Mapping[str, TensorType], axis: int) -> tuple[TensorType, TensorType]:
    """The operands x, which has this axis, and `index`, which holds positions along it."""
    x, index = given["x"], given["index"]
    check_axes((axis,), x)
    if index.dtype not in WHOLE:
        raise ShapeError(f"positions are whole numbers, not {index}", "index", "cast them to i64")
    return x, index


def numbered(given: Mapping[str, T]) -> list[T]:
    """The operands of a variadic operator in order."""
    return [given[str(i)] for i in range(len(given))]


def along(field: Field[T], vector: T, axis: int, rank: int) -> T:
    """A vector seen as a tensor of that rank, so that it broadcasts along one axis."""
    (size,) = field.shape(vector)
    return field.reshape(vector, [size if i == axis else 1 for i in range(rank)])


def weighted(field: Field[T], x: T, axis: int, rows: Sequence[Sequence[Fraction]]) -> T:
    """x times a constant matrix along one axis."""
    rank = len(field.shape(x))
    matrix = field.constant((len(rows), len(rows[0])), [value for row in rows for value in row])
    order = [i for i in range(rank) if i != axis]
    product = field.matmul(field.permute(x, (*order, axis)), field.permute(matrix, (1, 0)))
    return field.permute(product, [rank - 1 if i == axis else order.index(i) for i in range(rank)])
