"""Text to tree, or every syntax error of the text.

A file is parsed whole.  Only where that fails it is cut at the words that begin an item in the first column, and each
piece is parsed alone, so that one mistake does not hide those of the other items.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any, cast

from repc.diagnostics import Diagnostic, Failure, Source, Span
from repc.syntax import errors, tree
from repc.syntax.builder import VERSION, Builder
from repc.syntax.lalr import Parser, Stop
from repc.syntax.scan import MAX_DEPTH, check_text, lexemes

MAX_ERRORS = 50  # of one file

ITEM = re.compile(r'^(?:import|block|model|adapt|target)\b(?=[ \t]+[A-Za-z_"])', re.MULTILINE)
HEADER = re.compile(r"(?:[ \t\r\n]|#[^\n]*+)*+repc\b(?:[ \t\r\n]|#[^\n]*+)*+([0-9]+)\b")


def parse(source: Source) -> tree.File:
    """The tree of a file; raises `Failure` with every syntax error of it."""
    check_text(source)
    try:
        return _parse(source, "file", 0, len(source.text))
    except (Stop, Failure):
        raise Failure(_all_errors(source)) from None


def parse_expression(source: Source) -> tree.Expr:
    """The tree of a text that is one expression; raises `Failure`."""
    check_text(source)
    return _parse_piece(source, "expr", 0, len(source.text))


# ---------------------------------------------------------------- one parse


@cache
def _parser() -> Parser:
    return Parser(Builder())


def _parse(source: Source, start: str, base: int, end: int) -> Any:
    """What the text from `base` to `end` is as a `start` of the grammar; raises `Stop` or `Failure`."""
    result = _parser().parse(source, start, base, end)
    _check_depth(result)
    return result


def _check_depth(result: object) -> None:
    """Later stages recurse over expressions; here the depth is found level by level, which cannot overflow."""
    level = list(_expressions(result))
    for _ in range(MAX_DEPTH):
        level = [inner for expr in level for inner in _expressions(expr.parts())]
    if level:
        raise Failure(errors.too_deep(level[0].span, MAX_DEPTH))


def _expressions(part: object) -> Iterator[tree.Expr]:
    """The outermost expressions in a part of the tree, or in a tuple of parts."""
    if isinstance(part, tree.Expr):
        yield part
    elif isinstance(part, tree.Tree):
        yield from _expressions(part.parts())
    elif isinstance(part, tuple):
        for inner in cast("tuple[object, ...]", part):
            yield from _expressions(inner)


# ---------------------------------------------------------------- all errors


def _all_errors(source: Source) -> list[Diagnostic]:
    """At most one error of the header and of each item, in the order of the text."""
    text = source.text
    cuts = [match.start() for match in ITEM.finditer(text)]
    header = HEADER.match(text)
    found: list[Diagnostic] = []
    if header is None:
        found.append(errors.missing_version(_first(source)))
        pieces = pairwise([*cuts, len(text)])
    elif header[1] != str(VERSION):
        return [errors.unsupported_version(Span(source, *header.span(1)), VERSION)]
    else:
        pieces = pairwise([header.end(), *cuts, len(text)])
    for start, end in pieces:
        try:
            _parse_piece(source, "items", start, end)
        except Failure as failure:
            found.extend(failure.diagnostics)
        if len(found) == MAX_ERRORS:
            break
    return found


def _first(source: Source) -> Span:
    """The first lexeme of a text, or its start."""
    match = next(lexemes(source.text, 0, len(source.text)), None)
    return Span(source, match.start, match.end) if match else Span(source, 0, 0)


def _parse_piece(source: Source, start: str, base: int, end: int) -> Any:
    """As `_parse`, but raises `Failure` with the one error that is found."""
    try:
        return _parse(source, start, base, end)
    except Stop as stop:
        from repc.syntax.diagnose import diagnose

        raise Failure(diagnose(stop, base, _parser().spellings)) from None
