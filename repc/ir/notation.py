"""How values and operators are written down as short mathematics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

SUM, PRODUCT, ATOM = range(3)


class Term:
    """A piece of mathematics and how strongly its outermost operator binds."""

    __slots__ = ("level", "text")

    def __init__(self, text: str, level: int = ATOM) -> None:
        self.text = text
        self.level = level

    def within(self, level: int) -> str:
        """The text as an operand of an operator of that level."""
        return self.text if self.level >= level else f"({self.text})"


def infix(symbol: str, left: Term, right: Term) -> Term:
    """A product-like operation, which is grouped from the left."""
    return Term(f"{left.within(PRODUCT)} {symbol} {right.within(ATOM)}", PRODUCT)


def call(name: str, operands: Iterable[Term], attributes: Iterable[str] = ()) -> Term:
    """``name(operand, …, attribute=value, …)``."""
    return Term(f"{name}({', '.join([*(term.text for term in operands), *attributes])})")


def attributes(owner: object, values: Mapping[str, object]) -> list[str]:
    """``name=value`` for each value that is not the default of the owner's class."""
    defaults = vars(type(owner))
    return [
        f"{name}={show(value)}" for name, value in values.items() if name not in defaults or defaults[name] != value
    ]


def show(value: object) -> str:
    """An attribute of an operator, with lists for tuples."""
    if isinstance(value, tuple):
        return f"[{', '.join(show(item) for item in cast('tuple[object, ...]', value))}]"
    return str(value)
