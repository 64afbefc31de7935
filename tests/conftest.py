"""What all tests share: golden files, and one thread for each process.

Tests run in a process for each core.  Kernels on small tensors gain nothing from a second thread, whose waiting costs
the other processes five times the work itself.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is first imported


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files instead of comparing")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compares a text with the one that a file holds; with `--update-golden` the file is written instead."""

    def check(path: Path, text: str) -> None:
        if request.config.getoption("--update-golden"):
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path} is missing; look at the text and run pytest --update-golden"
        assert text == path.read_text(encoding="utf-8")

    return check
