"""The tensors of a merge, through memory in tiles: read, computed, rounded once, and written at their places.

Every tile is a task of its own, which one thread carries from file to file while caches hold it: it is read, computed,
written and hashed.  Each thread has a file of its own as long as there are any, and the disk works beside all of them.
The order in which tiles end changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from ctypes import CDLL
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from threading import Condition, Lock
from typing import BinaryIO

import numpy as np
import torch

from repc.checkpoints import Entry, read_into
from repc.evaluate.raw import raw
from repc.evaluate.rounding import rounded
from repc.merging.computed import MEASURED, Computed, Loss
from repc.merging.hashes import Digests, Running, digest
from repc.merging.layout import Output
from repc.merging.operands import Operands
from repc.merging.staging import Staging, write_at

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, KEPT = -1, -3, 1 << 26
COPIED = 1 << 20
"""Bytes of a tensor that does not change that are read and written at once."""

CHUNK = 1 << 19
"""Bytes that are given to the system at once: of more, two threads wait for each other's pages of memory."""

SYNCED = 1 << 27
"""Bytes after which the disk is told to begin: it works beside everything else, and not only at the end."""

Say = Callable[[str, float | None], None]


def quiet(text: str, share: float | None) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Settings:
    """How the work is done, which the result does not depend on: threads, bytes in flight, rows to measure."""

    threads: int
    memory: int
    every: int = MEASURED


class Budget:
    """Bytes that tasks may use together; a task that wants more than all of them runs alone."""

    def __init__(self, total: int) -> None:
        self._total, self._free = total, total
        self._changed = Condition()

    @contextmanager
    def of(self, wanted: int) -> Generator[None]:
        """Wait until so many are free, and use them."""
        wanted = min(wanted, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= wanted)
            self._free -= wanted
        try:
            yield
        finally:
            with self._changed:
                self._free += wanted
                self._changed.notify_all()


@dataclass(eq=False)
class Shard:
    """A file on its way: its hash so far, those of what it is made from, and how much of it is left to do."""

    output: Output
    file: BinaryIO
    inputs: Mapping[Path, Future[str | None]]
    hash: Running | None
    left: int
    unsynced: int = 0
    losses: dict[tuple[str, int], Loss] = field(default_factory=dict[tuple[str, int], Loss])

    def put(self, start: int, data: memoryview) -> None:
        """Write bytes at their place."""
        for at in range(0, len(data), CHUNK):
            write_at(self.file, start + at, data[at : at + CHUNK])
        if self.hash is not None:
            self.hash.add(start, data)

    def measured(self) -> dict[str, Loss]:
        """The loss of each tensor, added up in one order, whichever its tiles ended in."""
        total: dict[str, Loss] = {}
        for key, index in sorted(self.losses):
            total[key] = total.get(key, Loss()) + self.losses[key, index]
        return total


Task = Callable[[Shard], int]
"""Does a part of a file, and says how many bytes of it."""

Step = tuple[Shard, Task]


