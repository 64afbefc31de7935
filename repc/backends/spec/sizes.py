"""How the numbers of a block follow from each other: widths from the sizes of its inputs, and from its parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from repc.backends.spec.terms import binary, integer, name
from repc.ir.dims import Dim, divide
from repc.syntax import tree

Column: TypeAlias = Sequence[Dim]
"""A size of a block in each of its calls."""

DIVISORS = range(2, 65)


def express(column: Column, known: Mapping[str, Column], depth: int = 3) -> tree.Expr | None:
    """A size as a formula of known ones that holds in every call; None where none is found.

    Tried are a known size, its multiples and quotients, products of two or three, and sums with a constant.
    """
    first = column[0]
    if isinstance(first, int) and all(size == first for size in column):
        return integer(first)
    for found in (_equal, _multiple, _quotient, _shifted):
        expr = next(found(column, known), None)
        if expr is not None:
            return expr
    if depth > 1:
        for text, sizes in known.items():
            if all(isinstance(size, int) for size in sizes):
                continue
            rest = [divide(size, other) for size, other in zip(column, sizes, strict=True)]
            if all(size is not None for size in rest):
                expr = express([size for size in rest if size is not None], known, depth - 1)
                if expr is not None:
                    return binary("*", expr, name(text))
    return None


def _equal(column: Column, known: Mapping[str, Column]) -> Iterator[tree.Expr]:
    return (name(text) for text, sizes in known.items() if list(sizes) == list(column))


def _multiple(column: Column, known: Mapping[str, Column]) -> Iterator[tree.Expr]:
    """``4 * c``."""
    for text, sizes in known.items():
        factor = divide(column[0], sizes[0])
        if not isinstance(factor, int) or factor < 2:
            continue
        if all(size == factor * other for size, other in zip(column, sizes, strict=True)):
            yield binary("*", integer(factor), name(text))


def _quotient(column: Column, known: Mapping[str, Column]) -> Iterator[tree.Expr]:
    """``c // 4``; exact where the sizes are known."""
    for text, sizes in known.items():
        pairs = list(zip(column, sizes, strict=True))
        for factor in DIVISORS:
            if all(
                size == other // factor and not (isinstance(other, int) and other % factor) for size, other in pairs
            ):
                yield binary("//", name(text), integer(factor))


def _shifted(column: Column, known: Mapping[str, Column]) -> Iterator[tree.Expr]:
    """``n + 1`` and ``n - 1``, of sizes that are not known."""
    for text, sizes in known.items():
        offset = column[0] - sizes[0]
        if not isinstance(offset, int) or isinstance(sizes[0], int):
            continue
        if all(size == other + offset for size, other in zip(column, sizes, strict=True)):
            yield binary("+" if offset > 0 else "-", name(text), integer(abs(offset)))
