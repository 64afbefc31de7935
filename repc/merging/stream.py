"""The tensors of a merge, through memory in tiles: read, computed, rounded once, and written at their places.

Every tile is a task of its own, which one thread carries from file to file, so that reading, computing and writing of
different tiles overlap.  The order in which they end changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from ctypes import CDLL
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from threading import Condition, Lock

import numpy as np
import torch

from repc.checkpoints import Entry, read_into
from repc.evaluate.raw import raw
from repc.evaluate.rounding import rounded
from repc.merging.computed import MEASURED, Computed, Loss
from repc.merging.layout import Output
from repc.merging.operands import Operands
from repc.merging.staging import Digests, Staging, digest, sync, write_at

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, KEPT = -1, -3, 1 << 26
CHUNK = 1 << 23
"""Bytes that are copied at once."""

Say = Callable[[str, float | None], None]


def quiet(text: str, share: float | None) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Settings:
    """How the work is done, which the result does not depend on: threads, bytes in flight, tiles to measure."""

    threads: int
    memory: int
    every: int = MEASURED
    hashed: bool = True


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
    """A file on its way: how many of its tasks are left, and the losses of its tiles."""

    output: Output
    source: str
    path: Path
    left: int = 0
    losses: dict[tuple[str, int], Loss] = field(default_factory=dict[tuple[str, int], Loss])

    def measured(self) -> dict[str, Loss]:
        """The loss of each tensor, added up in one order, whichever its tiles ended in."""
        total: dict[str, Loss] = {}
        for key, index in sorted(self.losses):
            total[key] = total.get(key, Loss()) + self.losses[key, index]
        return total


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
        self._closing: list[Future[None]] = []

    def write(self, outputs: Mapping[str, Output]) -> int:
        """Write files, by the files of the base that they are made from; how many of them were finished already.

        Raises what one of the tasks raises; then the others are given up.
        """
        _keep_freed_memory()
        threads = torch.get_num_threads()
        with ThreadPoolExecutor(self._settings.threads, "merge", partial(torch.set_num_threads, 1)) as workers:
            try:
                kept = self._kept(outputs)
                wanted = {source: output for source, output in outputs.items() if output.name not in kept}
                self._total = max(1, sum(output.size for output in wanted.values()))
                tasks = [
                    workers.submit(task) for source, output in wanted.items() for task in self._open(source, output)
                ]
                _all(tasks)
                _all(self._closing)
                return len(kept)
            finally:
                workers.shutdown(cancel_futures=True)
                torch.set_num_threads(threads)

    def _kept(self, outputs: Mapping[str, Output]) -> set[str]:
        """The files of an earlier run that still are what was recorded, as is what they were made from."""
        finished = self._staging.finished() if self._settings.hashed else {}
        found: set[str] = set()
        for source, output in outputs.items():
            record = finished.get(output.name)
            path = self._staging.folder / output.name
            if record is None or not path.is_file():
                continue
            expected = {str(path): self._digests.of(path) for path in self._reads(source, output)}
            same = record["inputs"] == {name: future.result() for name, future in expected.items()}
            if same and record["sha256"] == self._digests.submit(partial(digest, path)).result():
                found.add(output.name)
        return found

    def _open(self, source: str, output: Output) -> Iterator[Callable[[], None]]:
        """The tasks of a file, in the order of its bytes."""
        path = self._staging.file(output.name, output.header, output.size)
        shard = Shard(output, source, path)
        tasks: list[Callable[[Shard], int]] = []
        for key, entry in output.entries.items():
            if key in self._computed:
                tasks += [partial(self._compute, key, entry, index) for index in range(self._computed[key].tiles)]
            else:
                tasks += [partial(self._copy, key, entry, at) for at in range(0, entry.stop - entry.start, CHUNK)]
        shard.left = len(tasks) + 1
        return (partial(self._run, shard, task) for task in [*tasks, _nothing])

    def _run(self, shard: Shard, task: Callable[[Shard], int]) -> None:
        count = task(shard)
        with self._lock:
            self._done += count
            shard.left -= 1
            if not shard.left:
                self._closing.append(self._digests.submit(partial(self._close, shard)))
        self._say(f"merging {shard.output.name}", self._done / self._total)

    def _compute(self, key: str, entry: Entry, index: int, shard: Shard) -> int:
        computed = self._computed[key]
        with self._budget.of(computed.cost):
            exact = computed.tile(index)
            new = rounded(exact, computed.stored)
            first, _ = computed.place(index)
            data = raw(new)
            row = (entry.stop - entry.start) // max(1, entry.shape[0]) if entry.shape else 0
            write_at(shard.path, entry.start + first * row, data.data)
            if index % self._settings.every == 0 and computed.has_base:
                shard.losses[key, index] = computed.measure(index, exact, new)
        return data.nbytes

    def _copy(self, key: str, entry: Entry, at: int, shard: Shard) -> int:
        base = self._operands.base
        size = min(CHUNK, entry.stop - entry.start - at)
        if base.loaded is not None:
            data = raw(base.loaded[key]).data[at : at + size]
        else:
            data = np.empty(size, np.uint8).data
            read_into(base.file(base.homes[key]), base.entry(key).start + at, data)
        write_at(shard.path, entry.start + at, data)
        return size

    def _close(self, shard: Shard) -> None:
        """Make sure that a file is on disk, and record it."""
        sync(shard.path)
        losses = {key: asdict(loss) for key, loss in shard.measured().items()}
        own, inputs = None, dict[str, str]()
        if self._settings.hashed:
            inputs = {str(path): self._digests.now(path) for path in self._reads(shard.source, shard.output)}
            own = digest(shard.path)
        record = {"sha256": own, "inputs": inputs, "losses": losses}
        self._staging.finish(shard.output.name, record)

    def _reads(self, source: str, output: Output) -> list[Path]:
        """The files that a file is made from."""
        found = {self._operands.base.file(source)}
        for key in output.entries:
            if key in self._computed:
                found |= self._computed[key].files()
        return sorted(found)


def _keep_freed_memory() -> None:
    """Let the C library give the memory of one tile to the next, and not back to the system in between.

    A page that is asked for anew costs more than what is computed on it.  Only glibc has these settings.
    """
    with suppress(OSError, AttributeError):
        set_option = CDLL(None).mallopt
        set_option(M_MMAP_THRESHOLD, KEPT)
        set_option(M_TRIM_THRESHOLD, KEPT)


def _nothing(shard: Shard) -> int:
    """The task of a file without tensors, so that each has a last one."""
    return 0


def _all(futures: list[Future[None]]) -> None:
    wait(futures, return_when=FIRST_EXCEPTION)
    for future in futures:
        if future.done():
            future.result()