class Stream:
    """Writes the files of a merge into its staging folder."""

    def __init__(
        self,
        operands: Operands,
        computed: Mapping[str, Computed],
        staging: Staging,
        digests: Digests,
        settings: Settings,
        say: Say,
    ) -> None:
        self._operands, self._computed = operands, computed
        self._staging, self._settings, self._say = staging, settings, say
        self._budget = Budget(settings.memory)
        self._lock = Lock()
        self._done, self._total = 0, 1
        self._digests = digests
        self._files = ExitStack()
        self._disk = ThreadPoolExecutor(1, "disk")
        self._syncs: list[Future[None]] = []
        self._begun: list[Iterator[Step]] = []
        self._given_up = False

    def write(self, outputs: Mapping[str, Output]) -> int:
        """Write files, by the files of the base that they are made from; how many of them were finished already.

        Raises what one of the tasks raises; then the others are given up.
        """
        _keep_freed_memory()
        kept = self._kept(outputs)
        wanted = {source: output for source, output in outputs.items() if output.name not in kept}
        self._total = max(1, sum(output.size for output in wanted.values()))
        files = [partial(self._open, source, output) for source, output in reversed(wanted.items())]
        with self._files, self._disk, _workers(self._settings.threads) as workers:
            try:
                _all([workers.submit(self._work, files) for _ in range(self._settings.threads)])
                _all(self._syncs)
            finally:
                self._given_up = True
        return len(kept)

    def _kept(self, outputs: Mapping[str, Output]) -> set[str]:
        """The files of an earlier run that still are what was recorded, as is what they were made from."""
        kind = self._digests.kind
        if kind is None:
            return set()
        finished = self._staging.finished()
        found: set[str] = set()
        for source, output in outputs.items():
            record = finished.get(output.name)
            path = self._staging.folder / output.name
            if record is None or not path.is_file():
                continue
            inputs = {str(path): future.result() for path, future in self._inputs(source, output).items()}
            if record["inputs"] == inputs and record["hash"] == digest(path, kind):
                found.add(output.name)
        return found

    def _inputs(self, source: str, output: Output) -> dict[Path, Future[str | None]]:
        """The hashes of the files that a file is made from."""
        found = {self._operands.base.file(source)}
        for key in output.entries:
            if key in self._computed:
                found |= self._computed[key].files()
        return {path: self._digests.of(path) for path in sorted(found)}

    def _open(self, source: str, output: Output) -> Iterator[Step]:
        """The tasks of a file, in the order of its bytes; a file without tensors has one as well."""
        tasks: list[Task] = []
        for key, entry in output.entries.items():
            if key in self._computed:
                tasks += [partial(self._compute, key, entry, index) for index in range(self._computed[key].tiles)]
            else:
                tasks += [partial(self._copy, key, entry, at) for at in range(0, entry.stop - entry.start, COPIED)]
        file = self._files.enter_context(self._staging.file(output.name, output.header, output.size))
        kind = self._digests.kind
        hash = None if kind is None else Running(file, kind)
        shard = Shard(output, file, self._inputs(source, output), hash, len(tasks) + 1)
        return ((shard, task) for task in (_begin, *tasks))

    def _work(self, files: list[Callable[[], Iterator[Step]]]) -> None:
        """Do one file after another, as all threads do: the system lets only one at a time write to a file.

        Where there are no more, help with those that others have begun.
        """
        own: Iterator[Step] = iter(())
        while not self._given_up:
            with self._lock:
                step = next(own, None)
                while step is None and (files or self._begun):
                    if files:
                        self._begun.append(files.pop()())
                    own = self._begun[-1]
                    step = next(own, None)
                    if step is None:
                        self._begun.remove(own)
            if step is None:
                return
            self._run(*step)

    def _run(self, shard: Shard, task: Task) -> None:
        count = task(shard)
        with self._lock:
            self._done += count
            shard.left -= 1
            shard.unsynced += count
            if not shard.left:
                self._syncs.append(self._disk.submit(self._close, shard))
            elif shard.unsynced >= SYNCED:
                shard.unsynced = 0
                self._syncs.append(self._disk.submit(os.fdatasync, shard.file.fileno()))
        self._say(f"merging {shard.output.name}", self._done / self._total)

    def _compute(self, key: str, entry: Entry, index: int, shard: Shard) -> int:
        computed = self._computed[key]
        with self._budget.of(computed.cost):
            exact, old = computed.tile(index)
            new = rounded(exact, computed.stored)
            if computed.has_base:
                shard.losses[key, index] = computed.measure(index, exact, new, old, self._settings.every)
            del exact, old
            first, _ = computed.place(index)
            row = (entry.stop - entry.start) // max(1, entry.shape[0]) if entry.shape else 0
            data = raw(new).data
            shard.put(entry.start + first * row, data)
        return len(data)

    def _copy(self, key: str, entry: Entry, at: int, shard: Shard) -> int:
        base = self._operands.base
        size = min(COPIED, entry.stop - entry.start - at)
        if base.loaded is not None:
            data = raw(base.loaded[key]).data[at : at + size]
        else:
            data = np.empty(size, np.uint8).data
            read_into(base.file(base.homes[key]), base.entry(key).start + at, data)
        shard.put(entry.start + at, data)
        return size

    def _close(self, shard: Shard) -> None:
        """Make sure that a file is on disk, and record it."""
        os.fsync(shard.file.fileno())
        shard.file.close()
        losses = {key: asdict(loss) for key, loss in shard.measured().items()}
        inputs = {str(path): future.result() for path, future in shard.inputs.items()}
        own = None if shard.hash is None else shard.hash.digest()
        self._staging.finish(shard.output.name, {"hash": own, "inputs": inputs, "losses": losses})


def _begin(shard: Shard) -> int:
    """The header, which is written already."""
    if shard.hash is not None:
        shard.hash.add(0, shard.output.header)
    return len(shard.output.header)


def _workers(threads: int) -> ThreadPoolExecutor:
    """Threads that compute alone: they are as many as there are cores."""
    return ThreadPoolExecutor(threads, "merge", partial(torch.set_num_threads, 1))


def _keep_freed_memory() -> None:
    """Let the C library give the memory of one tile to the next, and not back to the system in between.

    A page that is asked for anew costs more than what is computed on it.  Only glibc has these settings.
    """
    with suppress(OSError, AttributeError):
        set_option = CDLL(None).mallopt
        set_option(M_MMAP_THRESHOLD, KEPT)
        set_option(M_TRIM_THRESHOLD, KEPT)


def _all(futures: list[Future[None]]) -> None:
    wait(futures, return_when=FIRST_EXCEPTION)
    for future in futures:
        if future.done():
            future.result()
