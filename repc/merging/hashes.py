"""The hashes of files: BLAKE3, which ``b3sum FILE`` gives as well.

It is taken of all that goes in and comes out, which is twice the size of a model, so that its speed counts: on one core
BLAKE3 is four times as fast as SHA-256.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from blake3 import blake3

HASHES = "BLAKE3, as of `b3sum FILE`"
"""What the manifest calls them."""

STEP = 1 << 20
"""Bytes that are read at once: caches hold them until they are hashed."""


def digest(path: Path) -> str:
    """The hash of a file."""
    total, buffer = blake3(), memoryview(bytearray(STEP))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            total.update(buffer[:count])
    return total.hexdigest()


class Digests:
    """The hashes of files that do not change, each taken once by a thread beside all others; a context manager."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "hash")
        self._known: dict[Path, Future[str]] = {}

    def __enter__(self) -> Digests:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def of(self, path: Path) -> Future[str]:
        """The hash of a file, after those that were asked for before."""
        if path not in self._known:
            self._known[path] = self._thread.submit(digest, path)
        return self._known[path]


class Running:
    """The hash of a file while it is written in parts, which may come in any order.

    A part whose turn it is when it comes is hashed at once, while caches hold it; one that comes early is read again
    when its turn has come, so that none is kept in memory.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash = file, blake3()
        self._lock = Lock()
        self._done = 0
        self._early: dict[int, int] = {}

    def add(self, start: int, data: bytes | memoryview) -> None:
        """A part that has been written."""
        with self._lock:
            if start != self._done:
                self._early[start] = len(data)
                return
        while data:
            self._hash.update(data)
            with self._lock:
                self._done += len(data)
                left = self._early.pop(self._done, 0)
                size = min(left, STEP)
                if size < left:
                    self._early[self._done + size] = left - size
            data = os.pread(self._file.fileno(), size, self._done)

    def digest(self) -> str:
        """The hash of all parts."""
        return self._hash.hexdigest()
