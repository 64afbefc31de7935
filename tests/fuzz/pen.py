"""Writing a random network as text: what is drawn, what is written, and which sizes that leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from hypothesis import strategies as st

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]
T = TypeVar("T")

SYMMETRIES = ("none", "permuted", "rescaled", "grown")
Line: TypeAlias = str | Mapping[str, str]
"""A statement, or one for each symmetry that leaves the function of the network as it is."""


@dataclass(frozen=True)
class Shape:
    """A value [b, channels, sizes…]; the sizes of free axes are those of one example."""

    channels: int
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """The text of a layer, and what it makes of the value that it was drawn for."""

    text: str
    out: Shape

    def then(self, other: Layer) -> Layer:
        return Layer(f"{self.text} >> {other.text}", other.out)


@dataclass(frozen=True)
class Value:
    """A name and its shape."""

    name: str
    shape: Shape


@dataclass
class Pen:
    """Draws and writes; every name is new, so that no two parts have one path."""

    draw: Draw
    free: bool
    """Whether the sizes of the input are free."""
    lines: list[Line] = field(default_factory=list[Line])
    blocks: list[str] = field(default_factory=list[str])
    values: list[Value] = field(default_factory=list[Value])
    count: int = 0

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def among(self, *choices: T) -> T:
        return self.draw(st.sampled_from(choices))

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def maybe(self) -> bool:
        return self.draw(st.booleans())

    def let(self, expression: str, shape: Shape) -> Value:
        value = Value(self.name("v"), shape)
        self.lines.append(f"let {value.name} = {expression}")
        self.values.append(value)
        return value

    def weight(self, *shape: int) -> str:
        name = self.name("w")
        self.lines.append(f"weight {name}: {listing(shape)} = normal(0, {self.among('0.5', '1')})")
        return name


def listing(values: Sequence[object]) -> str:
    """A list of the language; tuples inside are lists too."""
    return f"[{', '.join(listing(v) if isinstance(v, tuple | list) else str(v) for v in values)}]"


def truth(value: bool) -> str:
    return "true" if value else "false"
