"""Elementwise arithmetic, comparisons, reductions."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import reduce as chain
from typing import TypeAlias

from repc.importers.onnx.site import Site
from repc.importers.onnx.values import Misfit, Operand
from repc.ops.arithmetic import Divide, Multiply, Sum
from repc.ops.binary import Binary, Not, Where
from repc.ops.function import Cast, Function
from repc.ops.reduce import Reduce
from repc.ops.select import CumSum

Meaning: TypeAlias = Callable[[Site], Operand]


def add(site: Site) -> Operand:
    """Add."""
    return site.add_all(Sum((Fraction(1), Fraction(1))), site.all())


def sub(site: Site) -> Operand:
    """Sub."""
    return site.add_all(Sum((Fraction(1), Fraction(-1))), site.all())


def neg(site: Site) -> Operand:
    """Neg."""
    return site.add_all(Sum((Fraction(-1),)), site.all())


def total(site: Site) -> Operand:
    """Sum of any number of values."""
    return site.add_all(Sum((Fraction(1),) * len(site.node.input)), site.all())


def mean(site: Site) -> Operand:
    """Mean of any number of values."""
    count = len(site.node.input)
    return site.add_all(Sum((Fraction(1, count),) * count), [site.real(x) for x in site.all()])


def mul(site: Site) -> Operand:
    """Mul."""
    return site.add(Multiply(), a=site[0], b=site[1])


def div(site: Site) -> Operand:
    """Div of real numbers; of integers it would cut off the fraction."""
    return site.add(Divide(), a=site.real(site[0]), b=site[1])


def reciprocal(site: Site) -> Operand:
    """Reciprocal."""
    x = site.real(site[0])
    return site.add(Divide(), a=site.fill(1, x), b=x)


def power(site: Site) -> Operand:
    """Pow; an exponent that is known is a constant of the function."""
    x = site.real(site[0])
    try:
        (exponent,) = site.constant(1).flat
    except (Misfit, ValueError):
        return site.add(Binary("power"), a=x, b=site[1])
    return site.add(Function("pow", (Fraction(float(exponent)),)), x=x)


def binary(function: str) -> Meaning:
    """A function of two operands; Max and Min take any number."""

    def meaning(site: Site) -> Operand:
        return chain(lambda a, b: site.add(Binary(function), a=a, b=b), site.all())

    return meaning


def negated(site: Site) -> Operand:
    """Not."""
    return site.add(Not(), x=site[0])


def is_nan(site: Site) -> Operand:
    """IsNaN: what is no number is unequal to itself."""
    return site.add(Binary("not_equal"), a=site[0], b=site[0])


def where(site: Site) -> Operand:
    """Where."""
    condition, a, b = site.all()
    return site.add(Where(), condition=condition, a=a, b=b)


def cast(site: Site) -> Operand:
    """Cast; to the type that it has, it is nothing."""
    return _cast(site, site.attribute("to"))


def cast_like(site: Site) -> Operand:
    """CastLike."""
    return _cast(site, site.network.types.element(site.type(site[1]).dtype))


def _cast(site: Site, element: int) -> Operand:
    x, dtype = site[0], site.network.types.name(element)
    if dtype is None:
        raise Misfit("repc does not have that element type")
    return x if site.type(x).dtype == dtype else site.add(Cast(dtype), x=x)


def reduction(kind: str) -> Meaning:
    """A reduction, whose axes are an attribute or an input; without any it is over all of them."""

    def meaning(site: Site) -> Operand:
        x = site[0] if kind == "sum" else site.real(site[0])
        rank = site.type(x).rank
        axes = site.axes(1, rank)
        if not axes and site.attribute("noop_with_empty_axes", 0):
            return x
        keep = bool(site.attribute("keepdims", 1))
        return site.add(Reduce(kind, tuple(sorted(axes or range(rank))), keep), x=x)

    return meaning


def cumsum(site: Site) -> Operand:
    """CumSum from the beginning, each element included."""
    site.only(exclusive=0, reverse=0)
    x, (axis,) = site[0], site.ints(1)
    return site.add(CumSum(axis % site.type(x).rank), x=x)
