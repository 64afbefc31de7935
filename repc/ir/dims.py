"""Sizes of tensors: integers, or polynomials over the free dimensions of the inputs.

Parameters are concrete when a spec is elaborated, so the only unknown sizes are those of runtime inputs.  What
convolutions and pools make of them are floors of linear forms, for example ``⌊(h + 1)/2⌋``.  A size is kept in normal
form, a polynomial with integer coefficients over symbols and floors, so that two sizes are equal where their
normal forms are.  Floors obey ``⌊(d·q + r)/d⌋ = q + ⌊r/d⌋`` and ``⌊(⌊p/a⌋ + c)/b⌋ = ⌊(p + a·c)/(a·b)⌋``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import gcd
from typing import TypeAlias, Union

MAX_TERMS = 1_000
MAX_TEXT = 2_000
MAX_FACTOR = 2**63
"""A size is refused beyond these: no network needs it, and a spec could otherwise make one that fills the memory."""

Dim: TypeAlias = Union[int, "Polynomial"]
Shape: TypeAlias = tuple[Dim, ...]


class Symbol:
    """A free dimension of a runtime input, known by its name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        return sizes[self.name]

    def symbols(self) -> set[str]:
        return {self.name}


class Floor:
    """``⌊numerator / denominator⌋`` that does not simplify; `OverflowError` where its text grows too long."""

    __slots__ = ("_text", "denominator", "numerator")

    def __init__(self, numerator: Polynomial, denominator: int) -> None:
        self.numerator = numerator
        self.denominator = denominator
        inner = f"({numerator})" if len(numerator.terms) > 1 else str(numerator)
        self._text = f"({inner}//{denominator})"
        if len(self._text) > MAX_TEXT:
            raise OverflowError(f"a size of {len(self._text)} characters")

    def __str__(self) -> str:
        return self._text

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        return self.numerator.evaluate(sizes) // self.denominator

    def symbols(self) -> set[str]:
        return self.numerator.symbols()


Atom: TypeAlias = Symbol | Floor
Monomial: TypeAlias = tuple[Atom, ...]


