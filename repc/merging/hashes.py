"""The hashes of files, by which a manifest names what a merge was made of and what it made.

They are taken of twice the size of a model, so that their speed counts.  XXH3 takes no longer than memory is read, and
no two files share one by accident.  SHA-256 nearly doubles the work, and cannot be forged; hubs show it of files.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from mmap import ACCESS_READ, mmap
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Literal, Protocol, TypeAlias

from xxhash import xxh3_128

Kind: TypeAlias = Literal["xxh128", "sha256"]
"""How files are hashed, named as in the tools that check it: ``xxh128sum FILE``, ``sha256sum FILE``."""

WINDOW = 1 << 26
"""Bytes of a file that are in memory at once."""

STEP = 1 << 18
"""Bytes that are read at once: caches hold them until they are hashed."""


class Hash(Protocol):
    """A hash on its way."""

    def update(self, data: bytes | memoryview | mmap, /) -> None: ...
    def hexdigest(self) -> str: ...


NEW: dict[Kind, Callable[[], Hash]] = {"xxh128": xxh3_128, "sha256": sha256}


def digest(path: Path, kind: Kind) -> str:
    """The hash of a file, through windows of memory, in which other threads need not be waited for."""
    total, size = NEW[kind](), path.stat().st_size
    with path.open("rb") as file:
        for start in range(0, size, WINDOW):
            with mmap(file.fileno(), min(WINDOW, size - start), access=ACCESS_READ, offset=start) as window:
                total.update(window)
    return total.hexdigest()


class Digests:
    """The hashes of files that do not change, each taken once by a thread beside all others; a context manager.

    Without a kind every file has None.
    """

    def __init__(self, kind: Kind | None) -> None:
        self.kind: Kind | None = kind
        self._thread = ThreadPoolExecutor(1, "hash")
        self._known: dict[Path, Future[str | None]] = {}

    def __enter__(self) -> Digests:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def of(self, path: Path) -> Future[str | None]:
        """The hash of a file, after those that were asked for before."""
        if path not in self._known:
            self._known[path] = self._thread.submit(self.at_once, path)
        return self._known[path]

    def at_once(self, path: Path) -> str | None:
        """The hash of a file, by the thread that asks."""
        return None if self.kind is None else digest(path, self.kind)


class Running:
    """The hash of a file while it is written in parts, which may come in any order.

    A part whose turn it is when it comes is hashed at once, while caches hold it; one that comes early is read again
    when its turn has come, so that none is kept in memory.
    """

    def __init__(self, file: BinaryIO, kind: Kind) -> None:
        self._file, self._hash = file, NEW[kind]()
        self._lock = Lock()
        self._done = 0
        self._early: dict[int, int] = {}

    def add(self, start: int, data: bytes | memoryview) -> None:
        """A part that has been written."""
        with self._lock:
            if data and start != self._done:
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
