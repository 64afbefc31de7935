"""Pieces of the source tree: a spec that nobody wrote has no places in a text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import TypeAlias, cast

from repc.diagnostics import Source, Span
from repc.ir.dims import Dim, Floor, Polynomial, Symbol
from repc.syntax import tree

NOWHERE = Span(Source("", ""), 0, 0)

LOOP = "i"
"""What the index of a ``repeat`` is called."""

Literal: TypeAlias = "bool | int | float | Fraction | str | Polynomial | tuple[Literal, ...] | None"
"""What an attribute of an operator can be."""


def is_symbolic(value: object) -> bool:
    """Whether a value depends on a free dimension."""
    if isinstance(value, tuple):
        return any(map(is_symbolic, cast("tuple[object, ...]", value)))
    return isinstance(value, Polynomial)


def name(text: str) -> tree.Name:
    """A name."""
    return tree.Name(NOWHERE, text)


def integer(value: int) -> tree.Expr:
    """A whole number; a negative one has a sign."""
    return tree.Int(NOWHERE, value) if value >= 0 else negative(tree.Int(NOWHERE, -value))


def negative(expr: tree.Expr) -> tree.Expr:
    """``-expr``."""
    return tree.Unary(NOWHERE, "-", expr)


def binary(operator: str, left: tree.Expr, right: tree.Expr) -> tree.Expr:
    """``left operator right``."""
    return tree.Binary(NOWHERE, operator, left, right)


def call(
    function: str, arguments: Iterable[tree.Expr] = (), keywords: Mapping[str, tree.Expr] | None = None
) -> tree.Call:
    """``function(arguments, keyword=…)``."""
    given = [tree.Argument(NOWHERE, None, value) for value in arguments]
    given += [tree.Argument(NOWHERE, key, value) for key, value in (keywords or {}).items()]
    return tree.Call(NOWHERE, name(function), tuple(given))


def label(text: str) -> tree.Label | None:
    """A label, or none for an empty text."""
    return tree.Label(NOWHERE, text) if text else None


def literal(value: Literal) -> tree.Expr:
    """A constant; a free dimension stands under its own name."""
    match value:
        case bool() | None:
            return name({True: "true", False: "false", None: "none"}[value])
        case int():
            return integer(value)
        case float() | Fraction():
            return number(Fraction(repr(value)) if isinstance(value, float) else value)
        case str():
            return tree.String(NOWHERE, value)
        case Polynomial():
            return polynomial(value)
        case _:
            return tree.List(NOWHERE, tuple(literal(item) for item in value))


def number(value: Fraction) -> tree.Expr:
    """An exact number: an integer, a decimal where that is exact, else a quotient of integers of at most 18 digits."""
    if value < 0:
        return negative(number(-value))
    if value.denominator == 1:
        return integer(value.numerator)
    text = repr(float(value))
    if Fraction(text) == value:
        return tree.Float(NOWHERE, value, text)
    expr, denominator = integer(value.numerator), value.denominator
    while denominator > 1:
        factor = next((f for f in (2**59, denominator) if denominator % f == 0), denominator)
        expr, denominator = binary("/", expr, integer(factor)), denominator // factor
    return expr


def polynomial(dim: Dim) -> tree.Expr:
    """A size as its formula over the free dimensions."""
    if isinstance(dim, int):
        return integer(dim)
    total: tree.Expr | None = None
    for monomial, count in sorted(dim.terms.values(), key=lambda term: not term[0]):
        term = _product([_atom(atom) for atom in monomial], abs(count))
        if total is None:
            total = term if count > 0 else negative(term)
        else:
            total = binary("+" if count > 0 else "-", total, term)
    assert total is not None
    return total


def _product(factors: list[tree.Expr], count: int) -> tree.Expr:
    product = integer(count) if count != 1 or not factors else factors.pop(0)
    for factor in factors:
        product = binary("*", product, factor)
    return product


def _atom(atom: Symbol | Floor) -> tree.Expr:
    if isinstance(atom, Symbol):
        return name(atom.name)
    return binary("//", polynomial(atom.numerator), integer(atom.denominator))
