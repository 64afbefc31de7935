"""Arithmetic and functions, element by element, and softmax."""

from __future__ import annotations

from math import inf, log

from repc.importers.torch.site import Number, Site, Unknown, Value, axis_of
from repc.importers.torch.table.shape import pieces
from repc.ir.types import REAL
from repc.ops import Binary, Divide, LogSoftmax, Not, PRelu, Softmax, Where


def unchanged(at: Site, x: Value, *rest: object) -> Value:
    """What is the identity in evaluation, or only about memory."""
    if x.type != at.result:
        raise Unknown(f"{at.result} of {x.type}")
    return x


def dropout(at: Site, x: Value, rate: float, training: bool) -> Value:
    """The identity in evaluation."""
    if training and rate:
        raise Unknown("dropout while training")
    return x


def converted(at: Site, x: Value, *rest: object) -> Value:
    """Another element type."""
    return at.cast(x, at.result.dtype)


def named(function: str, at: Site, x: Value) -> Value:
    """A function that has a name in repc, of one operand and without constants."""
    return at.function(function, at.cast(x, at.result.dtype))


# ------------------------------------------------------------ arithmetic


def add(at: Site, a: Value | Number, b: Value | Number, alpha: Number = 1) -> Value:
    """``a + alpha·b``"""
    if at.result.dtype not in REAL:
        raise Unknown(f"a sum of {at.result.dtype}")
    one, two = at.operands(a, b)
    return at.combine((1, one), (alpha, two))


def subtract(at: Site, a: Value | Number, b: Value | Number, alpha: Number = 1) -> Value:
    """``a - alpha·b``"""
    return add(at, a, b, -alpha)


def subtract_from(at: Site, a: Value, b: Value | Number, alpha: Number = 1) -> Value:
    """``b - alpha·a``"""
    return add(at, b, a, -alpha)


def multiply(at: Site, a: Value | Number, b: Value | Number) -> Value:
    """``a·b``; a number is a coefficient."""
    if at.result.dtype not in REAL:
        raise Unknown(f"a product of {at.result.dtype}")
    for x, factor in ((a, b), (b, a)):
        if isinstance(factor, Number) and not isinstance(x, Number):
            (operand,) = at.operands(x)
            return at.combine((factor, operand))
    return at.times(*at.operands(a, b))


def divide(at: Site, a: Value | Number, b: Value | Number, rounding: str | None = None) -> Value:
    """``a / b``; by a number it is the product with one over it."""
    if rounding is not None or at.result.dtype not in REAL:
        raise Unknown(f"a division of {at.result.dtype} rounded to {rounding}")
    one, two = at.operands(a, b)
    return at.add(Divide(), a=one, b=two)


def negate(at: Site, x: Value) -> Value:
    """``-x``"""
    return at.combine((-1, x))


def reciprocal(at: Site, x: Value) -> Value:
    """``1 / x``"""
    return divide(at, 1, x)


def square(at: Site, x: Value) -> Value:
    """``x·x``"""
    return at.times(x, x)


def power(at: Site, x: Value, exponent: Number) -> Value:
    """``x`` to a constant power, the common ones by their own names."""
    match exponent:
        case 1:
            return x
        case 2:
            return square(at, x)
        case 0.5 | -0.5:
            return at.function("sqrt" if exponent > 0 else "rsqrt", x)
        case -1:
            return reciprocal(at, x)
        case _:
            return at.function("pow", at.cast(x, at.result.dtype), exponent)


def addcmul(at: Site, x: Value, a: Value, b: Value, value: Number = 1) -> Value:
    """``x + value·a·b``"""
    return at.combine((1, x), (value, at.times(a, b)))


def lerp(at: Site, a: Value, b: Value, weight: Value | Number) -> Value:
    """``a + weight·(b - a)``"""
    if isinstance(weight, Number):
        return at.combine((1, a), (weight, at.combine((1, b), (-1, a))))
    return at.combine((1, a), (1, at.times(weight, at.combine((1, b), (-1, a)))))


def binary(function: str, at: Site, a: Value, b: Value | Number) -> Value:
    """A function of two operands: the larger one, a comparison, a logical one."""
    other = b.type.dtype if not isinstance(b, Number) else a.type.dtype
    if isinstance(b, float) and a.type.dtype not in REAL:
        other = "f32"
    dtype = a.type.dtype if a.type.dtype in REAL or other == "bool" else other
    one, two = at.operands(a, b, dtype=dtype)
    return at.add(Binary(function), a=one, b=two)


def logical(function: str, at: Site, a: Value, b: Value) -> Value:
    """``logical_and`` and the like, of anything that is true where it is not zero."""
    return at.add(Binary(function), a=at.cast(a, "bool"), b=at.cast(b, "bool"))


def is_nan(at: Site, x: Value) -> Value:
    """What is no number is not even equal to itself."""
    return at.add(Binary("not_equal"), a=x, b=x)


def compared_to_infinity(function: str, at: Site, x: Value) -> Value:
    """``isfinite`` and ``isinf``; what is no number is neither."""
    return binary(function, at, at.function("abs", x), inf)


def negated(at: Site, x: Value) -> Value:
    """``logical_not``"""
    return at.add(Not(), x=at.cast(x, "bool"))


