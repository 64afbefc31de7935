"""Whether two weight expressions are equal by the laws of arithmetic, without values.

An expression is brought to a normal form: a polynomial whose terms are products of atoms with rational exponents, so
that ``m·g / sqrt(v + ε)`` and ``m·(g·rsqrt(v + ε))`` are one.  Whatever is no arithmetic is an atom.  Unequal normal
forms prove nothing, which is the safe side.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from fractions import Fraction
from typing import TypeAlias

from repc.ir.expr import Expr, Param
from repc.ops.arithmetic import Detach, Divide, Multiply, Sum
from repc.ops.constant import Fill
from repc.ops.function import Function
from repc.ops.shape import Expand, Reshape

Monomial: TypeAlias = frozenset[tuple[Hashable, Fraction]]
Polynomial: TypeAlias = dict[Monomial, Fraction]

POWERS = {"sqrt": Fraction(1, 2), "rsqrt": Fraction(-1, 2), "reciprocal": Fraction(-1)}
ONE: Monomial = frozenset()
LIMIT = 200  # what has more parts is not looked into


def equal(a: Expr, b: Expr) -> bool:
    """Whether both are the same vector or scalar for all parameters, as far as arithmetic shows."""
    known: dict[Expr, Polynomial] = {}
    return a.type == b.type and _normal(a, known) == _normal(b, known)


def _normal(expr: Expr, known: dict[Expr, Polynomial]) -> Polynomial:
    if expr not in known:
        known[expr] = _made(expr, known) if len(known) < LIMIT else _atom(expr)
    return known[expr]


def _made(expr: Expr, known: dict[Expr, Polynomial]) -> Polynomial:
    if isinstance(expr, Param):
        return _atom(expr.path)
    args = expr.args
    match expr.op if _vector(expr) else None:
        case Fill(value=value):
            return {ONE: value} if value else {}
        case Detach() | Reshape() | Expand() if _vector(args["x"]):
            return _normal(args["x"], known)
        case Sum(coefficients=coefficients):
            terms = zip(coefficients, args.values(), strict=True)
            return _collected((m, c * f) for c, arg in terms for m, f in _normal(arg, known).items())
        case Multiply():
            return _product(_normal(args["a"], known), _normal(args["b"], known))
        case Divide():
            return _product(_normal(args["a"], known), _power(_normal(args["b"], known), Fraction(-1)))
        case Function(function=name) if name in POWERS:
            return _power(_normal(args["x"], known), POWERS[name])
        case _:
            parts = ((name, arg.type, frozenset(_normal(arg, known).items())) for name, arg in args.items())
            return _atom((expr.op, *parts))


def _vector(expr: Expr) -> bool:
    """Whether it has at most one axis, so that it does not matter which; of others it does, and they are atoms."""
    return sum(size != 1 for size in expr.type.shape) <= 1


def _atom(key: Hashable) -> Polynomial:
    return {frozenset({(key, Fraction(1))}): Fraction(1)}


def _collected(terms: Iterable[tuple[Monomial, Fraction]]) -> Polynomial:
    found: Polynomial = {}
    for monomial, factor in terms:
        found[monomial] = found.get(monomial, Fraction(0)) + factor
    return {monomial: factor for monomial, factor in found.items() if factor}


def _product(a: Polynomial, b: Polynomial) -> Polynomial:
    return _collected((_times(m, n), c * d) for m, c in a.items() for n, d in b.items())


def _times(a: Monomial, b: Monomial) -> Monomial:
    powers: dict[Hashable, Fraction] = dict(a)
    for atom, power in b:
        powers[atom] = powers.get(atom, Fraction(0)) + power
    return frozenset((atom, power) for atom, power in powers.items() if power)


def _power(a: Polynomial, power: Fraction) -> Polynomial:
    """A single term to a power, term by term where that is exact; else the whole is an atom."""
    if len(a) == 1:
        ((monomial, factor),) = a.items()
        if power == -1:
            return {frozenset((atom, -p) for atom, p in monomial): 1 / factor}
    return {frozenset({(frozenset(a.items()), power)}): Fraction(1)}
