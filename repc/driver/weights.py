"""The values of parameters, and where they are from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from repc.checkpoints import Checkpoint, from_memory, read
from repc.evaluate.raw import digest

Weights = str | Path | Mapping[str, Tensor]
"""A checkpoint: its path, or a state_dict."""


@dataclass(frozen=True, eq=False)
class Parameters:
    """The value of every parameter of a model, and where they are from."""

    values: Mapping[str, Tensor]
    source: str
    layout: str
    share: float
    notes: tuple[str, ...] = ()

    @cached_property
    def sha256(self) -> str:
        """A hash of names, shapes, types and values."""
        return digest(self.values)


def checkpoint_of(weights: Weights, container: str | None) -> Checkpoint:
    """The tensors of a file or a state_dict."""
    if isinstance(weights, (str, Path)):
        return read(weights, container)
    return from_memory(weights, container=container)
