"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from stat import S_IMODE
from typing import BinaryIO, TypeAlias

from repc.diagnostics import Diagnostic, Failure

Writer: TypeAlias = Callable[[BinaryIO], object]

_REMEDIES = (
    ((errno.ENOSPC, errno.EDQUOT), "free some space there, or write to another disk"),
    ((errno.EACCES, errno.EPERM, errno.EROFS), "choose a folder that you may write to"),
    ((errno.EISDIR,), "give the name of a file"),
    ((errno.ENOTDIR, errno.EEXIST), "one of its parent folders is a file: choose another path"),
)


def write_whole(path: str | Path, data: bytes | Writer) -> None:
    """Put a file in place at once: what was there stays until the new content is complete and on disk.

    `data` is the content, or a function that writes it to an open file.  Missing folders are made.  Raises `Failure`
    E701 where the system refuses; then, and on any other error, nothing half-written remains.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            with path.open("wb") as device:  # /dev/stdout and the like stay what they are
                _fill(device, data)
            return
        _replace(path.resolve() if path.is_symlink() else path, data)
    except OSError as error:
        raise unwritable(path, error) from error


def _replace(path: Path, data: bytes | Writer) -> None:
    # Beside the target, since only a rename within one file system is atomic.
    partial = path.with_name(f".{path.name}.{token_hex(6)}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with partial.open("xb") as file:
            _fill(file, data)
            file.flush()
            os.fsync(file.fileno())
        if path.is_file():
            partial.chmod(S_IMODE(path.stat().st_mode))
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _fill(file: BinaryIO, data: bytes | Writer) -> None:
    if isinstance(data, bytes):
        file.write(data)
    else:
        data(file)


def unwritable(path: Path, error: OSError) -> Failure:
    """E701: the system does not let a file or folder be written: no space, no permission, or no such place.

    Nothing half-written remains: files appear whole or not at all.
    """
    reason = (error.strerror or str(error)).lower()
    remedy = next((text for numbers, text in _REMEDIES if error.errno in numbers), "check the path and its folder")
    return Failure(Diagnostic("E701", f"cannot write {path}: {reason}", help=remedy))
