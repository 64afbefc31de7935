"""A merge on its way: a hidden folder beside the result, with what is finished, until all of it is.

A finished file is recorded with the hashes of itself and of the file that it was made from.  When a merge is started
again, what was recorded for the same job counts as done as far as these hashes still hold.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from secrets import token_hex
from threading import Lock
from typing import Any, BinaryIO, TypeVar

from repc.diagnostics import Failure
from repc.ir.files import write_whole
from repc.merging import errors

LEDGER, LOCK = ".finished.json", ".lock"

T = TypeVar("T")


def digest(path: Path) -> str:
    """The SHA-256 of a file, in steps that are long enough for other threads to work in between."""
    total, buffer = hashlib.sha256(), bytearray(1 << 20)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            total.update(memoryview(buffer)[:count])
    return total.hexdigest()


class Digests:
    """The hashes of files, by threads of their own, which run beside everything else; a context manager."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2, "hash")
        self._known: dict[Path, Future[str]] = {}

    def __enter__(self) -> Digests:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def of(self, path: Path) -> Future[str]:
        """The hash of a file that does not change, taken once."""
        if path not in self._known:
            self._known[path] = self._threads.submit(digest, path)
        return self._known[path]

    def now(self, path: Path) -> str:
        """The same inside a task of one's own, which must not wait for what is queued behind it."""
        known = self._known.get(path)
        if known is None or known.cancel():
            known = self._known[path] = Future[str]()
            known.set_result(digest(path))
        return known.result()

    def submit(self, task: Callable[[], T]) -> Future[T]:
        """Further work on files, after what was asked for before."""
        return self._threads.submit(task)


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

    def file(self, name: str, header: bytes, size: int) -> Path:
        """A new file of the wanted size, with its header."""
        path = self.folder / name
        with path.open("wb") as file:
            file.truncate(size)
            file.write(header)
        return path

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
        shutil.rmtree(old, ignore_errors=True)

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


def write_at(path: Path, start: int, data: memoryview) -> None:
    """Put bytes at a place of a file that has its size already."""
    with path.open("r+b", buffering=0) as file:
        file.seek(start)
        while data:
            data = data[file.write(data) :]


def sync(path: Path) -> None:
    """Wait until a file is on disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
