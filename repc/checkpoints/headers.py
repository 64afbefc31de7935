"""The tensors of a checkpoint and where they lie, by headers alone: what is larger than memory is read in parts.

A checkpoint is a safetensors file, a folder as the Hugging Face libraries write it (shards and their index), or a torch
file, whose tensors torch maps.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from repc.checkpoints import errors
from repc.checkpoints.reading import announced_size, check_safetensors, is_safetensors, read
from repc.checkpoints.writing import TORCH, TYPES
from repc.diagnostics import Failure
from repc.evaluate.raw import raw

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
METADATA = "__metadata__"


@dataclass(frozen=True)
class Entry:
    """A stored tensor: its element type as safetensors calls it, its shape, and its bytes in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Header:
    """The header of a safetensors file: its tensors in the order of their bytes."""

    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Stored:
    """A checkpoint whose tensors are still where they lie.

    `files` has the header of each file by its name, `homes` the file of each tensor; `loaded` has the tensors that a
    torch file gave.
    """

    path: Path
    files: Mapping[str, Header]
    homes: Mapping[str, str]
    loaded: Mapping[str, Tensor] | None = None

    @cached_property
    def is_folder(self) -> bool:
        """Whether it is a folder with a configuration and other files."""
        return self.path.is_dir()

    def file(self, name: str) -> Path:
        """Where a file is."""
        return self.path / name if self.is_folder else self.path

    def entry(self, key: str) -> Entry:
        """What a tensor is."""
        return self.files[self.homes[key]].entries[key]

    def rows(self, key: str, start: int, stop: int) -> Tensor:
        """Some slices of the first axis; a tensor without axes is one slice of itself."""
        entry = self.entry(key)
        if self.loaded is not None:
            found = self.loaded[key]
            return found[start:stop] if entry.shape else found
        shape = (stop - start, *entry.shape[1:]) if entry.shape else ()
        values = torch.empty(shape, dtype=TORCH[entry.dtype])
        first = entry.start + (start * values.nbytes // (stop - start) if entry.shape and values.nbytes else 0)
        read_into(self.file(self.homes[key]), first, raw(values).data)
        return values


def read_into(path: Path, start: int, buffer: memoryview) -> None:
    """Fill a buffer with the bytes of a file from a place on; `Failure` E602 or E605 where they cannot be had."""
    try:
        file = os.open(path, os.O_RDONLY)
        try:
            while buffer:
                count = os.preadv(file, [buffer], start)
                if not count:
                    raise Failure(errors.damaged_file(path, start + len(buffer), "it became shorter"))
                start, buffer = start + count, buffer[count:]
        finally:
            os.close(file)
    except OSError as error:
        raise Failure(errors.unreadable_file(path, error.strerror or str(error))) from None


def open_stored(path: str | Path) -> Stored:
    """The checkpoint at a path, by its headers.

    Raises `Failure`: E601 to E608 as `read` does, E614 for packed tensors, E630 for a folder without weights that repc
    reads, E631 for an index that its shards contradict.
    """
    path = Path(path)
    if path.is_dir():
        return _folder(path)
    if is_safetensors(path):
        header = read_header(path)
        return Stored(path, {path.name: header}, dict.fromkeys(header.entries, path.name))
    checkpoint = read(path)
    tensors = dict(checkpoint)
    strange = [f"{key}: {tensor.dtype}" for key, tensor in tensors.items() if not _is_plain(tensor)]
    if strange:
        raise Failure(errors.wrong_kinds(checkpoint.name, strange))
    entries: dict[str, Entry] = {}
    end = 0
    for key, tensor in tensors.items():
        start, end = end, end + tensor.numel() * tensor.itemsize
        entries[key] = Entry(TYPES[tensor.dtype], tuple(tensor.shape), start, end)
    return Stored(path, {path.name: Header(entries, {})}, dict.fromkeys(entries, path.name), tensors)


def read_header(path: Path) -> Header:
    """The header of a safetensors file; raises `Failure` E601, E602, E603 and E605."""
    check_safetensors(path)
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            text = file.read(length)
            size = file.seek(0, 2)
    except OSError as error:
        raise Failure(errors.unreadable_file(path, error.strerror or str(error))) from None
    try:
        found: dict[str, Any] = json.loads(text)
        metadata = cast("dict[str, str]", found.pop(METADATA, {}))
        entries = {name: _entry(entry, 8 + length) for name, entry in found.items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise Failure(errors.damaged_file(path, announced_size(path), f"its header is broken: {error}")) from None
    entries = dict(sorted(entries.items(), key=lambda item: (item[1].start, item[1].stop)))
    end = 8 + length
    for entry in entries.values():
        whole = TORCH.get(entry.dtype)
        if entry.start != end or (whole and entry.stop - entry.start != prod(entry.shape) * whole.itemsize):
            raise Failure(errors.damaged_file(path, None, "the tensors of its header overlap, or leave a gap"))
        end = entry.stop
    if end != size:
        raise Failure(errors.damaged_file(path, end, f"its header speaks of {end} bytes"))
    return Header(entries, metadata)


def _is_plain(tensor: Tensor) -> bool:
    return tensor.dtype in TYPES and tensor.layout is torch.strided and not tensor.is_quantized


def _entry(entry: Mapping[str, Any], begin: int) -> Entry:
    start, stop = entry["data_offsets"]
    return Entry(
        str(entry["dtype"]), tuple(int(size) for size in entry["shape"]), begin + int(start), begin + int(stop)
    )


def _folder(path: Path) -> Stored:
    """The shards that an index names, or the one file that there is."""
    index = path / INDEX
    if not index.exists():
        if not (path / SINGLE).exists():
            raise Failure(errors.no_weights_in_folder(path, _files(path), (SINGLE, INDEX)))
        header = read_header(path / SINGLE)
        return Stored(path, {SINGLE: header}, dict.fromkeys(header.entries, SINGLE))
    try:
        homes: dict[str, str] = dict(json.loads(index.read_bytes())["weight_map"])
        if strange := [name for name in homes.values() if Path(name).name != name]:
            raise ValueError(f"{strange[0]} is no file beside it")
        files = {name: read_header(path / name) for name in sorted(set(homes.values()))}
    except OSError as error:
        raise Failure(errors.unreadable_file(index, error.strerror or str(error))) from None
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise Failure(errors.damaged_file(index, None, f"it is no index: {error}")) from None
    found = {key: name for name, header in files.items() for key in header.entries}
    wrong = [key for key in {**homes, **found} if homes.get(key) != found.get(key)]
    if wrong:
        raise Failure(errors.index_contradicted(index, sorted(wrong)))
    return Stored(path, files, homes)


def _files(path: Path) -> Sequence[str]:
    return sorted(file.name for file in path.iterdir() if file.is_file())
