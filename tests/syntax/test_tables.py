"""The tables are those of the grammar, and the automaton that runs them parses as lark does."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import lark
import pytest
from hypothesis import given

from repc.diagnostics import Source
from repc.syntax import tables, tree
from repc.syntax.lalr import Parser, Stop
from repc.syntax.lexer import Token
from repc.syntax.printer import print_file
from tests.strategies import files

ROOT = Path(__file__).parents[2]
SPECS = [*sorted((ROOT / "specs").rglob("*.rep")), Path(__file__).parent / "sample.rep"]


def test_the_tables_are_up_to_date() -> None:
    assert tables.main(["--check"]) == 0


def test_tables_of_another_grammar_are_found_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tables, "tables", lambda: "{}\n")
    assert tables.main(["--check"]) == 1
    assert "python -m repc.syntax.tables" in capsys.readouterr().err
    assert tables.main(["--chekc"]) == 2


class Recorder:
    """A builder that only writes down what it is asked to make."""

    def __getattr__(self, name: str) -> Any:
        return lambda parts: (name, [(part.kind, part.text) if isinstance(part, Token) else part for part in parts])


def recorded(part: Any) -> Any:
    """The same, of what lark made."""
    if isinstance(part, lark.Tree):
        return str(part.data), [recorded(child) for child in part.children]
    return (part.type, str(part)) if isinstance(part, lark.Token) else part


@pytest.fixture(scope="module")
def theirs() -> Any:
    return tables.lark_parser(lexer="contextual")


OURS = Parser(Recorder())


@pytest.mark.parametrize("path", SPECS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_spec_parses_as_lark_parses_it(path: Path, theirs: Any) -> None:
    text = path.read_text(encoding="utf-8")
    assert OURS.parse(Source("spec", text), "file", 0, len(text)) == recorded(theirs.parse(text, start="file"))


@given(made=files)
def test_any_file_parses_as_lark_parses_it(made: tree.File, theirs: Any) -> None:
    text = print_file(made)
    assert OURS.parse(Source("made", text), "file", 0, len(text)) == recorded(theirs.parse(text, start="file"))


def test_what_is_expected_does_not_depend_on_what_follows() -> None:
    source = Source("wrong", "(x : 3)")
    with pytest.raises(Stop) as stop:
        OURS.parse(source, "expr", 0, len(source.text))
    assert stop.value.kind == "COLON"
    assert {"RPAR", "COMMA", "PLUS", "INTO"} <= stop.value.expected
    assert not {"RSQB", "VBAR", "INT"} & stop.value.expected


def test_parsing_needs_no_lark() -> None:
    script = (
        "import sys; from repc.syntax import parse; from repc.diagnostics import Source\n"
        "parse(Source('a', 'repc 1')); print('lark' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
