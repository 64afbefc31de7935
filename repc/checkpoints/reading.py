"""Files to checkpoints, without executing anything.

Safetensors are mapped into memory; torch files are read by torch's restricted unpickler (safe since torch 2.6, which
closed CVE-2025-32434), mapped where the format allows it.  The format is told from the first bytes, never from the
name: downloads come with all kinds of names.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open

from repc.checkpoints import errors
from repc.checkpoints.checkpoint import Checkpoint
from repc.checkpoints.containers import pick, strip
from repc.diagnostics import Diagnostic, Failure

MAX_HEADER = 100_000_000  # the limit of the safetensors format


def read(path: str | Path, container: str | None = None) -> Checkpoint:
    """The checkpoint in a file; `container` chooses among the state_dicts that a file may hold.

    Raises `Failure` (E601 to E608) where the file is missing, unreadable, damaged or no checkpoint, needs code to be
    executed, holds no tensors, or leaves open which of its state_dicts is meant.
    """
    path = Path(path)
    return _checkpoint(path.name, _load(path), container, path)


def from_memory(
    loaded: Mapping[Any, object], name: str = "the given state_dict", container: str | None = None
) -> Checkpoint:
    """The checkpoint in something that is loaded already, a state_dict or what was saved around one.

    A state_dict without any tensor is that of a model without parameters; a file of that kind is taken for a mistake.
    """
    if not loaded:
        return Checkpoint(name, {}, (), None)
    return _checkpoint(name, loaded, container, None)


def _checkpoint(name: str, loaded: Mapping[Any, object], container: str | None, path: Path | None) -> Checkpoint:
    tensors, picked = pick(name, loaded, container)
    stripped, prefixes = strip(tensors)
    return Checkpoint(name, stripped, (*picked, *prefixes), path)


def is_safetensors(path: Path) -> bool:
    """Whether a file is in that format, by its first bytes; raises `Failure` E601 and E602."""
    head = _head(path)
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= MAX_HEADER


def check_safetensors(path: Path) -> None:
    """Raises `Failure` E603 where a file is not in that format, by its first bytes; E601 and E602 as well."""
    if not is_safetensors(path):
        raise Failure(errors.not_a_checkpoint(path, _looks_like(_head(path))))


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(200)
    except FileNotFoundError:
        raise Failure(errors.missing_file(path)) from None
    except OSError as error:
        raise Failure(errors.unreadable_file(path, error.strerror or str(error))) from None


def _load(path: Path) -> Mapping[Any, object]:
    if is_safetensors(path):
        return _load_safetensors(path)
    head = _head(path)
    if head.startswith(b"PK\x03\x04"):
        return _load_torch(path, mmap=True)
    if head.startswith(b"\x80"):
        return _load_torch(path, mmap=False)
    raise Failure(errors.not_a_checkpoint(path, _looks_like(head)))


def _load_safetensors(path: Path) -> Mapping[Any, object]:
    try:
        file: Any = safe_open(path, framework="pt")
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (a handle, not a mapping)
    except Exception as error:  # its own exception for hostile bytes, torch's for types that torch lacks
        raise Failure(errors.damaged_file(path, announced_size(path), str(error))) from None


def announced_size(path: Path) -> int | None:
    """How long the header says that a safetensors file is."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length)
    if len(header) < length:
        return 8 + length
    try:
        entries: dict[str, Any] = json.loads(header)
        return 8 + length + max(int(e["data_offsets"][1]) for name, e in entries.items() if name != "__metadata__")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _load_torch(path: Path, mmap: bool) -> Mapping[Any, object]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about its own old storages
            loaded: object = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # the unpickler follows the file, so that hostile bytes raise anything
        raise Failure(_torch_error(path, str(error))) from None
    if not isinstance(loaded, Mapping):
        raise Failure(errors.not_a_state_dict(path, type(loaded).__name__))
    return cast("Mapping[Any, object]", loaded)


def _torch_error(path: Path, message: str) -> Diagnostic:
    if wanted := re.search(r"GLOBAL (\S+)", message):
        return errors.needs_code(path, wanted[1])
    if wanted := re.search(r"Unsupported operand (\d+)", message):
        return errors.needs_code(path, f"pickle instruction {wanted[1]}")
    if "TorchScript" in message:
        return errors.needs_code(path, "a TorchScript program")
    # The rest of what the unpickler says is advice to load the file without restraint.
    return errors.damaged_file(path, None, "its pickle is broken" if "weights_only" in message else message)


def _looks_like(head: bytes) -> str:
    if not head:
        return "is empty"
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of git-lfs, not the file itself"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "is a web page, perhaps of a download that wanted a login"
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return "is a torch file, where one of safetensors is wanted"
    return "is neither safetensors nor a torch file"
