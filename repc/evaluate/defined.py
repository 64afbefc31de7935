"""Functions that are made of others by definition, over any field that has tables, a sign and an absolute value.

Everything that is piecewise linear is made of the absolute value, a root of the square, and everything that is smooth
of a few tables: so the forms in which artifacts write a function have the value of the function itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import pi, sqrt
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

if TYPE_CHECKING:
    from repc.evaluate.prime import PrimeField

ROOT_2 = Fraction(sqrt(2))
ROOT_2_PI = Fraction(sqrt(2 / pi))
CUBIC = Fraction("0.044715")
"""The constants of gelu; irrational ones are known to every evaluator as these."""

Attributes: TypeAlias = tuple[Fraction, ...]
Definition: TypeAlias = Callable[..., Tensor]


def _times(f: PrimeField, x: Tensor, factor: Fraction) -> Tensor:
    return f.mul(x, f.fill((), factor))


def _plus(f: PrimeField, x: Tensor, term: Fraction) -> Tensor:
    return f.add(x, f.fill((), term))


def _abs(f: PrimeField, _: Attributes, x: Tensor) -> Tensor:
    return f.absolute(x)


def _sign(f: PrimeField, _: Attributes, x: Tensor) -> Tensor:
    return f.div(x, f.absolute(x))


def _maximum(f: PrimeField, _: Attributes, a: Tensor, b: Tensor) -> Tensor:
    if not a.is_floating_point():
        return torch.maximum(a, b)
    return _times(f, f.add(f.add(a, b), f.absolute(f.sub(a, b))), Fraction(1, 2))


def _minimum(f: PrimeField, _: Attributes, a: Tensor, b: Tensor) -> Tensor:
    if not a.is_floating_point():
        return torch.minimum(a, b)
    return f.sub(f.add(a, b), _maximum(f, (), a, b))


def _clip(f: PrimeField, bounds: Attributes, x: Tensor) -> Tensor:
    low, high = (f.fill((), bound) for bound in bounds)
    return _minimum(f, (), _maximum(f, (), x, low), high)


def _relu6(f: PrimeField, _: Attributes, x: Tensor) -> Tensor:
    return _clip(f, (Fraction(0), Fraction(6)), x)


def _relu(f: PrimeField, _: Attributes, x: Tensor) -> Tensor:
    return _maximum(f, (), x, f.fill((), Fraction(0)))


def _negative_part(f: PrimeField, x: Tensor) -> Tensor:
    return f.sub(x, _relu(f, (), x))


def _leaky_relu(f: PrimeField, slope: Attributes, x: Tensor) -> Tensor:
    return f.add(_relu(f, (), x), _times(f, _negative_part(f, x), *slope))


def _celu(f: PrimeField, alpha: Attributes, x: Tensor) -> Tensor:
    (scale,) = alpha
    tail = f.function("exp", (), _times(f, _negative_part(f, x), 1 / scale))
    return f.add(_relu(f, (), x), _times(f, _plus(f, tail, Fraction(-1)), scale))


def _elu(f: PrimeField, alpha: Attributes, x: Tensor) -> Tensor:
    tail = f.function("exp", (), _negative_part(f, x))
    return f.add(_relu(f, (), x), _times(f, _plus(f, tail, Fraction(-1)), *alpha))


def _sqrt(f: PrimeField, _: Attributes, x: Tensor) -> Tensor:
    return f.sqrt(x)


def _rsqrt(f: PrimeField, _: Attributes, x: Tensor) -> Tensor:
    return f.div(f.fill((), Fraction(1)), f.sqrt(x))


def _silu(f: PrimeField, _: Attributes, x: Tensor) -> Tensor:
    return f.mul(x, f.function("sigmoid", (), x))


def _hardsigmoid(f: PrimeField, _: Attributes, x: Tensor) -> Tensor:
    return _clip(f, (Fraction(0), Fraction(1)), _plus(f, _times(f, x, Fraction(1, 6)), Fraction(1, 2)))


def _hardswish(f: PrimeField, _: Attributes, x: Tensor) -> Tensor:
    return f.mul(x, _hardsigmoid(f, (), x))


def _mish(f: PrimeField, _: Attributes, x: Tensor) -> Tensor:
    return f.mul(x, f.function("tanh", (), f.function("softplus", (), x)))


def _logsigmoid(f: PrimeField, _: Attributes, x: Tensor) -> Tensor:
    return _times(f, f.function("softplus", (), _times(f, x, Fraction(-1))), Fraction(-1))


def _softsign(f: PrimeField, _: Attributes, x: Tensor) -> Tensor:
    return f.div(x, _plus(f, f.absolute(x), Fraction(1)))


def _half_product(f: PrimeField, x: Tensor, tail: Tensor) -> Tensor:
    return _times(f, f.mul(x, _plus(f, tail, Fraction(1))), Fraction(1, 2))


def _gelu(f: PrimeField, _: Attributes, x: Tensor) -> Tensor:
    return _half_product(f, x, f.function("erf", (), _times(f, x, 1 / ROOT_2)))


def _gelu_tanh(f: PrimeField, _: Attributes, x: Tensor) -> Tensor:
    cube = _times(f, f.mul(f.mul(x, x), x), CUBIC)
    return _half_product(f, x, f.function("tanh", (), _times(f, f.add(x, cube), ROOT_2_PI)))


def _pow(f: PrimeField, exponent: Attributes, x: Tensor) -> Tensor:
    """A product for a small whole exponent, a root for one half, else a table."""
    (power,) = exponent
    if power < 0:
        return f.div(f.fill((), Fraction(1)), _pow(f, (-power,), x))
    if power == Fraction(1, 2):
        return _sqrt(f, (), x)
    if power.denominator != 1 or power > MOST:
        return f.table("pow", exponent, x)
    found = f.fill(x.shape, Fraction(1))
    for _ in range(int(power)):
        found = f.mul(found, x)
    return found


def _less(f: PrimeField, _: Attributes, a: Tensor, b: Tensor) -> Tensor:
    return f.sign(f.sub(b, a)) == 1 if a.is_floating_point() else a < b


def _greater(f: PrimeField, _: Attributes, a: Tensor, b: Tensor) -> Tensor:
    return _less(f, (), b, a)


def _less_equal(f: PrimeField, _: Attributes, a: Tensor, b: Tensor) -> Tensor:
    return ~_less(f, (), b, a)


def _greater_equal(f: PrimeField, _: Attributes, a: Tensor, b: Tensor) -> Tensor:
    return ~_less(f, (), a, b)


def _plain(function: Callable[..., Tensor]) -> Definition:
    """A function that is the same in any field."""

    def definition(f: PrimeField, _: Attributes, *xs: Tensor) -> Tensor:
        return function(*xs)

    return definition


MOST = 8  # the largest power that is a product

DEFINED: Mapping[str, Definition] = {
    "abs": _abs,
    "sign": _sign,
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "relu6": _relu6,
    "clip": _clip,
    "maximum": _maximum,
    "minimum": _minimum,
    "elu": _elu,
    "celu": _celu,
    "sqrt": _sqrt,
    "rsqrt": _rsqrt,
    "pow": _pow,
    "silu": _silu,
    "mish": _mish,
    "hardsigmoid": _hardsigmoid,
    "hardswish": _hardswish,
    "logsigmoid": _logsigmoid,
    "softsign": _softsign,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "less": _less,
    "greater": _greater,
    "less_equal": _less_equal,
    "greater_equal": _greater_equal,
    "equal": _plain(torch.eq),
    "not_equal": _plain(torch.ne),
    "logical_and": _plain(torch.logical_and),
    "logical_or": _plain(torch.logical_or),
    "logical_xor": _plain(torch.logical_xor),
    "logical_not": _plain(torch.logical_not),
    "where": _plain(torch.where),
}
