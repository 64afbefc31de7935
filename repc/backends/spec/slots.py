"""What an operator is written as: a function or block, its operands, and its arguments with their defaults."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from repc.ir.dims import Dim

REQUIRED = "<required>"
"""Marks an argument without default."""


@dataclass(frozen=True, slots=True)
class Slot:
    """An argument with its value here, left out where that is the default.

    `by_place` arguments come first and have no name in the call.  A `width` is a size, or a number of channels, and so
    may follow from other sizes; of the sizes of a `whole`, one may be left to be found.
    """

    name: str
    value: Any
    default: Any = REQUIRED
    by_place: bool = False
    width: bool = False
    whole: Dim | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """What an operator is written as.

    `kind` is one of: block, function, binary, times, minus, along, merge, slice, entry, opaque; `name` says which.
    `operands` are what a function takes, in order, `detail` is whatever else has to be equal.
    """

    kind: str
    name: str
    slots: tuple[Slot, ...] = ()
    operands: tuple[str, ...] = ("x",)
    detail: Hashable = None
