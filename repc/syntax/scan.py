"""What can be said about a text without parsing it: its comments, brackets and words.

This is enough to bound the parser's work beforehand, to keep comments, and to explain a text that does not parse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from repc.diagnostics import Failure, Source, Span
from repc.syntax import errors

MAX_BYTES = 1_000_000
MAX_TOKENS = 100_000  # about a second of parsing
MAX_DEPTH = 100  # of brackets and of expressions: later stages may recurse over a tree without a guard of their own

# Line ends and tabs are white space; of the other control characters none, and nothing that reverses the writing.
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
OPAQUE = r'#[^\n]*|"[^"\r\n]*"?'  # comments and strings, in which brackets mean nothing
BRACKET = re.compile(rf"{OPAQUE}|[(\[{{]|[)\]}}]")
LEXEME = re.compile(rf"{OPAQUE}|\w+|>>|->|=>|\|>|==|!=|<=|>=|\.\.\.|\.\.|\S")


class Lexeme(NamedTuple):
    """A string, word, bracket or mark of the text."""

    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def read_source(name: str, data: bytes) -> Source:
    """The text of a file; raises `Failure` where the bytes are no UTF-8 text or too many."""
    if len(data) > MAX_BYTES:
        raise Failure(errors.too_large(Span(Source(name, ""), 0, 0), len(data), MAX_BYTES, "bytes"))
    try:
        source = Source(name, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        readable = data[: error.start].decode("utf-8-sig")
        source = Source(name, readable + "\N{REPLACEMENT CHARACTER}")
        place = Span(source, len(readable), len(readable) + 1)
        raise Failure(errors.not_utf8(place, error.start, data[error.start])) from None
    return source


def check_text(source: Source) -> None:
    """Raises `Failure` for invisible characters, and for more or deeper text than is worth parsing."""
    if match := CONTROL.search(source.text):
        raise Failure(errors.control_character(Span(source, *match.span())))
    if (
        len(source.text) > MAX_TOKENS
        and (count := sum(1 for _ in lexemes(source.text, 0, len(source.text)))) > MAX_TOKENS
    ):
        raise Failure(errors.too_large(Span(source, 0, 0), count, MAX_TOKENS, "words and marks"))
    depth = 0
    for match in BRACKET.finditer(source.text):
        bracket = match.group()
        depth += (bracket in "([{") - (bracket in ")]}" and depth > 0)
        if depth > MAX_DEPTH:
            raise Failure(errors.too_deep(Span(source, *match.span()), MAX_DEPTH))


def comments(text: str) -> Iterator[Lexeme]:
    """The comments, without the white space at their ends."""
    for match in BRACKET.finditer(text):
        if match.group().startswith("#"):
            yield Lexeme(match.group().rstrip(), match.start())


def lexemes(text: str, start: int, end: int) -> Iterator[Lexeme]:
    """Everything between two offsets but comments and white space."""
    for match in LEXEME.finditer(text, start, end):
        if match.group()[0] != "#":
            yield Lexeme(match.group(), match.start())


def open_brackets(found: list[Lexeme]) -> list[Lexeme]:
    """The brackets that are open at the end, outermost first; one that closes nothing is passed over."""
    stack: list[Lexeme] = []
    for lexeme in found:
        if lexeme.text in errors.CLOSING:
            stack.append(lexeme)
        elif stack and lexeme.text == errors.CLOSING[stack[-1].text]:
            stack.pop()
    return stack
