"""Nonlinearities and arithmetic.  The expected values are the textbook formulas, not the functions of torch.nn."""

import math
from fractions import Fraction

import torch
from hypothesis import strategies as st
from torch.nn import functional as F

from repc.ops import Affine, Detach, Divide, Dropout, Function, Multiply, PRelu, Softmax, Sum
from tests.ops.cases.case import Case, Draw, integers, optional, several, tensor


def each(function, x):
    return torch.tensor([function(value) for value in x.flatten()], dtype=x.dtype).reshape(x.shape)


FORMULAS = {
    "relu": lambda x: x * (x > 0),
    "relu6": lambda x: x.clamp(0, 6),
    "leaky_relu": lambda x, slope: torch.where(x > 0, x, slope * x),
    "elu": lambda x, alpha: torch.where(x > 0, x, alpha * torch.expm1(x)),
    "gelu": lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
    "tanh": lambda x: 1 - 2 / (torch.exp(2 * x) + 1),
    "hardswish": lambda x: x * (x + 3).clamp(0, 6) / 6,
    "hardsigmoid": lambda x: (x + 3).clamp(0, 6) / 6,
    "softplus": lambda x: x.clamp(min=0) + torch.log1p(torch.exp(-x.abs())),
    "mish": lambda x: x * torch.tanh(x.clamp(min=0) + torch.log1p(torch.exp(-x.abs()))),
    "exp": lambda x: math.e**x,
    "log": lambda x: 2 * torch.atanh((x - 1) / (x + 1)),
    "sqrt": lambda x: x**0.5,
    "rsqrt": lambda x: x**-0.5,
    "abs": lambda x: torch.where(x > 0, x, -x),
    "sin": lambda x: each(math.sin, x),
    "cos": lambda x: each(math.cos, x),
    "atan": lambda x: torch.atan2(x, torch.ones_like(x)),
    "erf": lambda x: each(math.erf, x),
    "clip": lambda x, low, high: torch.where(x < low, low, torch.where(x > high, high, x)),
    "pow": lambda x, exponent: torch.where(x > 0, 1.0, -1.0) * torch.exp(exponent * torch.log(x.abs())),
    "sign": lambda x: (x > 0).double() - (x < 0).double(),
    "floor": lambda x: each(math.floor, x),
    "ceil": lambda x: each(math.ceil, x),
    "round": lambda x: each(lambda value: round(float(value)), x),
    "selu": lambda x: SELU * torch.where(x > 0, x, SELU_ALPHA * torch.expm1(x)),
    "celu": lambda x, alpha: torch.where(x > 0, x, alpha * torch.expm1(x / alpha)),
    "softsign": lambda x: x / (1 + x.abs()),
    "logsigmoid": lambda x: x.clamp(max=0) - torch.log1p(torch.exp(-x.abs())),
}
SELU, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717  # Klambauer et al. 2017
ATTRIBUTES = {
    "leaky_relu": (Fraction(1, 100),),
    "elu": (Fraction(3, 2),),
    "clip": (Fraction(-1, 3), Fraction(5, 4)),
    "pow": (Fraction(3),),
    "celu": (Fraction(3, 4),),
}


@st.composite
def function(draw: Draw, name: str) -> Case:
    x = tensor(draw, 3, 40) * draw(st.sampled_from((1.0, 4.0, 12.0)))
    if name in ("log", "sqrt", "rsqrt"):
        x = x.abs() + 0.01
    attributes = ATTRIBUTES.get(name, ())
    expected = FORMULAS[name](x, *(torch.tensor(float(value), dtype=x.dtype) for value in attributes))
    return Case(Function(name, attributes), {"x": x}, expected, {"x": (0, 1)})


@st.composite
def prelu(draw: Draw) -> Case:
    x = tensor(draw, *several(draw, integers(draw, 1, 4), 1, 4))
    weight = tensor(draw, x.shape[1] if x.ndim > 1 and draw(st.booleans()) else 1)
    free = [axis for axis in range(x.ndim) if axis != 1]
    return Case(PRelu(), {"x": x, "weight": weight}, F.prelu(x, weight), {"x": free})


@st.composite
def softmax(draw: Draw) -> Case:
    x = tensor(draw, *several(draw, integers(draw, 1, 4), 1, 4))
    axis = integers(draw, 0, x.ndim - 1)
    expected = torch.exp(x) / torch.exp(x).sum(axis, keepdim=True)
    return Case(Softmax(axis), {"x": x}, expected, {"x": range(x.ndim)})


@st.composite
def identity(draw: Draw, op: Dropout | Detach) -> Case:
    x = tensor(draw, *several(draw, integers(draw, 0, 3), 1, 4))
    return Case(op, {"x": x}, x, {"x": range(x.ndim)})


def broadcasting(draw: Draw, count: int):
    """Tensors of different ranks and with axes of size one that broadcast."""
    shape = several(draw, integers(draw, 0, 3), 1, 4)
    found = []
    for _ in range(count):
        kept = shape[integers(draw, 0, len(shape)) :]
        found.append(tensor(draw, *(size if draw(st.booleans()) else 1 for size in kept)))
    return found


@st.composite
def weighted_sum(draw: Draw) -> Case:
    xs = broadcasting(draw, integers(draw, 1, 4))
    fractions = st.sampled_from((Fraction(1), Fraction(-1), Fraction(0), Fraction(2, 3)))
    coefficients = tuple(draw(fractions) for _ in xs)
    expected = sum((float(c) * x for c, x in zip(coefficients, xs, strict=True)), start=torch.zeros(()).double())
    operands = {str(i): x for i, x in enumerate(xs)}
    return Case(Sum(coefficients), operands, expected, {str(i): range(x.ndim) for i, x in enumerate(xs)})


@st.composite
def product(draw: Draw, op: Multiply | Divide) -> Case:
    a, b = broadcasting(draw, 2)
    expected = a * b if isinstance(op, Multiply) else a * b.reciprocal()
    return Case(op, {"a": a, "b": b}, expected, {"a": range(a.ndim), "b": range(b.ndim)})


@st.composite
def affine(draw: Draw) -> Case:
    x = tensor(draw, *several(draw, integers(draw, 1, 4), 1, 4))
    axis = integers(draw, 0, x.ndim - 1)
    vectors = {**optional(draw, "weight", x.shape[axis]), **optional(draw, "bias", x.shape[axis])}
    last = x.movedim(axis, -1) * vectors.get("weight", torch.ones(1)) + vectors.get("bias", torch.zeros(1))
    free = [i for i in range(x.ndim) if i != axis]
    return Case(Affine(axis), {"x": x, **vectors}, last.movedim(-1, axis), {"x": free})


CASES = {
    Function: st.sampled_from(sorted(FORMULAS)).flatmap(function),
    PRelu: prelu(),
    Softmax: softmax(),
    Dropout: identity(Dropout(0.5)),
    Sum: weighted_sum(),
    Multiply: product(Multiply()),
    Divide: product(Divide()),
    Affine: affine(),
    Detach: identity(Detach()),
}
