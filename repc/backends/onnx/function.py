"""Elementwise functions and softmax."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import pi, sqrt
from typing import TypeAlias

from repc.backends.onnx.emitter import Emitter, Value
from repc.backends.onnx.shape import along
from repc.ir.types import TensorType
from repc.ops.binary import Binary, Not, Where
from repc.ops.function import Cast, Dropout, Function, LogSoftmax, PRelu, Softmax

Form: TypeAlias = Callable[..., str]


def function(e: Emitter, op: Function, given: Mapping[str, Value]) -> str:
    """By the table below."""
    return FORMS[op.function](e, given["x"], *op.attributes)


def prelu(e: Emitter, op: PRelu, given: Mapping[str, Value]) -> str:
    """PRelu broadcasts its slope from the right, the channels are axis 1."""
    x, slope = given["x"], given["weight"]
    shared = slope.type.shape == (1,) or x.type.rank == 1
    return e.add("PRelu", x.name, slope.name if shared else along(e, slope, 1, x.type.rank))


def softmax(e: Emitter, op: Softmax, given: Mapping[str, Value]) -> str:
    """Softmax along one axis."""
    return e.add("Softmax", given["x"].name, axis=op.axis)


def dropout(e: Emitter, op: Dropout, given: Mapping[str, Value]) -> str:
    """The identity, in evaluation."""
    return given["x"].name


def log_softmax(e: Emitter, op: LogSoftmax, given: Mapping[str, Value]) -> str:
    """LogSoftmax along one axis."""
    return e.add("LogSoftmax", given["x"].name, axis=op.axis)


def cast(e: Emitter, op: Cast, given: Mapping[str, Value]) -> str:
    """Cast means the same, unless nothing changes."""
    x, to = given["x"], e.element(TensorType((), op.dtype))
    return x.name if e.element(x.type) == to else e.add("Cast", x.name, to=to)


def binary(e: Emitter, op: Binary, given: Mapping[str, Value]) -> str:
    """By the table below."""
    a, b = given["a"].name, given["b"].name
    if op.function == "not_equal":
        return e.add("Not", e.add("Equal", a, b))
    return e.add(BINARY[op.function], a, b)


def logical_not(e: Emitter, op: Not, given: Mapping[str, Value]) -> str:
    """Not means the same."""
    return e.add("Not", given["x"].name)


def where(e: Emitter, op: Where, given: Mapping[str, Value]) -> str:
    """Where means the same."""
    return e.add("Where", *(given[name].name for name in op.required))


def named(op_type: str, *attributes: str, **fixed: float) -> Form:
    """A function that ONNX has, with the names of its attributes there."""

    def form(e: Emitter, x: Value, *values: Fraction) -> str:
        return e.add(op_type, x.name, **dict(zip(attributes, map(float, values), strict=True)), **fixed)

    return form


def clip(e: Emitter, x: Value, low: Fraction, high: Fraction) -> str:
    """The bounds of Clip are inputs."""
    return e.add("Clip", x.name, e.filled(x, low), e.filled(x, high))


def relu6(e: Emitter, x: Value) -> str:
    """min(max(x, 0), 6)."""
    return clip(e, x, Fraction(0), Fraction(6))


def silu(e: Emitter, x: Value) -> str:
    """x · σ(x)."""
    return e.add("Mul", x.name, e.add("Sigmoid", x.name))


def hardswish(e: Emitter, x: Value) -> str:
    """x · max(0, min(1, x/6 + 1/2)); an operator from opset 14 on."""
    if e.opset >= 14:
        return e.add("HardSwish", x.name)
    return e.add("Mul", x.name, e.add("HardSigmoid", x.name, alpha=1 / 6, beta=0.5))


def mish(e: Emitter, x: Value) -> str:
    """x · tanh(softplus(x)); an operator from opset 18 on."""
    if e.opset >= 18:
        return e.add("Mish", x.name)
    return e.add("Mul", x.name, e.add("Tanh", e.add("Softplus", x.name)))


def rsqrt(e: Emitter, x: Value) -> str:
    """1 / √x."""
    return e.add("Reciprocal", e.add("Sqrt", x.name))


def gelu(e: Emitter, x: Value) -> str:
    """x/2 · (1 + erf(x/√2)); an operator from opset 20 on, before in the form that runtimes recognise."""
    if e.opset >= 20:
        return e.add("Gelu", x.name)
    tail = e.add("Erf", e.add("Div", x.name, e.filled(x, sqrt(2))))
    return half_product(e, x, tail)


def gelu_tanh(e: Emitter, x: Value) -> str:
    """x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³)))."""
    if e.opset >= 20:
        return e.add("Gelu", x.name, approximate="tanh")
    cube = e.add("Mul", e.add("Mul", e.add("Mul", x.name, x.name), x.name), e.filled(x, 0.044715))
    inner = e.add("Mul", e.add("Add", x.name, cube), e.filled(x, sqrt(2 / pi)))
    return half_product(e, x, e.add("Tanh", inner))


def power(e: Emitter, x: Value, exponent: Fraction) -> str:
    """x to a constant power."""
    return e.add("Pow", x.name, e.filled(x, exponent))


def celu(e: Emitter, x: Value, alpha: Fraction) -> str:
    """max(x, 0) + alpha·(exp(min(x, 0)/alpha) − 1); the operator of that name is for f32 only."""
    negative = e.add("Neg", e.add("Relu", e.add("Neg", x.name)))
    tail = e.add("Sub", e.add("Exp", e.add("Div", negative, e.filled(x, alpha))), e.filled(x, 1))
    return e.add("Add", e.add("Relu", x.name), e.add("Mul", tail, e.filled(x, alpha)))


def logsigmoid(e: Emitter, x: Value) -> str:
    """−softplus(−x)."""
    return e.add("Neg", e.add("Softplus", e.add("Neg", x.name)))


def half_product(e: Emitter, x: Value, tail: str) -> str:
    """x · (1 + tail) / 2."""
    return e.add("Mul", e.add("Mul", x.name, e.add("Add", tail, e.filled(x, 1))), e.filled(x, 0.5))


FORMS: dict[str, Form] = {
    "relu": named("Relu"),
    "relu6": relu6,
    "leaky_relu": named("LeakyRelu", "alpha"),
    "elu": named("Elu", "alpha"),
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "silu": silu,
    "sigmoid": named("Sigmoid"),
    "tanh": named("Tanh"),
    "hardswish": hardswish,
    "hardsigmoid": named("HardSigmoid", alpha=1 / 6, beta=0.5),
    "softplus": named("Softplus"),
    "mish": mish,
    "exp": named("Exp"),
    "log": named("Log"),
    "sqrt": named("Sqrt"),
    "rsqrt": rsqrt,
    "abs": named("Abs"),
    "sin": named("Sin"),
    "cos": named("Cos"),
    "atan": named("Atan"),
    "erf": named("Erf"),
    "clip": clip,
    "pow": power,
    "sign": named("Sign"),
    "floor": named("Floor"),
    "ceil": named("Ceil"),
    "round": named("Round"),
    "selu": named("Selu"),
    "celu": celu,
    "softsign": named("Softsign"),
    "logsigmoid": logsigmoid,
}

BINARY = {
    "maximum": "Max",
    "minimum": "Min",
    "power": "Pow",
    "equal": "Equal",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "logical_and": "And",
    "logical_or": "Or",
    "logical_xor": "Xor",
}
