"""A merge on its way: a hidden folder beside the result, with what is finished, until all of it is.

A finished file is recorded with the hashes of itself and of the file that it was made from.  When a merge is started
again, what was recorded for the same job counts as done as far as these hashes still hold.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from errno import EDQUOT, EFBIG, ENOSPC
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from secrets import token_hex
from threading import Lock
from typing import Any, BinaryIO

from repc.diagnostics import Failure
from repc.ir.files import write_whole
from repc.merging import errors

LEDGER, LOCK = ".finished.json", ".lock"


class Staging:
    """The folder of an unfinished merge.

    `job` tells one merge from another: with another job, or with `fresh`, whatever is there is dropped.
    """

    def __init__(self, out: Path, job: str) -> None:
        self.out = out
        self.folder = out.parent / f".{out.name}.part"
        self._job = job
        self._lock = Lock()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock_file = self._locked()
        found = self._read()
        self._finished: dict[str, Any] = found or {}
        for file in self.folder.iterdir():  # a hidden one is what a write that was killed has left
            if (found is None or file.name.startswith(".")) and file.name not in (LEDGER, LOCK):
                file.unlink()

    def finished(self) -> dict[str, Mapping[str, Any]]:
        """What was recorded about the files of an earlier run; they have yet to be compared with their hashes."""
        return dict(self._finished)

    def file(self, name: str, header: bytes, size: int) -> BinaryIO:
        """A new file of the wanted size, with its header."""
        file = (self.folder / name).open("w+b", buffering=0)
        try:
            _reserve(file, size)
            write_at(file, 0, memoryview(header))
        except OSError:  # what there was room for is given back
            file.close()
            (self.folder / name).unlink()
            raise
        return file

    def finish(self, name: str, record: Mapping[str, Any]) -> None:
        """Record a file; it must be on disk."""
        with self._lock:
            self._finished[name] = record
            text = json.dumps({"job": self._job, "files": self._finished})
            write_whole(self.folder / LEDGER, text.encode())

    def publish(self, *, folder: bool) -> None:
        """Put the result in its place at once; what was there before is dropped."""
        (self.folder / LEDGER).unlink(missing_ok=True)
        (self.folder / LOCK).unlink(missing_ok=True)
        if not folder:
            # The file itself comes last: what stands beside it tells about it.
            for file in sorted(self.folder.iterdir(), key=lambda file: file.name == self.out.name):
                file.replace(self.out.parent / file.name)
            self.folder.rmdir()
            return
        old = self.out.parent / f".{self.out.name}.{token_hex(6)}.old"
        if self.out.exists():
            self.out.rename(old)
        self.folder.rename(self.out)
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.unlink(missing_ok=True)

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock_file.close()

    def _locked(self) -> BinaryIO:
        """A lock that ends with the process, however it ends.

        Raises `Failure` E634 where another process has it.
        """
        file = (self.folder / LOCK).open("wb")
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except OSError:
            file.close()
            raise Failure(errors.in_use(self.out)) from None
        return file

    def _read(self) -> dict[str, Any] | None:
        try:
            ledger = json.loads((self.folder / LEDGER).read_bytes())
            return ledger["files"] if ledger["job"] == self._job else None
        except (OSError, ValueError, LookupError, TypeError):
            return None


def _reserve(file: BinaryIO, size: int) -> None:
    """Give a file its size, and its place on the disk where the system can: a full disk shows before it is filled."""
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except AttributeError:  # not on macOS
        file.truncate(size)
    except OSError as error:
        if error.errno in (ENOSPC, EDQUOT, EFBIG):
            raise
        file.truncate(size)


def write_at(file: BinaryIO, start: int, data: memoryview) -> None:
    """Put bytes at a place of a file that has its size already."""
    while data:
        count = os.pwrite(file.fileno(), data, start)
        start, data = start + count, data[count:]
