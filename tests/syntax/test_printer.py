"""Printing and parsing are inverse, formatting keeps every comment and is its own fixed point."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repc.diagnostics import Source
from repc.syntax import layout, parse, parse_expression, printer, tree
from repc.syntax.printer import format_text, print_file
from repc.syntax.text import expression_text
from tests.strategies import expressions, files

ROOT = Path(__file__).parents[2]
SPECS = sorted((ROOT / "specs").rglob("*.rep")) + sorted((ROOT / "tests/syntax").glob("*.rep"))


def source(text: str) -> Source:
    return Source("test.rep", text)


def ungrouped(part: Any) -> Any:
    """A part of a tree without the parentheses that only precedence needs."""
    if isinstance(part, tuple):
        return tuple(ungrouped(inner) for inner in part)
    if isinstance(part, tree.Group) and part.label is None:
        return ungrouped(part.value)
    if isinstance(part, tree.Tree):
        return type(part)(part.span, *map(ungrouped, part.parts()))
    return part


@given(expressions)
def test_an_expression_is_what_its_text_says(made: tree.Expr) -> None:
    text = expression_text(made)
    parsed = parse_expression(source(text))
    assert ungrouped(parsed) == ungrouped(made)
    assert expression_text(parsed) == text


@contextmanager
def lines_of(width: int) -> Iterator[None]:
    """Prints to another width; a narrow one breaks whatever can be broken."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "WIDTH", width)
        patch.setattr(printer, "WIDTH", width)
        yield


@pytest.mark.parametrize("width", [16, 100])
@given(made=files)
def test_a_file_is_what_its_text_says(made: tree.File, width: int) -> None:
    with lines_of(width):
        text = print_file(made)
        parsed = parse(source(text))
        assert ungrouped(parsed) == ungrouped(made)
        assert print_file(parsed) == text == format_text(source(text))


def commented(text: str, data: st.DataObject) -> tuple[str, list[str]]:
    """The text with comments, blank lines and line ends put at some of its white space."""
    comments: list[str] = []

    def space(match: re.Match[str]) -> str:
        kind = data.draw(st.sampled_from(["keep"] * 8 + ["line", "blank", "trailing", "own"]))
        if kind in ("trailing", "own"):
            comments.append(f"# {len(comments)}")
        put = {"line": "\n", "blank": " \n\n\n", "trailing": "  {}\n", "own": "\n\n {}\n"}
        return put[kind].format(comments[-1:] and comments[-1]) if kind in put else match.group()

    return re.sub(r"""("[^"\n]*")|\s+""", lambda match: match[1] or space(match), text), comments


@pytest.mark.parametrize("width", [16, 100])
@given(made=files, data=st.data())
def test_formatting_keeps_all_comments_and_is_stable(made: tree.File, data: st.DataObject, width: int) -> None:
    with lines_of(width):
        text = print_file(made)
        changed, comments = commented(text, data)
        formatted = format_text(source(changed))
        assert ungrouped(parse(source(formatted))) == ungrouped(made)
        for comment in comments:
            assert len(re.findall(rf"{comment}(?!\d)", formatted)) == 1
        assert format_text(source(formatted)) == formatted
        assert "\n\n\n" not in formatted


@pytest.mark.parametrize("path", SPECS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_spec_survives_printing(path: Path) -> None:
    text = source(path.read_text(encoding="utf-8"))
    file = parse(text)
    assert parse(source(print_file(file))) == file
    assert parse(source(format_text(text))) == file