class Polynomial:
    """A sum of integer multiples of products of atoms, in normal form; never a plain integer.

    Arithmetic raises `OverflowError` where a result has too many terms or too large a factor.
    """

    __slots__ = ("_key", "terms")

    def __init__(self, terms: dict[tuple[str, ...], tuple[Monomial, int]]) -> None:
        self.terms = terms
        self._key = tuple(sorted((key, value[1]) for key, value in terms.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Polynomial) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __add__(self, other: Dim) -> Dim:
        return _collect([*_terms(self), *_terms(other)])

    __radd__ = __add__

    def __mul__(self, other: Dim) -> Dim:
        if isinstance(other, Polynomial) and len(self.terms) * len(other.terms) > MAX_TERMS:
            raise OverflowError(f"a size of {len(self.terms)} times {len(other.terms)} terms")
        return _collect((a + b, m * n) for a, m in _terms(self) for b, n in _terms(other))

    __rmul__ = __mul__

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        return self + other * -1

    def __rsub__(self, other: Dim) -> Dim:
        return other + self * -1

    def __floordiv__(self, divisor: int) -> Dim:
        return _floor(self, divisor)

    def __mod__(self, divisor: int) -> Dim:
        return self - _floor(self, divisor) * divisor

    def __str__(self) -> str:
        text = " + ".join(_monomial_text(names, count) for names, count in self._key if names)
        constant = dict(self._key).get((), 0)
        return (text + (f" + {constant}" if constant else "")).replace("+ -", "- ")

    def __repr__(self) -> str:
        return f"Polynomial({self})"

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        """The value where every symbol has a size; `KeyError` names a symbol without one."""
        total = 0
        for monomial, count in self.terms.values():
            product = count
            for atom in monomial:  # a loop: torch.compile follows it where sizes are its own symbols, and not math.prod
                product *= atom.evaluate(sizes)
            total += product
        return total

    def symbols(self) -> set[str]:
        return {name for monomial, _ in self.terms.values() for atom in monomial for name in atom.symbols()}

    def divide(self, divisor: Dim) -> Dim | None:
        """The exact quotient by an integer or a single product of atoms, or None where there is none."""
        if isinstance(divisor, int):
            factor: Monomial = ()
            count = divisor
        elif len(divisor.terms) == 1:
            ((factor, count),) = divisor.terms.values()
        else:
            return 1 if self == divisor else None
        quotients: list[tuple[Monomial, int]] = []
        for monomial, coefficient in self.terms.values():
            rest = _without(monomial, factor)
            if rest is None or coefficient % count:
                return None
            quotients.append((rest, coefficient // count))
        return _collect(quotients)


def symbol(name: str, divisor: int = 1) -> Polynomial:
    """The size that is the free dimension `name`, stated to be a multiple of `divisor`: ``4*(h//4)``."""
    size = Polynomial({(name,): ((Symbol(name),), 1)}) // divisor * divisor
    assert isinstance(size, Polynomial)
    return size


def free_dimension(dim: Dim) -> str | None:
    """The free dimension that equals this size of an input: one that stands alone, or as a stated multiple."""
    if isinstance(dim, int) or len(dim.terms) != 1:
        return None
    name, *others = dim.symbols()
    ((_, count),) = dim.terms.values()
    return name if not others and count > 0 and dim == symbol(name, count) else None


def evaluate(dim: Dim, sizes: Mapping[str, int]) -> int:
    """The integer that a size is when the free dimensions are `sizes`."""
    return dim if isinstance(dim, int) else dim.evaluate(sizes)


def symbols(shape: Iterable[Dim]) -> set[str]:
    """The free dimensions that occur in a shape."""
    return {name for dim in shape if not isinstance(dim, int) for name in dim.symbols()}


def volume(shape: Iterable[Dim]) -> Dim:
    """The product of sizes."""
    total: Dim = 1
    for dim in shape:
        total = dim * total
    return total


def least(dim: Dim) -> int | None:
    """A size below which this one cannot be, as every free dimension is at least 1; None where none is known."""
    if isinstance(dim, int):
        return dim
    total = 0
    for monomial, count in dim.terms.values():
        product = count
        for atom in monomial:
            factor = 1 if isinstance(atom, Symbol) else _least_floor(atom)
            if factor is None or factor < 0:
                return None
            product *= factor
        if count < 0 and monomial:
            return None
        total += product
    return total


def divide(dim: Dim, divisor: Dim) -> Dim | None:
    """The exact quotient, or None where divisibility cannot be shown."""
    if divisor == 0:
        return None
    if isinstance(dim, int):
        return dim // divisor if isinstance(divisor, int) and dim % divisor == 0 else None
    return dim.divide(divisor)


def _terms(dim: Dim) -> list[tuple[Monomial, int]]:
    return [((), dim)] if isinstance(dim, int) else list(dim.terms.values())


def _collect(products: Iterable[tuple[Monomial, int]]) -> Dim:
    terms: dict[tuple[str, ...], tuple[Monomial, int]] = {}
    for monomial, count in products:
        ordered = tuple(sorted(monomial, key=str))
        key = tuple(str(atom) for atom in ordered)
        before = terms.get(key, (ordered, 0))[1]
        terms[key] = (ordered, before + count)
    kept = {key: value for key, value in terms.items() if value[1]}
    if not kept:
        return 0
    if len(kept) > MAX_TERMS or any(abs(value[1]) >= MAX_FACTOR for value in kept.values()):
        raise OverflowError(f"a size of {len(kept)} terms")
    if set(kept) == {()}:
        return kept[()][1]
    return Polynomial(kept)


def _floor(dim: Polynomial, divisor: int) -> Dim:
    whole = _collect((m, c // divisor) for m, c in dim.terms.values())
    rest = _collect((m, c % divisor) for m, c in dim.terms.values())
    if isinstance(rest, int):
        return whole + rest // divisor
    constant = sum(c for m, c in rest.terms.values() if not m)
    factor = gcd(divisor, *(c for m, c in rest.terms.values() if m))
    numerator = _collect((m, c // factor) for m, c in rest.terms.values())
    denominator = divisor // factor
    if denominator == 1:
        return whole + numerator
    assert isinstance(numerator, Polynomial)
    variable = [m for m, _ in numerator.terms.values() if m]
    inner = variable[0][0] if len(variable) == 1 and len(variable[0]) == 1 else None
    if isinstance(inner, Floor) and numerator.terms[(str(inner),)][1] == 1:
        nested = inner.numerator + inner.denominator * (constant // factor)
        return whole + nested // (inner.denominator * denominator)
    floor = Floor(numerator, denominator)
    return whole + Polynomial({(str(floor),): ((floor,), 1)})


def _least_floor(floor: Floor) -> int | None:
    bound = least(floor.numerator)
    return None if bound is None else bound // floor.denominator


def _without(monomial: Monomial, factor: Monomial) -> Monomial | None:
    rest = list(monomial)
    for atom in factor:
        found = next((i for i, other in enumerate(rest) if str(other) == str(atom)), None)
        if found is None:
            return None
        del rest[found]
    return tuple(rest)


def _monomial_text(names: tuple[str, ...], count: int) -> str:
    product = "*".join(names)
    if count == 1:
        return product
    return f"-{product}" if count == -1 else f"{count}*{product}"