def bitwise_not(at: Site, x: Value) -> Value:
    """``~x`` of true and false."""
    return bitwise("", at, x)


def bitwise(function: str, at: Site, *operands: Value | Number) -> Value:
    """``~``, ``&``, ``|`` and ``^`` of true and false; of whole numbers they are unknown."""
    if at.result.dtype != "bool":
        raise Unknown(f"the bits of {at.result.dtype}")
    values = at.operands(*operands)
    return at.add(Binary(function), a=values[0], b=values[1]) if function else at.add(Not(), x=values[0])


def where(at: Site, condition: Value, a: Value | Number, b: Value | Number) -> Value:
    """``torch.where``"""
    one, two = at.operands(a, b)
    return at.add(Where(), condition=condition, a=one, b=two)


def masked_fill(at: Site, x: Value, mask: Value, value: Value | Number) -> Value:
    """A value where the mask is true, and x elsewhere."""
    return where(at, mask, value, x)


# ------------------------------------------------------------ functions with constants


def clamp(at: Site, x: Value, low: Value | Number | None = None, high: Value | Number | None = None) -> Value:
    """Between two bounds, of which one may be missing."""
    if low is None or high is None:
        bound, function = (high, "minimum") if low is None else (low, "maximum")
        if bound is None:
            return x
        return binary(function, at, x, bound)
    if isinstance(low, Number) and isinstance(high, Number):
        return at.function("clip", x, low, high)
    return binary("minimum", at, binary("maximum", at, x, low), high)


def clamp_max(at: Site, x: Value, high: Value | Number) -> Value:
    """At most `high`."""
    return clamp(at, x, None, high)


def hardtanh(at: Site, x: Value, low: Number, high: Number) -> Value:
    """A clamp, or relu6 by that name."""
    return at.function("relu6", x) if (low, high) == (0, 6) else at.function("clip", x, low, high)


def gelu(at: Site, x: Value, approximate: str) -> Value:
    """Exact, or by tanh."""
    return at.function("gelu_tanh" if approximate == "tanh" else "gelu", x)


def leaky_relu(at: Site, x: Value, slope: Number) -> Value:
    """``x`` where it is positive, else ``slope·x``"""
    return at.function("leaky_relu", x, slope)


def elu(at: Site, x: Value, alpha: Number, scale: Number, input_scale: Number) -> Value:
    """Without the scales that only selu has."""
    if (scale, input_scale) != (1, 1):
        raise Unknown("elu with scales")
    return at.function("elu", x, alpha)


def celu(at: Site, x: Value, alpha: Number) -> Value:
    """``max(x, 0) + min(0, alpha·(exp(x / alpha) - 1))``"""
    return at.function("celu", x, alpha)


def softplus(at: Site, x: Value, beta: Number, threshold: Number) -> Value:
    """``log(1 + exp(x))``, which is x itself above the threshold, as far as one can see."""
    if (beta, threshold) != (1, 20):
        raise Unknown(f"softplus with beta {beta} and threshold {threshold}")
    return at.function("softplus", x)


def prelu(at: Site, x: Value, weight: Value) -> Value:
    """With one weight, or one for each channel."""
    return at.add(PRelu(), x=x, weight=weight)


def softmax(at: Site, x: Value, axis: int, *rest: object) -> Value:
    """``torch.softmax``; an element type that is asked for is that of the operand."""
    return at.add(Softmax(axis_of(x, axis)), x=at.cast(x, at.result.dtype))


def log_softmax(at: Site, x: Value, axis: int, *rest: object) -> Value:
    """``torch.log_softmax``"""
    return at.add(LogSoftmax(axis_of(x, axis)), x=at.cast(x, at.result.dtype))


def log1p(at: Site, x: Value) -> Value:
    """``log(1 + x)``"""
    return at.function("log", add(at, x, 1))


def threshold(at: Site, x: Value, limit: Number, value: Number) -> Value:
    """The value where ``x`` is at most the limit, else ``x``, which need not be a number."""
    return where(at, binary("less_equal", at, x, limit), value, x)


def hardshrink(at: Site, x: Value, width: Number) -> Value:
    """Zero between ``-width`` and ``width``."""
    return where(at, binary("less_equal", at, at.function("abs", x), width), 0, x)


def softshrink(at: Site, x: Value, width: Number) -> Value:
    """``x`` without the part of it between ``-width`` and ``width``."""
    return at.combine((1, x), (-1, at.function("clip", x, -width, width)))


def rrelu(at: Site, x: Value, low: Number, high: Number, training: bool, *rest: object) -> Value:
    """In evaluation a leaky relu, with the mean of the slopes."""
    if training:
        raise Unknown("rrelu while training")
    return leaky_relu(at, x, (low + high) / 2)


def log_to(base: int, at: Site, x: Value) -> Value:
    """The logarithm to a base."""
    return at.combine((1 / log(base), at.function("log", at.cast(x, at.result.dtype))))


def glu(at: Site, x: Value, axis: int) -> Value:
    """One half times the sigmoid of the other."""
    half = at.result.shape[axis]
    if not isinstance(half, int):
        raise Unknown(f"half of {x.type.shape[axis]}")
    one, two = pieces(at, x, axis, [half, half])
    return at.times(one, at.function("sigmoid", two))
