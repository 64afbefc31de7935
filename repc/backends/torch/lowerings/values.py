"""Elementwise functions, arithmetic, reductions and constants."""

from __future__ import annotations

from fractions import Fraction

from repc.backends.torch.lowerings.shape import along
from repc.backends.torch.text import Given, Value, call, literal, texts
from repc.evaluate.dtypes import DTYPES
from repc.ops.arithmetic import Affine, Detach, Divide, Multiply, Sum
from repc.ops.binary import Binary, Not, Where
from repc.ops.constant import Constant, Eye, Fill
from repc.ops.function import Cast, Dropout, Function, LogSoftmax, PRelu, Softmax
from repc.ops.order import Order
from repc.ops.reduce import Reduce
from repc.ops.select import CumSum

# How each function is called; further arguments are the operator's attributes in their order.
FUNCTIONS = {
    "relu": "F.relu({})",
    "relu6": "F.relu6({})",
    "leaky_relu": "F.leaky_relu({}, {})",
    "elu": "F.elu({}, {})",
    "gelu": "F.gelu({})",
    "gelu_tanh": 'F.gelu({}, approximate="tanh")',
    "silu": "F.silu({})",
    "sigmoid": "torch.sigmoid({})",
    "tanh": "torch.tanh({})",
    "hardswish": "F.hardswish({})",
    "hardsigmoid": "F.hardsigmoid({})",
    "softplus": "F.softplus({})",
    "mish": "F.mish({})",
    "exp": "torch.exp({})",
    "log": "torch.log({})",
    "sqrt": "torch.sqrt({})",
    "rsqrt": "torch.rsqrt({})",
    "abs": "torch.abs({})",
    "sin": "torch.sin({})",
    "cos": "torch.cos({})",
    "atan": "torch.atan({})",
    "erf": "torch.erf({})",
    "clip": "torch.clamp({}, {}, {})",
    "pow": "torch.pow({}, {})",
    "sign": "torch.sign({})",
    "floor": "torch.floor({})",
    "ceil": "torch.ceil({})",
    "round": "torch.round({})",
    "selu": "F.selu({})",
    "celu": "F.celu({}, {})",
    "softsign": "F.softsign({})",
    "logsigmoid": "F.logsigmoid({})",
}

OPERATORS = {
    "equal": "==",
    "not_equal": "!=",
    "less": "<",
    "less_equal": "<=",
    "greater": ">",
    "greater_equal": ">=",
    "power": "**",
}

REDUCTIONS = {
    "sum": "torch.sum",
    "mean": "torch.mean",
    "norm": "torch.linalg.vector_norm",
    "var": "torch.var",
    "max": "torch.amax",
    "min": "torch.amin",
}


def function(op: Function, given: Given) -> str:
    """By the table above."""
    return FUNCTIONS[op.function].format(given["x"].text, *map(literal, op.attributes))


def binary(op: Binary, given: Given) -> str:
    """``a < b``, ``torch.maximum(a, b)``"""
    a, b = given["a"].text, given["b"].text
    return f"{a} {OPERATORS[op.function]} {b}" if op.function in OPERATORS else call(f"torch.{op.function}", a, b)


def logical_not(op: Not, given: Given) -> str:
    """``~x``"""
    return f"~{given['x'].text}"


def where(op: Where, given: Given) -> str:
    """``torch.where(condition, a, b)``"""
    return call("torch.where", *texts(given, *op.required))


def cast(op: Cast, given: Given) -> str:
    """``x.to(torch.int64)``; the compute type is that of `like`."""
    return call(f"{given['x'].text}.to", dtype(op.dtype))


def prelu(op: PRelu, given: Given) -> str:
    """``F.prelu(x, weight)``"""
    return call("F.prelu", given["x"].text, given["weight"].text)


def softmax(op: Softmax, given: Given) -> str:
    """``torch.softmax(x, dim)``"""
    return call("torch.softmax", given["x"].text, dim=op.axis)


