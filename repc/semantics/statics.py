"""Arithmetic of static values: exact numbers, sizes, strings and lists."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import reduce
from operator import add, ge, gt, le, lt, mod, mul, sub
from typing import Any

from repc.diagnostics import Span
from repc.ir.dims import Dim, Polynomial
from repc.semantics import errors
from repc.semantics.errors import Rejected
from repc.semantics.values import Number, Value, as_dim, as_integer, as_number, describe

MAX_INTEGER = 2**63
MAX_LIST = 10_000


def binary(operator: str, left: Value, right: Value, span: Span) -> Value:
    """``left operator right``; raises `Rejected` where the operator is not defined."""
    if operator in ("==", "!="):
        return _equal(left, right, span) is (operator == "==")
    if isinstance(left, tuple) and isinstance(right, tuple) and operator == "+":
        return limited_list(left + right, span)
    a, b = _numeric(left), _numeric(right)
    if a is not None and b is not None:
        if isinstance(a, Polynomial) or isinstance(b, Polynomial):
            return _sizes(operator, a, b, span)
        return _numbers(operator, a, b, span)
    raise Rejected(errors.bad_operands(span, operator, describe(left), describe(right)))


def limited_list(items: tuple[Value, ...], span: Span) -> tuple[Value, ...]:
    """The list itself; rejected where it holds more than anyone needs, in lists of lists above all."""
    count, waiting = 0, [items]
    while waiting:
        inner = waiting.pop()
        count += len(inner)
        if count > MAX_LIST:
            raise Rejected(errors.list_too_long(span, MAX_LIST))
        waiting.extend(item for item in inner if isinstance(item, tuple))
    return items


def exact(value: Number, span: Span) -> Number:
    """An integer where the number is one and a size could be; rejected where it has grown beyond all use."""
    small = abs(value) < MAX_INTEGER
    limit = MAX_INTEGER if isinstance(value, int) else MAX_INTEGER**4
    if abs(value.numerator) >= limit or value.denominator >= limit:
        raise Rejected(errors.too_large(span))
    return value.numerator if value.denominator == 1 and small else value


def _numeric(value: Value) -> Number | Polynomial | None:
    return value if isinstance(value, Polynomial) else as_number(value)


def _numbers(operator: str, left: Number, right: Number, span: Span) -> Value:
    if operator in _COMPARE:
        return _COMPARE[operator](left, right)
    if operator in ("/", "//", "%") and right == 0:
        raise Rejected(errors.division_by_zero(span))
    if operator == "/":
        return exact(Fraction(left) / Fraction(right), span)
    if operator in _ARITHMETIC:
        return exact(_ARITHMETIC[operator](left, right), span)
    raise Rejected(errors.bad_operands(span, operator, describe(left), describe(right)))


def _sizes(operator: str, left: Number | Polynomial, right: Number | Polynomial, span: Span) -> Value:
    if not isinstance(left, Fraction) and not isinstance(right, Fraction):
        if operator in _COMPARE:
            return _COMPARE[operator](_difference(left, right, span), 0)
        if operator in ("+", "-", "*"):
            return _ARITHMETIC[operator](left, right)
        if operator in ("//", "%") and right == 0:
            raise Rejected(errors.division_by_zero(span))
        if operator in ("//", "%") and isinstance(left, Polynomial):
            if isinstance(right, int) and right > 0:
                return _ARITHMETIC[operator](left, right)
            quotient = left.divide(right)
            if quotient is not None:
                return quotient if operator == "//" else 0
    raise Rejected(errors.bad_operands(span, operator, describe(left), describe(right)))


def _difference(left: Dim, right: Dim, span: Span) -> int:
    """How far two sizes are apart; rejected where that depends on an input."""
    difference = left - right
    if not isinstance(difference, int):
        raise Rejected(errors.undecided(span, str(left), str(right)))
    return difference


def _equal(left: Value, right: Value, span: Span) -> bool:
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(_equal(a, b, span) for a, b in zip(left, right, strict=True))
    if isinstance(left, Polynomial) or isinstance(right, Polynomial):
        a, b = as_dim(left), as_dim(right)
        return a is not None and b is not None and _difference(a, b, span) == 0
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return left == right


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {"+": add, "-": sub, "*": mul, "//": lambda a, b: a // b, "%": mod}


# ---------------------------------------------------------------- functions of static values


def call(name: str, values: Sequence[Value], span: Span) -> Value:
    """A static function; raises `Rejected` where the arguments do not fit."""
    least, most, function = STATIC_FUNCTIONS[name]
    if not least <= len(values) <= most:
        raise Rejected(errors.argument_count(span, name, least, most, len(values)))
    try:
        return function(values, span)
    except (TypeError, ValueError):
        raise Rejected(errors.bad_static_arguments(span, name, [describe(v) for v in values])) from None


def _sqrt(values: Sequence[Value], span: Span) -> Value:
    number = _number(values[0])
    if number < 0:
        raise Rejected(errors.negative_root(span, describe(values[0])))
    top, bottom = math.isqrt(number.numerator), math.isqrt(number.denominator)
    if Fraction(top * top, bottom * bottom) == number:
        return exact(Fraction(top, bottom), span)
    return Fraction(math.sqrt(number))


def _spread(values: Sequence[Value], span: Span) -> Value:
    value, count = values[0], as_integer(values[1])
    if isinstance(value, tuple):
        return value
    if count is None or count < 0:
        raise ValueError
    return limited_list((value,) * min(count, MAX_LIST + 1), span)


def _folded(operator: str, start: int) -> Callable[[Sequence[Value], Span], Value]:
    def fold(values: Sequence[Value], span: Span) -> Value:
        return reduce(lambda total, value: binary(operator, total, value, span), _list(values[0]), start)

    return fold


def _extreme(pick: Callable[[Sequence[Number]], Number]) -> Callable[[Sequence[Value], Span], Value]:
    def choose(values: Sequence[Value], span: Span) -> Value:
        return pick([_number(v) for v in (_list(values[0]) if len(values) == 1 else values)])

    return choose


def _rounded(function: Callable[[Fraction], int]) -> Callable[[Sequence[Value], Span], Value]:
    return lambda values, span: exact(function(Fraction(_number(values[0]))), span)


def _number(value: Value) -> Number:
    number = as_number(value)
    if number is None:
        raise TypeError
    return number


def _list(value: Value) -> tuple[Value, ...]:
    if not isinstance(value, tuple):
        raise TypeError
    return value


STATIC_FUNCTIONS: Mapping[str, tuple[int, int, Callable[[Sequence[Value], Span], Value]]] = {
    "sqrt": (1, 1, _sqrt),
    "abs": (1, 1, lambda values, span: abs(_number(values[0]))),
    "int": (1, 1, _rounded(math.trunc)),
    "floor": (1, 1, _rounded(math.floor)),
    "ceil": (1, 1, _rounded(math.ceil)),
    "round": (1, 1, _rounded(round)),
    "min": (1, 64, _extreme(min)),
    "max": (1, 64, _extreme(max)),
    "len": (1, 1, lambda values, span: len(_list(values[0]))),
    "sum": (1, 1, _folded("+", 0)),
    "product": (1, 1, _folded("*", 1)),
    "spread": (2, 2, _spread),
}
