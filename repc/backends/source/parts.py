"""What a module is made of, apart from the numbers: two modules with equal parts can share a class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import TYPE_CHECKING, TypeAlias

from repc.backends.torch.layers import constructor

if TYPE_CHECKING:
    from repc.backends.source.classes import ModuleClass

LONG_RUN = 3  # so many equal modules in a row are written as a loop


@dataclass(frozen=True, slots=True)
class TensorPart:
    """A parameter or buffer; its argument is the shape."""

    dtype: str
    buffer: bool

    def construct(self, arguments: Iterator[str]) -> str:
        empty = f"torch.empty({sizes(next(arguments))}{self.dtype})"
        return empty if self.buffer else f"nn.Parameter({empty})"


@dataclass(frozen=True, slots=True)
class LayerPart:
    """A layer of `torch.nn` with the names of its arguments."""

    kind: str
    names: tuple[str, ...]

    def construct(self, arguments: Iterator[str]) -> str:
        given = dict(zip(self.names, arguments, strict=False))
        return f"nn.{self.kind}({', '.join(constructor(self.kind, given))})"


@dataclass(frozen=True, slots=True)
class ModulePart:
    """A module of an emitted class; it takes the arguments of all its parts, and its class knows which matter."""

    module: ModuleClass

    def construct(self, arguments: Iterator[str]) -> str:
        return self.module.construct(list(islice(arguments, self.module.width)))


@dataclass(frozen=True, slots=True)
class ListPart:
    """Numbered modules, `nn.Sequential` or `nn.ModuleList`."""

    kind: str
    items: tuple[Part, ...]

    def construct(self, arguments: Iterator[str]) -> str:
        texts = _runs([item.construct(arguments) for item in self.items])
        if self.kind == "nn.Sequential":
            return f"nn.Sequential({', '.join(texts)})"
        if len(texts) == 1 and texts[0].startswith("*("):
            return f"nn.ModuleList{texts[0].removeprefix('*')}"
        return f"nn.ModuleList([{', '.join(texts)}])"


@dataclass(frozen=True, slots=True)
class DictPart:
    """Modules by names that Python does not accept as names."""

    names: tuple[str, ...]
    items: tuple[Part, ...]

    def construct(self, arguments: Iterator[str]) -> str:
        texts = [f'"{name}": {item.construct(arguments)}' for name, item in zip(self.names, self.items, strict=True)]
        return f"nn.ModuleDict({{{', '.join(texts)}}})"


Part: TypeAlias = TensorPart | LayerPart | ModulePart | ListPart | DictPart


def sizes(shape: str) -> str:
    """A shape as the arguments of `torch.empty`."""
    return shape[1:-1].rstrip(",") if shape.startswith("(") and shape != "()" else shape


def _runs(texts: Sequence[str]) -> list[str]:
    """The elements of a list, long runs of equal ones as a loop."""
    found: list[str] = []
    for text, group in groupby(texts):
        count = len(list(group))
        found += [f"*({text} for _ in range({count}))"] if count >= LONG_RUN else [text] * count
    return found
