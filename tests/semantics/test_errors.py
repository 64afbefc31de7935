"""Each error of the semantics on a tiny file, with the exact text that a person sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from repc.diagnostics import Diagnostic, Failure, Source
from repc.diagnostics.render import render
from repc.semantics import FileLibrary, check, load

CASES = sorted((Path(__file__).parents[1] / "errors" / "semantics").glob("*.rep"))


def errors(path: Path) -> list[Diagnostic]:
    try:
        return check(load(Source(path.name, path.read_text(encoding="utf-8")), FileLibrary()))
    except Failure as failure:
        return list(failure.diagnostics)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_error(path: Path, golden: Callable[[Path, str], None]) -> None:
    found = errors(path)
    assert found, "the file has no error"
    assert all(diagnostic.help for diagnostic in found)
    golden(path.with_suffix(".txt"), render(found, format="text"))
