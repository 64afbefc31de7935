"""Python text: how values, sizes and calls are written.

Operators are lowered to text once.  The modules compile it and the source backend prints it, so that what is emitted
is what was run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from json import dumps
from keyword import iskeyword
from math import isfinite
from typing import TypeAlias, TypeVar

from repc.ir.dims import Dim
from repc.ir.types import TensorType

Literal: TypeAlias = "bool | int | float | str | Fraction | tuple[Literal, ...] | None"

N = TypeVar("N", int, Fraction)

# Names that generated code uses for itself.
RESERVED = frozenset(
    [
        "self",
        "torch",
        "nn",
        "F",
        "Tensor",
        "Path",
        "load",
        "load_file",
        "like",
        "batch_norm",
        "check",
        "float",
        "getattr",
        "print",
        "range",
        "tuple",
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """An operand: an atom of Python text (a name, or a path such as ``self.conv.weight``) and its type."""

    text: str
    type: TensorType


Given: TypeAlias = Mapping[str, Value]


def texts(given: Given, *operands: str) -> list[str]:
    """The texts of operands, ``None`` for one that is missing, nothing for those missing at the end."""
    found = [given[operand].text if operand in given else "None" for operand in operands]
    while found and found[-1] == "None":
        found.pop()
    return found


def literal(value: Literal) -> str:
    """A constant as Python writes it; whole fractions become integers, as far as torch takes them, so that integer
    tensors stay integer."""
    if isinstance(value, Fraction):
        whole = value.denominator == 1 and abs(value) < 2**63
        return str(value.numerator) if whole else repr(float(value))
    if isinstance(value, float) and not isfinite(value):
        return f'float("{value}")'
    if isinstance(value, str):
        return dumps(value, ensure_ascii=False)
    if isinstance(value, tuple):
        return f"({literal(value[0])},)" if len(value) == 1 else f"({', '.join(map(literal, value))})"
    return repr(value)


def call(function: str, *args: str, **keywords: Literal) -> str:
    """``function(args, keywords)``: arguments are text, keywords are constants, left out where they are None."""
    named = (f"{name}={literal(value)}" for name, value in keywords.items() if value is not None)
    return f"{function}({', '.join((*args, *named))})"


def compact(values: Sequence[N], default: int | None = None) -> N | tuple[N, ...] | None:
    """One number where all axes agree, and None where that is the default of the function."""
    if len(set(values)) != 1:
        return tuple(values)
    return None if values[0] == default else values[0]


def variable(name: str) -> str:
    """A name of the spec as a Python variable."""
    word = re.sub(r"\W", "_", name)
    if not word or word[0].isdigit():
        word = f"_{word}"
    return f"{word}_" if iskeyword(word) or word in RESERVED else word


def size(dim: Dim) -> str:
    """A size over the variables of the free dimensions."""
    spaced = re.sub(r"(//|\*)", r" \1 ", str(dim))
    return re.sub(r"[^\W\d]\w*", lambda found: variable(found[0]), spaced)
