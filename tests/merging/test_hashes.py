"""Hashes of files, as a whole and while they are written."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path
from random import Random

import pytest
from blake3 import blake3

from repc.merging import hashes
from repc.merging.hashes import Digests, Running, digest
from repc.merging.staging import write_at


def test_the_hash_is_that_of_b3sum(tmp_path: Path) -> None:
    """The test vectors of BLAKE3: bytes that count up to 250 and begin again."""
    counting = tmp_path / "counting"
    counting.write_bytes(bytes(i % 251 for i in range(1025)))
    assert digest(counting) == "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"
    (tmp_path / "empty").write_bytes(b"")
    assert digest(tmp_path / "empty") == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


def test_a_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashes, "STEP", 10)
    file = tmp_path / "file"
    file.write_bytes(Random(1).randbytes(1234))
    with Digests() as digests:
        first = digests.of(file)
        assert first.result() == blake3(file.read_bytes()).hexdigest()
        assert digests.of(file) is first


def written(file: Path, sizes: tuple[int, ...], do: Callable[[list[Callable[[], None]]], object]) -> str:
    """The hash of a file whose parts are written by tasks, done as `do` does them."""
    content = memoryview(Random(2).randbytes(sum(sizes)))
    with file.open("w+b", buffering=0) as opened:
        running = Running(opened)

        def put(start: int, size: int) -> None:
            write_at(opened, start, content[start : start + size])
            running.add(start, content[start : start + size])

        do([lambda i=i: put(sum(sizes[:i]), sizes[i]) for i in range(len(sizes))])
    assert file.read_bytes() == content
    assert digest(file) == blake3(content).hexdigest()
    return running.digest()


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_parts_come_in_any_order(order: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashes, "STEP", 7)  # so that parts are read again in several steps
    found = written(tmp_path / "file", (5, 23, 7, 14), lambda tasks: [tasks[i]() for i in order])
    assert found == digest(tmp_path / "file")


def test_parts_come_from_several_threads(tmp_path: Path) -> None:
    def together(tasks: list[Callable[[], None]]) -> None:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda task: task(), tasks))

    assert written(tmp_path / "file", (3000,) * 500, together) == digest(tmp_path / "file")
