"""The three forms of a diagnostic: exact text, carets under what they mean, escapes that hold."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repc.diagnostics import Diagnostic, Label, Source, Span
from repc.diagnostics.render import render

SOURCE = Source("dir/net.rep", "repc 1\nblock A(x: [b]) =\n  x >> conv: Conv(8)\n    >> 中文 ReLU()\n")


def at(text: str, source: Source = SOURCE) -> Span:
    start = source.text.index(text)
    return Span(source, start, start + len(text))


FULL = Diagnostic(
    "E301",
    "8 channels do not fit",
    Label(at("Conv(8)"), "makes 8"),
    "write `Conv(16)`",
    (Label(at("block A"), "in this block"),),
    ("the sum has 16 channels",),
)


def test_the_text_form() -> None:
    assert render([FULL]) == (
        "error[E301]: 8 channels do not fit\n"
        " --> dir/net.rep:3:14\n"
        "  |\n"
        "3 |   x >> conv: Conv(8)\n"
        "  |              ^^^^^^^ makes 8\n"
        " ::: dir/net.rep:2:1\n"
        "  |\n"
        "2 | block A(x: [b]) =\n"
        "  | ------- in this block\n"
        "  |\n"
        "  = note: the sum has 16 channels\n"
        "  = help: write `Conv(16)`\n"
    )


def test_without_a_place_only_the_words_remain() -> None:
    warning = Diagnostic("E901", "the cache is old", help="remove it", severity="warning")
    assert render([warning]) == "warning[E901]: the cache is old\n  = help: remove it\n"


def test_diagnostics_are_apart_and_in_order() -> None:
    one, two = Diagnostic("E901", "one"), Diagnostic("E902", "two")
    assert render([two, one]) == "error[E902]: two\n\nerror[E901]: one\n"
    assert render([]) == ""


def test_color_changes_nothing_but_color() -> None:
    painted = render([FULL], color=True)
    assert "\x1b[1;31m^^^^^^^ makes 8\x1b[0m" in painted
    plain = painted
    for code in ("1", "1;31", "1;34", "0"):
        plain = plain.replace(f"\x1b[{code}m", "")
    assert plain == render([FULL])


def columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in text)


@pytest.mark.parametrize("before", ["", "\t\t", "中文 ", "e\u0301 ", "\t中 ", "a" * 300 + " "])
def test_carets_stand_under_what_they_mean(before: str) -> None:
    source = Source("a.rep", f"{before}wrong字 after\n")
    shown = render([Diagnostic("E100", "t", Label(at("wrong字", source), "here"))]).splitlines()
    line, marks = shown[3], shown[4]
    assert columns(line[: line.index("wrong")]) == marks.index("^")
    assert marks.count("^") == 7


def test_a_long_line_is_cut_on_both_sides() -> None:
    source = Source("a.rep", "x" * 1000 + "wrong" + "y" * 1000)
    shown = render([Diagnostic("E100", "t", Label(at("wrong", source), "here"))]).splitlines()
    assert shown[3].startswith("1 | …x")
    assert shown[3].endswith("y…")
    assert len(shown[3]) < 180
    assert shown[3].index("wrong") == shown[4].index("^")


def test_of_several_lines_the_first_is_marked() -> None:
    shown = render([Diagnostic("E100", "t", Label(Span(SOURCE, 7, len(SOURCE.text)), "all of it"))])
    assert "2 | block A(x: [b]) =\n  | ^^^^^^^^^^^^^^^^^ all of it\n" in shown


def test_the_end_of_the_text_is_a_place() -> None:
    end = Span(SOURCE, len(SOURCE.text), len(SOURCE.text))
    assert render([Diagnostic("E100", "t", Label(end, "here"))]).endswith(":5:1\n  |\n5 |\n  | ^ here\n")


def test_nothing_that_a_terminal_obeys_comes_through() -> None:
    source = Source("a\x1b[2J.rep", "x \x1b[31m \x9b y\r\n")
    shown = render(
        [Diagnostic("E100", "ti\x07tle\n", Label(Span(source, 0, 1), "\x1b]0;label"), "h\x1b", (), ("n\x08",))]
    )
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert len(shown.splitlines()) == 8


def test_json_has_every_fact() -> None:
    (record,) = json.loads(render([FULL], format="json"))
    assert record == {
        "code": "E301",
        "severity": "error",
        "title": "8 channels do not fit",
        "file": "dir/net.rep",
        "line": 3,
        "column": 14,
        "end_line": 3,
        "end_column": 21,
        "label": "makes 8",
        "help": "write `Conv(16)`",
        "notes": ["the sum has 16 channels"],
        "related": [
            {
                "file": "dir/net.rep",
                "line": 2,
                "column": 1,
                "end_line": 2,
                "end_column": 8,
                "label": "in this block",
            }
        ],
    }


def test_json_without_a_place_has_the_same_keys() -> None:
    (with_place,) = json.loads(render([FULL], format="json"))
    (without,) = json.loads(render([Diagnostic("E901", "t")], format="json"))
    assert list(without) == list(with_place)
    assert without["file"] is None
    assert render([], format="json") == "[]\n"


def test_github_annotations() -> None:
    assert render([FULL], format="github") == (
        "::error file=dir/net.rep,line=3,col=14,endLine=3,endColumn=21,title=E301::"
        "8 channels do not fit%0Amakes 8%0Athe sum has 16 channels%0Awrite `Conv(16)`\n"
    )
    odd = Source("a:b,c%.rep", "x")
    assert render([Diagnostic("E9", "50%\r", Label(Span(odd, 0, 1), ""), severity="warning")], format="github") == (
        "::warning file=a%3Ab%2Cc%25.rep,line=1,col=1,endLine=1,endColumn=2,title=E9::50%25%0D\n"
    )
    assert render([Diagnostic("E901", "t\udcff")], format="github") == "::error title=E901::t?\n"


@given(st.text(), st.integers(0, 50), st.integers(0, 50), st.text())
def test_any_place_in_any_text_can_be_shown(text: str, start: int, length: int, words: str) -> None:
    start = min(start, len(text))
    span = Span(Source(words, text), start, min(start + length, len(text)))
    shown = render([Diagnostic("E100", words, Label(span, words), words)])
    assert all(c.isprintable() or c in "\n\u3000" for c in shown)
    assert json.loads(render([Diagnostic("E100", words, Label(span, words))], format="json"))[0]["title"] == words
    assert render([Diagnostic("E100", words, Label(span, words))], format="github").count("\n") == 1
