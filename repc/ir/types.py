"""The type of a value: a shape of sizes, possibly symbolic, and an element type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from repc.ir.dims import Dim, Shape

DTYPES = ("f16", "bf16", "f32", "f64", "i64", "bool", "i8", "i16", "i32", "u8", "c64")
REAL = ("f16", "bf16", "f32", "f64")
WHOLE = ("i8", "i16", "i32", "i64", "u8")


class ShapeError(Exception):
    """An operator does not accept its operands; `operand` names the one at fault, `remedy` says what to do."""

    def __init__(self, reason: str, operand: str | None = None, remedy: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.operand = operand
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class TensorType:
    """``f32[b, c, h, w]``; f32 stands for the compute type, which is chosen when weights are emitted."""

    shape: Shape
    dtype: str = "f32"

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(str(d) for d in self.shape)}]"

    @property
    def rank(self) -> int:
        return len(self.shape)

    def with_shape(self, shape: Sequence[Dim]) -> TensorType:
        return TensorType(tuple(shape), self.dtype)

    def concrete(self) -> tuple[int, ...]:
        """The shape of a weight; `ShapeError` where a size is symbolic."""
        sizes = [dim for dim in self.shape if isinstance(dim, int)]
        if len(sizes) != len(self.shape):
            raise ShapeError(f"{self} has a size that is not known when weights are computed", remedy="pin the size")
        return tuple(sizes)


def broadcast(types: Sequence[TensorType]) -> TensorType:
    """The type of an elementwise operation, by the rules of numpy; sizes that cannot be shown equal are an error."""
    rank = max(t.rank for t in types)
    shape: list[Dim] = []
    for axis in range(-rank, 0):
        sizes = [t.shape[axis] for t in types if -axis <= t.rank]
        wide = [size for size in sizes if size != 1]
        if any(size != wide[0] for size in wide[1:]):
            shown = " and ".join(str(t) for t in types)
            raise ShapeError(
                f"{shown} do not broadcast: {wide[0]} against {wide[-1]} on axis {axis}",
                remedy="make the sizes equal; free sizes are equal where they have one name, or are pinned",
            )
        shape.append(wide[0] if wide else 1)
    return types[0].with_shape(shape)
