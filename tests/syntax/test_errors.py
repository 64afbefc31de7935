"""Every syntax error, in the exact words that a person sees."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from repc.diagnostics import Failure
from repc.diagnostics.render import render
from repc.syntax import errors, parse, read_source

CASES = sorted((Path(__file__).parents[1] / "errors" / "syntax").glob("*.rep"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_error_says(path: Path, golden: Callable[[Path, str], None]) -> None:
    with pytest.raises(Failure) as failure:
        parse(read_source(path.name, path.read_bytes()))
    golden(path.with_suffix(".txt"), render(failure.value.diagnostics))


def test_every_error_has_a_page_and_a_case() -> None:
    pages = [re.match(r"E1\d\d", error.__doc__ or "") for error in errors.ERRORS]
    assert all(pages)
    codes = {page.group() for page in pages if page}
    assert len(codes) == len(errors.ERRORS)
    shown = {code for path in CASES for code in re.findall(r"E1\d\d", path.with_suffix(".txt").read_text("utf-8"))}
    assert codes - shown == {"E104"}, "too large a file for a case; tests/syntax/test_hostile.py has it"