def log_softmax(op: LogSoftmax, given: Given) -> str:
    """``torch.log_softmax(x, dim)``"""
    return call("torch.log_softmax", given["x"].text, dim=op.axis)


def unchanged(op: Dropout | Detach, given: Given) -> str:
    """In evaluation nothing happens."""
    return given["x"].text


def dropout_training(op: Dropout, given: Given, training: str) -> str:
    """``F.dropout(x, rate, training)``"""
    return call("F.dropout", given["x"].text, literal(op.rate), training)


def detach_training(op: Detach, given: Given, training: str) -> str:
    """``x.detach()``"""
    return call(f"{given['x'].text}.detach")


def total(op: Sum, given: Given) -> str:
    """``a - b + 0.5 * c``"""
    first, *rest = (
        _term(value, coefficient) for coefficient, value in zip(op.coefficients, given.values(), strict=True)
    )
    return first + "".join(f" - {term[1:]}" if term.startswith("-") else f" + {term}" for term in rest)


def multiply(op: Multiply, given: Given) -> str:
    """``a * b``"""
    return f"{given['a'].text} * {given['b'].text}"


def divide(op: Divide, given: Given) -> str:
    """``a / b``"""
    return f"{given['a'].text} / {given['b'].text}"


def affine(op: Affine, given: Given) -> str:
    """``x * weight[:, None, None] + bias[:, None, None]``"""
    x = given["x"]
    text = x.text
    if "weight" in given:
        text += f" * {along(given['weight'].text, op.axis, x.type.rank)}"
    if "bias" in given:
        text += f" + {along(given['bias'].text, op.axis, x.type.rank)}"
    return text


def reduce(op: Reduce, given: Given) -> str:
    """``torch.sum(x, dim)`` and the like."""
    if not op.axes:  # torch takes that for all axes
        return call("torch.abs", given["x"].text) if op.kind == "norm" else given["x"].text
    axes = op.axes[0] if len(op.axes) == 1 else op.axes
    correction = op.correction if op.kind == "var" else None
    return call(REDUCTIONS[op.kind], given["x"].text, dim=axes, correction=correction, keepdim=op.keep or None)


def cumsum(op: CumSum, given: Given) -> str:
    """``torch.cumsum(x, dim)``"""
    return call("torch.cumsum", given["x"].text, dim=op.axis)


def order(op: Order, given: Given) -> str:
    """``torch.argmax(x, dim, keepdim=True)``, or the first of a stable sort: topk takes any of equal elements."""
    x = given["x"]
    if op.count == 1:
        return call("torch.argmax" if op.largest else "torch.argmin", x.text, dim=op.axis, keepdim=True)
    places = call("torch.argsort", x.text, dim=op.axis, descending=op.largest or None, stable=True)
    return places if op.count == x.type.shape[op.axis] else f"{places}.narrow({op.axis}, 0, {op.count})"


def fill(op: Fill, given: Given) -> str:
    """``like.new_full(shape, value)``: `like` is the tensor whose element type and device constants take."""
    kind = "" if op.dtype == "f32" else f", dtype={dtype(op.dtype)}"
    return f"like.new_full({literal(op.shape)}, {literal(op.value)}{kind})"


def constant(op: Constant, given: Given) -> str:
    """``like.new_tensor(values).reshape(shape)``, in full precision before it is rounded to the type of `like`."""
    values = f"like.new_tensor({literal(tuple(float(value) for value in op.values))})"
    return values if len(op.shape) == 1 else f"{values}.reshape({literal(op.shape)})"


def eye(op: Eye, given: Given) -> str:
    """``torch.eye(size)``, of the type and on the device of `like`."""
    return f"torch.eye({op.size}, dtype=like.dtype, device=like.device)"


def dtype(name: str) -> str:
    """An element type; the compute type is that of `like`."""
    return "like.dtype" if name == "f32" else str(DTYPES[name])


def _term(value: Value, coefficient: Fraction) -> str:
    if abs(coefficient) == 1:
        return value.text if coefficient > 0 else f"-{value.text}"
    return f"{literal(coefficient)} * {value.text}"
