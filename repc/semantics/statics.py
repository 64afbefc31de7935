"""Arithmetic of static values: exact numbers, sizes, strings and lists."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from repc.diagnostics import Span
from repc.ir.dims import Polynomial
from repc.semantics import errors
from repc.semantics.errors import Rejected
from repc.semantics.values import Number, Value, describe

MAX_INTEGER = 2**63
MAX_LIST = 100_000


def is_static(value: Value) -> bool:
    """Whether a value is gone after elaboration; a list is static where everything in it is."""
    if isinstance(value, tuple):
        return all(is_static(item) for item in value)
    return value is None or isinstance(value, (int, Fraction, str, Polynomial))


def binary(operator: str, left: Value, right: Value, span: Span) -> Value:
    """``left operator right``; raises `Rejected` where the operator is not defined."""
    if operator in ("==", "!="):
        return _equal(left, right, span) is (operator == "==")
    if isinstance(left, tuple) and isinstance(right, tuple) and operator == "+":
        return _limited_list(left + right, span)
    if isinstance(left, (int, Fraction, Polynomial)) and isinstance(right, (int, Fraction, Polynomial)):
        if isinstance(left, Polynomial) or isinstance(right, Polynomial):
            return _sizes(operator, left, right, span)
        return _numbers(operator, left, right, span)
    raise Rejected(errors.bad_operands(span, operator, describe(left), describe(right)))


def exact(value: Number, span: Span) -> Number:
    """An integer where the number is one; rejected where it has grown beyond all use."""
    if isinstance(value, int) and -MAX_INTEGER < value < MAX_INTEGER:
        return value
    fraction = Fraction(value)
    if abs(fraction.numerator) >= MAX_INTEGER**4 or fraction.denominator >= MAX_INTEGER**4:
        raise Rejected(errors.too_large(span))
    if fraction.denominator != 1:
        return fraction
    if abs(fraction.numerator) >= MAX_INTEGER:
        raise Rejected(errors.too_large(span))
    return fraction.numerator


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
    if operator in _COMPARE:
        raise Rejected(errors.undecided(span, str(left), operator, str(right)))
    if isinstance(left, Fraction) or isinstance(right, Fraction):
        raise Rejected(errors.bad_operands(span, operator, describe(left), describe(right)))
    if operator in ("+", "-", "*"):
        return _SIZE_ARITHMETIC[operator](left, right)
    if operator in ("//", "%") and isinstance(left, Polynomial):
        if isinstance(right, int) and right > 0:
            return left // right if operator == "//" else left % right
        quotient = left.divide(right) if isinstance(right, Polynomial) else None
        if quotient is not None:
            return quotient if operator == "//" else 0
    raise Rejected(errors.bad_operands(span, operator, describe(left), describe(right)))


def _equal(left: Value, right: Value, span: Span) -> bool:
    if isinstance(left, Polynomial) or isinstance(right, Polynomial):
        if left == right:
            return True
        raise Rejected(errors.undecided(span, str(left), "==", str(right)))
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return left == right


def _limited_list(items: tuple[Value, ...], span: Span) -> tuple[Value, ...]:
    if len(items) > MAX_LIST:
        raise Rejected(errors.list_too_long(span, MAX_LIST))
    return items


_COMPARE: dict[str, Callable[[Number, Number], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_ARITHMETIC: dict[str, Callable[[Number, Number], Number]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
}
_SIZE_ARITHMETIC: dict[str, Callable[[int | Polynomial, int | Polynomial], int | Polynomial]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}


# ---------------------------------------------------------------- functions of static values


def call(name: str, values: Sequence[Value], span: Span) -> Value:
    """A static function; raises `Rejected` where the arguments do not fit."""
    least, most, function = STATIC_FUNCTIONS[name]
    if not least <= len(values) <= most:
        raise Rejected(errors.argument_count(span, name, least, most, len(values)))
    try:
        return function(values, span)
    except (TypeError, ValueError, OverflowError, AttributeError):
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
    value, count = values
    if isinstance(value, tuple):
        return value
    if not isinstance(count, int) or not 0 <= count <= MAX_LIST:
        raise ValueError
    return (value,) * count


def _sum(values: Sequence[Value], span: Span) -> Value:
    return exact(sum((_number(v) for v in _list(values[0])), Fraction(0)), span)


def _product(values: Sequence[Value], span: Span) -> Value:
    total: Value = 1
    for value in _list(values[0]):
        total = binary("*", total, value, span)
    return total


def _extreme(pick: Callable[[Sequence[Number]], Number]) -> Callable[[Sequence[Value], Span], Value]:
    def choose(values: Sequence[Value], span: Span) -> Value:
        return pick([_number(v) for v in (_list(values[0]) if len(values) == 1 else values)])

    return choose


def _rounded(function: Callable[[Fraction], int]) -> Callable[[Sequence[Value], Span], Value]:
    return lambda values, span: exact(function(Fraction(_number(values[0]))), span)


def _number(value: Value) -> Number:
    if isinstance(value, bool) or not isinstance(value, (int, Fraction)):
        raise TypeError
    return value


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
    "sum": (1, 1, _sum),
    "product": (1, 1, _product),
    "spread": (2, 2, _spread),
}
