"""The tensors of a checkpoint by name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from torch import Tensor


class Checkpoint(Mapping[str, Tensor]):
    """A state_dict under the names that are left once containers and wrappers are taken off.

    The tensors of a file are mapped, so that only what is used is read.  `notes` says what was picked, stripped and
    ignored.  `path` is None for tensors that were given in memory.
    """

    def __init__(
        self, name: str, tensors: Mapping[str, Tensor], notes: tuple[str, ...] = (), path: Path | None = None
    ) -> None:
        self.name = name
        self.notes = notes
        self.path = path
        # A stored nn.Parameter would drag autograd into every fold.
        self._tensors = {key: tensor.detach() for key, tensor in tensors.items()}

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    @cached_property
    def sha256(self) -> str | None:
        """The digest of the file, None for tensors in memory."""
        if self.path is None:
            return None
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
