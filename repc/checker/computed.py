"""Operators that take positions or sizes as operands, or count axes from the end: functions of what they are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias, cast

import torch
from torch import Tensor

from repc.checker.site import Site
from repc.evaluate.prime import PrimeField
from repc.ir.field import Field, T
from repc.ir.operator import Operator
from repc.ir.types import TensorType
from repc.ops import CumSum, Function, GroupNorm, Order, Pad, Reduce, Upsample
from repc.ops.resample import CUBIC

Meaning: TypeAlias = Callable[..., Tensor]
"""Of the field, the site and the operands, None where one is missing."""

PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}
RESIZED = {
    ("nearest", "asymmetric", "floor"),
    *((mode, places, "") for mode in ("linear", "cubic") for places in ("align_corners", "half_pixel")),
}
"""How Resize takes elements from their places."""
MOST_AXES = 64


@dataclass(frozen=True, eq=False)
class Computed(Operator):
    """An operator by its meaning."""

    name = "computed"
    variadic = True

    meaning: Meaning
    site: Site

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        return given["0"]

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        values = iter(given[str(i)] for i in range(len(given)))
        operands = [next(values) if name else None for name in self.site.proto.input]
        return cast("T", self.meaning(field, self.site, *operands))


@dataclass(frozen=True, eq=False)
class Literal(Operator):
    """A constant of the file; floats are the rationals that they stand for."""

    name = "literal"

    value: Tensor
    rationals: tuple[Fraction, ...]

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        return TensorType(tuple(self.value.shape))

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        real = self.value.is_floating_point()
        return field.constant(tuple(self.value.shape), self.rationals) if real else cast("T", self.value)


def _reshape(f: PrimeField, site: Site, x: Tensor, shape: Tensor) -> Tensor:
    """0 takes the size at the same place, -1 is inferred."""
    return x.reshape([x.shape[i] if size == 0 else int(size) for i, size in enumerate(shape)])


def _expand(f: PrimeField, site: Site, x: Tensor, shape: Tensor) -> Tensor:
    return x + x.new_zeros(tuple(map(int, shape)))


def _slice(
    f: PrimeField, site: Site, x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor, steps: Tensor | None = None
) -> Tensor:
    for i, axis in enumerate(map(int, axes)):
        step = 1 if steps is None else int(steps[i])
        x = f.take(x, axis, range(*slice(int(starts[i]), int(ends[i]), step).indices(x.shape[axis])))
    return x


def _unsqueeze(f: PrimeField, site: Site, x: Tensor, axes: Tensor) -> Tensor:
    for axis in sorted(map(int, axes)):
        x = x.unsqueeze(axis)
    return x


def _squeeze(f: PrimeField, site: Site, x: Tensor) -> Tensor:
    return x.squeeze()


def _shape(f: PrimeField, site: Site, x: Tensor) -> Tensor:
    return torch.tensor(x.shape[site.int("start", 0) : site.int("end", MOST_AXES)], dtype=torch.int64)


def _mod(f: PrimeField, site: Site, a: Tensor, b: Tensor) -> Tensor:
    return a.remainder(b)


def _pad(f: PrimeField, site: Site, x: Tensor, pads: Tensor, value: Tensor | None = None) -> Tensor:
    widths = tuple((int(before), int(after)) for before, after in pads.reshape(2, -1).T)
    op = Pad(widths, PAD_MODES[site.text("mode", "constant")])
    return op.apply(f, {"x": x} if value is None else {"x": x, "value": value})


def _resize(
    f: PrimeField, site: Site, x: Tensor, _: None, scales: Tensor | None, sizes: Tensor | None = None
) -> Tensor:
    """The factors are the numbers that they are, not elements of the field."""
    mode, places = site.text("mode", "nearest"), site.text("coordinate_transformation_mode", "half_pixel")
    if (mode, places, site.text("nearest_mode", "")) not in RESIZED or (
        mode == "cubic" and site.rational("cubic_coeff_a") != CUBIC
    ):
        raise site.unknown(f"repc does not write {mode} at places by {places}")
    factors = () if scales is None else tuple(site.numbers(2)[2:])
    size = () if sizes is None else tuple(map(int, sizes[2:]))
    return Upsample(factors, mode, places == "align_corners", size).apply(f, {"x": x})


def _reduce(kind: str) -> Meaning:
    """The axes are an operand, or before opset 18 an attribute."""

    def reduced(f: PrimeField, site: Site, x: Tensor, axes: Tensor | None = None) -> Tensor:
        over = site.ints("axes") if axes is None else tuple(map(int, axes))
        return Reduce(kind, over, bool(site.int("keepdims", 1))).apply(f, {"x": x})

    return reduced


def _cumsum(f: PrimeField, site: Site, x: Tensor, axis: Tensor) -> Tensor:
    return CumSum(int(axis)).apply(f, {"x": x})


def _first(f: PrimeField, site: Site, x: Tensor) -> Tensor:
    axis = site.int("axis", 0)
    y = Order(axis, 1, site.proto.op_type == "ArgMax").apply(f, {"x": x})
    return y if site.int("keepdims", 1) else y.squeeze(axis)


def _top(f: PrimeField, site: Site, x: Tensor, count: Tensor) -> Tensor:
    return Order(site.int("axis", -1), int(count), bool(site.int("largest", 1))).apply(f, {"x": x})


def _trilu(f: PrimeField, site: Site, x: Tensor, k: Tensor) -> Tensor:
    return x.triu(int(k)) if site.int("upper", 1) else x.tril(int(k))


def _reciprocal(f: PrimeField, site: Site, x: Tensor) -> Tensor:
    return f.div(f.fill((), Fraction(1)), x)


def _clip(f: PrimeField, site: Site, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return f.function("minimum", (), f.function("maximum", (), x, low), high)


def _pow(f: PrimeField, site: Site, x: Tensor, exponent: Tensor) -> Tensor:
    constant = site.constant(1)
    if constant is None or constant.numel() > 1:
        return f.function("power", (), x, exponent)
    return Function("pow", site.numbers(1)).apply(f, {"x": x})


def _prelu(f: PrimeField, site: Site, x: Tensor, slope: Tensor) -> Tensor:
    """The slope broadcasts from the right."""
    positive = f.function("relu", (), x)
    return f.add(positive, f.mul(slope, f.sub(x, positive)))


def _softmax(f: PrimeField, site: Site, x: Tensor) -> Tensor:
    return f.softmax(x, site.int("axis", -1) % x.dim())


def _instance_norm(f: PrimeField, site: Site, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    op = GroupNorm(x.shape[1], site.rational("epsilon"))
    return op.apply(f, {"x": x, "weight": scale, "bias": bias})


COMPUTED: Mapping[str, Meaning] = {
    "Reshape": _reshape,
    "Expand": _expand,
    "Slice": _slice,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Shape": _shape,
    "Mod": _mod,
    "Pad": _pad,
    "Resize": _resize,
    "ReduceSum": _reduce("sum"),
    "ReduceMean": _reduce("mean"),
    "ReduceL2": _reduce("norm"),
    "ReduceMax": _reduce("max"),
    "ReduceMin": _reduce("min"),
    "CumSum": _cumsum,
    "ArgMax": _first,
    "ArgMin": _first,
    "TopK": _top,
    "Trilu": _trilu,
    "Reciprocal": _reciprocal,
    "Clip": _clip,
    "Pow": _pow,
    "PRelu": _prelu,
    "Softmax": _softmax,
    "InstanceNormalization": _instance_norm,
}
