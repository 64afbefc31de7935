"""The files of a merged checkpoint: those of the base, with the same tensors at the same places.

A file with further tensors, a bias that an adapter made or the half of an untied pair, is laid out anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from repc.checkpoints import TORCH, Entry, Stored, header_bytes


@dataclass(frozen=True, eq=False)
class Output:
    """A file to write: what stands before its values, and where each tensor is."""

    name: str
    header: bytes
    entries: Mapping[str, Entry]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return max((entry.stop for entry in self.entries.values()), default=len(self.header))


@dataclass(frozen=True)
class Created:
    """A tensor that the base does not have: its type, and the tensor beside which it is stored."""

    dtype: str
    shape: tuple[int, ...]
    beside: str


def outputs(base: Stored, created: Mapping[str, Created], name: str | None) -> list[Output]:
    """The files in the order of their names; a single file gets the given name."""
    found: list[Output] = []
    for file, header in base.files.items():
        entries = dict(header.entries)
        sizes = {key: (entry.dtype, entry.shape, entry.stop - entry.start) for key, entry in entries.items()}
        new = {key: one for key, one in sorted(created.items()) if base.homes[one.beside] == file}
        sizes |= {key: (one.dtype, one.shape, prod(one.shape) * TORCH[one.dtype].itemsize) for key, one in new.items()}
        if new or base.loaded is not None:  # widest first, so that all are aligned
            sizes = dict(sorted(sizes.items(), key=lambda item: -item[1][2] // max(1, prod(item[1][1]))))
        text = header_bytes(sizes, header.metadata or {"format": "pt"})
        end, placed = len(text), dict[str, Entry]()
        for key, (dtype, shape, size) in sizes.items():
            placed[key] = Entry(dtype, tuple(shape), end, end + size)
            end += size
        found.append(Output(name or file, text, placed))
    return found
