"""Spatial axes in another size, each by itself.

Without `align_corners` elements are cells, of which the outermost continue beyond the border; with it, the centres of
the outermost cells stay where they are.  All as `torch.nn.functional.interpolate` does it, without antialiasing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor
from struct import pack, unpack

from repc.ir.dims import Dim, Shape, divide, evaluate
from repc.ir.field import Field, T
from repc.ir.operator import Operator
from repc.ir.types import ShapeError, TensorType
from repc.ops.operands import along

MODES = ("nearest", "linear", "cubic")
CUBIC = Fraction(-3, 4)
"""The coefficient of the cubic kernel (Keys 1981) that torch and ONNX use."""


@dataclass(frozen=True)
class Upsample(Operator):
    """x (n, c, spatial…) in another size: `scale` times as large, or of the given `size`.

    By repetition, by linear interpolation, or in two dimensions by cubic convolution.
    """

    name = "upsample"
    required = ("x",)

    scale: tuple[Fraction, ...]
    mode: str = "nearest"
    align_corners: bool = False
    size: Shape = ()

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        x = given["x"]
        axes = len(self.scale or self.size)
        if bool(self.scale) == bool(self.size) or x.rank != axes + 2 or x.rank > 5:
            raise ShapeError(
                f"{x} does not have a batch, a channel and {axes} spatial axes", "x", "give one scale or one size each"
            )
        self._check_scale()
        known = self.mode in MODES and not (self.align_corners and self.mode == "nearest")
        if not known or (self.mode == "cubic" and axes != 2):
            raise ShapeError(
                f"there is no upsampling {self.mode!r} of {axes} axes with align_corners={self.align_corners}",
                "x",
                "use nearest, or linear with or without align_corners, or cubic for two axes",
            )
        sizes = self.sizes(x.shape[2:])
        if any(isinstance(size, int) and size < 1 for size in sizes):
            raise ShapeError(f"{x} has nothing left in the size {[str(s) for s in sizes]}", "x", "use a larger scale")
        return x.with_shape((*x.shape[:2], *sizes))

    def sizes(self, given: Shape) -> Shape:
        """The spatial sizes of the result."""
        scaled = (size * s.numerator // s.denominator for size, s in zip(given, self.scale, strict=False))
        return self.size or tuple(scaled)

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        x = given["x"]
        sizes = [evaluate(size, {}) for size in self.sizes(field.shape(x)[2:])]
        for axis, count in enumerate(sizes, start=2):
            size = field.shape(x)[axis]
            if self.mode == "nearest":
                step = 1 / self.scale[axis - 2] if self.scale else None
                x = field.take(x, axis, [floor(i * step) for i in range(count)] if step else nearest(size, count))
            else:
                x = _interpolate(field, x, axis, self._places(axis - 2, size, count), self.mode)
        return x

    def at(self, sizes: Mapping[str, int]) -> Upsample:
        return replace(self, size=tuple(evaluate(size, sizes) for size in self.size))

    def whole_factors(self, given: Shape) -> tuple[int, ...] | None:
        """By how much each axis grows, where that is a whole number whatever the free sizes are."""
        pairs = zip(given, self.sizes(given), strict=True)
        scale = self.scale or [Fraction(_ratio(size, count)) for size, count in pairs]
        return tuple(int(s) for s in scale) if all(s >= 1 and s.denominator == 1 for s in scale) else None

    def _check_scale(self) -> None:
        """A result of the size of x is a copy to torch even where the factor is not one, so that those are refused."""
        shown = [str(factor) for factor in self.scale]
        if any(factor <= 0 for factor in self.scale):
            raise ShapeError(f"scale {shown} leaves nothing", "x", "use factors above zero")
        whole = all(1 in (factor.numerator, factor.denominator) for factor in self.scale)
        if (self.mode == "nearest" and not whole) or any(1 < factor < Fraction(3, 2) for factor in self.scale):
            raise ShapeError(
                f"what {self.mode} upsampling makes of scale {shown} depends on how a runtime rounds",
                "x",
                "use whole factors or divisors, or give the size",
            )

    def _places(self, axis: int, size: int, count: int) -> list[Fraction]:
        """Where the elements of the result lie among those of x."""
        if self.align_corners:
            return [Fraction(i * (size - 1), max(count - 1, 1)) for i in range(count)]
        step = 1 / self.scale[axis] if self.scale else Fraction(size, count)
        places = [step * (i + Fraction(1, 2)) - Fraction(1, 2) for i in range(count)]
        return places if self.mode == "cubic" else [max(place, Fraction(0)) for place in places]


def nearest(size: int, count: int) -> list[int]:
    """The element that each of `count` elements repeats; torch computes that in float32, and so must this."""
    step = _float32(size / count)
    return [min(floor(_float32(i * step)), size - 1) for i in range(count)]


def _float32(x: float) -> float:
    (rounded,) = unpack("f", pack("f", x))
    return rounded


def _ratio(size: Dim, count: Dim) -> int:
    """count / size where that is a whole number, else 0."""
    found = divide(count, size)
    return found if isinstance(found, int) else 0


def _interpolate(field: Field[T], x: T, axis: int, places: Sequence[Fraction], mode: str) -> T:
    """The values at places between the elements of an axis, each a weighted mean of its neighbours."""
    shape = field.shape(x)
    taps = (-1, 0, 1, 2) if mode == "cubic" else (0, 1)
    total: T | None = None
    for tap in taps:
        indices = [min(max(floor(place) + tap, 0), shape[axis] - 1) for place in places]
        weights = [_weight(place - floor(place) - tap, mode) for place in places]
        weight = along(field, field.constant((len(places),), weights), axis, len(shape))
        term = field.mul(field.take(x, axis, indices), weight)
        total = term if total is None else field.add(total, term)
    assert total is not None, "there are taps"
    return total


def _weight(distance: Fraction, mode: str) -> Fraction:
    """How much an element counts at a distance from it."""
    d = abs(distance)
    if mode == "linear":
        return 1 - d
    if d <= 1:
        return (CUBIC + 2) * d**3 - (CUBIC + 3) * d**2 + 1
    return CUBIC * (d**3 - 5 * d**2 + 8 * d - 4)
