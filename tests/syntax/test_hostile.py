"""Any bytes at all end in a tree or in a `Failure`, soon."""

import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repc.diagnostics import Failure, Source
from repc.diagnostics.render import render
from repc.syntax import parse, parse_expression, read_source, tree
from repc.syntax.printer import format_text, print_file
from repc.syntax.scan import MAX_BYTES, MAX_DEPTH, MAX_TOKENS

SAMPLE = (Path(__file__).parent / "sample.rep").read_bytes()
HEAD = "repc 1\nblock A(x: [b]) = "
PIECES = st.sampled_from([
    "repc 1", "\n", "block ", "model ", "adapt ", "target ", "import ", "{", "}", "(", ")", "[", "]", "<", ">", ">>",
    "->", "=", "==", ":", " : ", ",", "|", ".", "..", "...", '"', "#", "'", "\\", "\x00", "\t", "\u00a0", "−", "x", "3",
    "1.5", "4. 9", "sum ", "sum {", "repeat ", "when ", "for ", "return ", "let ", "weight ", "expect ", "at ", "if ",
    "then ", "else ", "stage{i}: ", "**.a",
])  # fmt: skip


def outcome(data: bytes) -> list[str]:
    """The codes of all errors; whatever is said can be shown in every form."""
    try:
        source = read_source("hostile.rep", data)
        formatted = format_text(source)
        assert parse(Source("formatted", formatted)) == parse(source)
        return []
    except Failure as failure:
        found = failure.diagnostics
    assert found
    for format in ("text", "json", "github"):
        assert render(found, format=format).encode()
    return [diagnostic.code for diagnostic in found]


@given(st.binary(max_size=200))
def test_random_bytes(data: bytes) -> None:
    outcome(data)


@given(st.lists(PIECES | st.text(max_size=3), max_size=40), st.booleans())
def test_random_pieces_of_the_language(pieces: list[str], headed: bool) -> None:
    outcome(((HEAD if headed else "") + "".join(pieces)).encode("utf-8", "replace"))


@given(st.integers(0, len(SAMPLE)), st.integers(0, 30), PIECES)
def test_a_spec_with_one_change(start: int, length: int, piece: str) -> None:
    outcome(SAMPLE[:start] + piece.encode() + SAMPLE[start + length :])


@given(st.lists(PIECES, max_size=12))
def test_an_expression_of_pieces(pieces: list[str]) -> None:
    with suppress(Failure):
        parse_expression(Source("--set", "".join(pieces)))


FLOODS = {
    "brackets": HEAD + "(" * MAX_BYTES,
    "sums": HEAD + "a" + "+a" * (MAX_TOKENS // 2 - 10),
    "signs": HEAD + "-" * (MAX_TOKENS - 20) + "a",
    "conditionals": HEAD + "if a then a else " * (MAX_TOKENS // 5) + "a",
    "list": HEAD + "[" + "a," * (MAX_TOKENS // 2 - 10) + "a]",
    "open list": HEAD + "[" + "a," * (MAX_TOKENS // 2 - 10),
    "merges": HEAD + "sum((x)" * (MAX_BYTES // 8),
    "one name": HEAD + "a" * MAX_BYTES,
    "digits": HEAD + "9" * MAX_BYTES,
    "version": "repc " + "9" * MAX_BYTES,
    "comments": "# a b  \n" * (MAX_BYTES // 8),
    "quotes": HEAD + '"' * MAX_BYTES,
    "wrong items": "repc 1\n" + "block 3\n" * (MAX_TOKENS // 2 - 10),
    "wrong names": "repc 1\n" + "import a b\n" * (MAX_TOKENS // 3 - 10),
    "zeros": "\0" * MAX_BYTES,
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_megabyte_ends_in_few_errors(name: str) -> None:
    """Nothing here is quadratic: one that were would not end."""
    codes = outcome(FLOODS[name][:MAX_BYTES].encode())
    assert len(codes) <= 50


def test_what_is_too_large_is_not_even_decoded() -> None:
    assert outcome(b"\xff" * (MAX_BYTES + 1)) == ["E104"]
    assert outcome(b"x " * (MAX_TOKENS + 1)) == ["E104"]


def deep(levels: int) -> str:
    return HEAD + "f(x >> " * levels + "x" + ")" * levels


def test_the_deepest_tree_that_is_let_in_overflows_nothing() -> None:
    calls = deep((MAX_DEPTH - 1) // 2)
    conditionals = HEAD + "if x then x else " * (MAX_DEPTH - 1) + "x"
    for text in (calls, conditionals, HEAD + "x" + " + x" * (MAX_DEPTH - 1)):
        source = Source("deep.rep", text)
        file = parse(source)
        assert file == parse(source)
        assert hash(file) == hash(parse(source))
        assert parse(Source("again", print_file(file))) == file
        assert format_text(Source("again", format_text(source))) == format_text(source)
    assert outcome(deep(MAX_DEPTH // 2).encode()) == ["E109"]
    assert outcome((HEAD + "x" + " + x" * MAX_DEPTH).encode()) == ["E109"]
    assert sys.getrecursionlimit() <= 1000


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("repc 1x", ["E101"]),
        ("repc1", ["E101"]),
        ("repc\u00a01", ["E101"]),
        ("repc 01", ["E102"]),
        ("repc 1.5", ["E125"]),
        ("# first\nrepc # then\n1\nimport 3", ["E125"]),
        ("repc 1 # only this", []),
    ],
)
def test_the_version_line(text: str, codes: list[str]) -> None:
    assert outcome(text.encode()) == codes


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert parse(read_source("marked.rep", b"\xef\xbb\xbfrepc 1\n")) == parse(Source("plain", "repc 1\n"))


def test_windows_line_ends_are_line_ends() -> None:
    plain = read_source("a.rep", SAMPLE)
    windows = read_source("a.rep", SAMPLE.replace(b"\n", b"\r\n"))
    assert parse(windows) == parse(plain)
    assert format_text(windows) == format_text(plain)
    assert isinstance(parse(windows), tree.File)
