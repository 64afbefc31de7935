"""The tensors that expressions read, in parts: those of the base, of adapters, and of other models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from repc.checkpoints import Entry, Stored
from repc.ir.types import TensorType


def entry_type(entry: Entry) -> TensorType:
    """The type of a stored tensor, as a spec would declare it."""
    dtype = "bool" if entry.dtype == "BOOL" else "f32" if "F" in entry.dtype else "i64"
    return TensorType(entry.shape, dtype)


@dataclass(frozen=True, eq=False)
class Stack:
    """One tensor of several checkpoints, as one with a new first axis."""

    models: tuple[Stored, ...]
    key: str


Given: TypeAlias = Tensor | Stack
"""What a parameter of a plan that is not the base's own stands for."""


@dataclass(frozen=True, eq=False)
class Operands:
    """The parameters of the expressions of a plan, of which parts are read when they are wanted.

    `base` is read under its own keys and those of `aliases`, `given` by its paths.
    """

    base: Stored
    aliases: Mapping[str, str]
    given: Mapping[str, Given]

    def stored(self, key: str) -> str:
        """The key in the base of a tensor, which may be known by another name."""
        return self.aliases.get(key, key)

    def files(self, paths: Iterable[str]) -> set[Path]:
        """The files of checkpoints that parameters are read from."""
        found: set[Path] = set()
        for path in paths:
            given = self.given.get(path)
            sources = (self.base,) if given is None else given.models if isinstance(given, Stack) else ()
            key = given.key if isinstance(given, Stack) else self.stored(path)
            found |= {source.file(source.homes[key]) for source in sources}
        return found

    def read(self, path: str, axis: int | None, start: int, stop: int) -> Tensor:
        """The slices of an axis from `start` until before `stop`, or everything."""
        given = self.given.get(path)
        if isinstance(given, Tensor):
            return given if axis is None else given.narrow(axis, start, stop - start)
        if given is None:
            return _rows(self.base, self.stored(path), axis, start, stop)
        models = given.models[start:stop] if axis == 0 else given.models
        inner = axis - 1 if axis else None
        return torch.stack([_rows(model, given.key, inner, start, stop) for model in models])


def _rows(base: Stored, key: str, axis: int | None, start: int, stop: int) -> Tensor:
    """Rows are read alone; any other part is cut from the whole."""
    if axis == 0:
        return base.rows(key, start, stop)
    shape = base.entry(key).shape
    whole = base.rows(key, 0, shape[0] if shape else 0)
    return whole if axis is None else whole.narrow(axis, start, stop - start)
