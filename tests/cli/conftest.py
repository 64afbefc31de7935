"""Commands run inside the test's process, in an empty folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from repc.cli import main


@dataclass(frozen=True)
class Ran:
    """What a command gave."""

    code: int
    out: str
    err: str

    @property
    def masked(self) -> str:
        """The output without times, sizes of files and roundings, which differ between machines."""
        text = re.sub(r"\d+\.\d s\b", "0.0 s", self.out)
        text = re.sub(r"\d+(\.\d+)?x noise at .*", "…x noise at …", text)
        return re.sub(r" +\d+(\.\d+)? (kB|MB|B)\b", " … B", text)


Repc = Callable[..., Ran]


@pytest.fixture
def repc(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repc:
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Ran:
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run
