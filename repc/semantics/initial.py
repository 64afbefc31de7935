"""Initial values: named distributions that take their shape from the weight they initialise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from repc.diagnostics import Span
from repc.ir.expr import Expr, apply
from repc.ir.types import TensorType
from repc.ops.constant import Eye, Fill, Random
from repc.semantics import errors
from repc.semantics.errors import Rejected
from repc.semantics.values import Initialiser, Number, Value, as_number, describe

INITIALISERS: Mapping[str, Mapping[str, Number | None]] = {
    "zeros": {},
    "ones": {},
    "identity": {},
    "uniform": {"low": None, "high": None},
    "normal": {"mean": 0, "std": 1},
    "kaiming_uniform": {"a": 0},
    "kaiming_normal": {"a": 0},
    "xavier_uniform": {"gain": 1},
}
"""Name → arguments with their defaults, as in torch.nn.init; kaiming takes the fan-in of the weight's shape."""


def call(name: str, positional: Sequence[Value], keywords: Mapping[str, Value], span: Span) -> Initialiser:
    """An initialiser with its arguments, if any; raises `Rejected` where they do not fit."""
    signature = INITIALISERS[name]
    if len(positional) > len(signature):
        raise Rejected(errors.argument_count(span, name, 0, len(signature), len(positional)))
    given = dict(zip(signature, positional, strict=False))
    for keyword, value in keywords.items():
        if keyword not in signature:
            raise Rejected(errors.unknown_keyword(span, name, keyword, list(signature)))
        if keyword in given:
            raise Rejected(errors.given_twice(span, name, keyword))
        given[keyword] = value
    arguments: dict[str, Number] = {}
    for key, default in signature.items():
        value = given.get(key, default)
        if value is None:
            raise Rejected(errors.missing_argument(span, name, key))
        number = as_number(value)
        if number is None:
            raise Rejected(errors.bad_attribute(span, name, key, "a number", describe(value)))
        arguments[key] = number
    if arguments.get("std", 0) < 0:
        raise Rejected(errors.bad_attribute(span, name, "std", "at least 0", describe(given["std"])))
    if arguments.get("low", 0) > arguments.get("high", 0):
        raise Rejected(errors.bad_attribute(span, name, "high", "at least `low`", describe(given["high"])))
    return Initialiser(name, arguments)


def build(value: Initialiser, type: TensorType, span: Span) -> Expr:
    """The initial value as an expression of the given type."""
    shape, arguments = type.concrete(), value.arguments
    match value.function:
        case "zeros" | "ones":
            return apply(Fill(shape, Fraction(int(value.function == "ones")), type.dtype))
        case "identity":
            if len(shape) != 2 or shape[0] != shape[1]:
                raise Rejected(errors.not_square(span, type))
            return apply(Eye(shape[0]))
        case "uniform":
            return apply(Random("uniform", shape, float(arguments["low"]), float(arguments["high"])))
        case "normal":
            return apply(Random("normal", shape, float(arguments["mean"]), float(arguments["std"])))
        case _:
            return _scaled(value, shape, type, span)


def _scaled(value: Initialiser, shape: tuple[int, ...], type: TensorType, span: Span) -> Expr:
    """The distributions whose width follows from the fans of the weight."""
    arguments = value.arguments
    fan_in, fan_out = _fans(shape, type, span)
    if value.function == "xavier_uniform":
        bound = float(arguments["gain"]) * math.sqrt(6 / max(1, fan_in + fan_out))
        return apply(Random("uniform", shape, -bound, bound))
    std = math.sqrt(2 / (1 + float(arguments["a"]) ** 2)) / math.sqrt(max(1, fan_in))
    if value.function == "kaiming_normal":
        return apply(Random("normal", shape, 0.0, std))
    return apply(Random("uniform", shape, -math.sqrt(3) * std, math.sqrt(3) * std))


def _fans(shape: tuple[int, ...], type: TensorType, span: Span) -> tuple[int, int]:
    if len(shape) < 2:
        raise Rejected(errors.no_fan(span, type))
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field
