"""Hashes of files, as a whole and while they are written."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import permutations
from mmap import ALLOCATIONGRANULARITY
from pathlib import Path
from random import Random

import pytest
from xxhash import xxh128_hexdigest

from repc.merging import hashes
from repc.merging.hashes import Digests, Kind, Running, digest
from repc.merging.staging import write_at


@pytest.mark.parametrize(
    ("kind", "empty"),
    [
        ("xxh128", "99aa06d3014798d86001c324468d497f"),
        ("sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ],
)
def test_the_hash_is_that_of_its_tool(kind: Kind, empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashes, "WINDOW", ALLOCATIONGRANULARITY)
    (tmp_path / "empty").write_bytes(b"")
    assert digest(tmp_path / "empty", kind) == empty
    content = Random(1).randbytes(2 * ALLOCATIONGRANULARITY + 123)
    (tmp_path / "file").write_bytes(content)
    wanted = {"xxh128": xxh128_hexdigest(content), "sha256": sha256(content).hexdigest()}
    assert digest(tmp_path / "file", kind) == wanted[kind]


def test_a_file_is_hashed_once(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(Random(1).randbytes(1234))
    with Digests("xxh128") as digests:
        first = digests.of(file)
        assert first.result() == digests.at_once(file) == xxh128_hexdigest(file.read_bytes())
        assert digests.of(file) is first


def test_a_file_that_is_not_hashed_is_not_read(tmp_path: Path) -> None:
    with Digests(None) as digests:
        assert digests.of(tmp_path / "nowhere").result() is None


def written(file: Path, sizes: tuple[int, ...], do: Callable[[list[Callable[[], None]]], object]) -> str:
    """The hash of a file whose parts are written by tasks, done as `do` does them."""
    content = memoryview(Random(2).randbytes(sum(sizes)))
    with file.open("w+b", buffering=0) as opened:
        running = Running(opened, "xxh128")

        def put(start: int, size: int) -> None:
            write_at(opened, start, content[start : start + size])
            running.add(start, content[start : start + size])

        do([lambda i=i: put(sum(sizes[:i]), sizes[i]) for i in range(len(sizes))])
    assert file.read_bytes() == content
    assert digest(file, "xxh128") == xxh128_hexdigest(content)
    return running.digest()


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_parts_come_in_any_order(order: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashes, "STEP", 7)  # so that parts are read again in several steps
    found = written(tmp_path / "file", (5, 23, 7, 14), lambda tasks: [tasks[i]() for i in order])
    assert found == digest(tmp_path / "file", "xxh128")


def test_a_part_without_bytes_comes_at_any_time(tmp_path: Path) -> None:
    found = written(tmp_path / "file", (5, 23, 0, 14, 0), lambda tasks: [tasks[i]() for i in (3, 2, 4, 1, 0)])
    assert found == digest(tmp_path / "file", "xxh128")


def test_parts_come_from_several_threads(tmp_path: Path) -> None:
    def together(tasks: list[Callable[[], None]]) -> None:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda task: task(), tasks))

    assert written(tmp_path / "file", (3000,) * 500, together) == digest(tmp_path / "file", "xxh128")
