"""Diagnostics as text for people, JSON for tools, or annotations for GitHub.

The text form follows rustc: the place, the line with carets under it, related places, notes, help.  What comes from
a file (names, lines) is cleaned on the way out, so that a spec cannot move the cursor or fake other output.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from repc.diagnostics.diagnostic import Diagnostic, Label
from repc.diagnostics.span import Span

Format = Literal["text", "json", "github"]
Paint = Callable[[str, str], str]

TAB = "    "
WINDOW = 160  # characters of a line that are shown,
BEFORE = 80  # and how many of these may precede the place itself

BOLD, RED, YELLOW, BLUE = "1", "1;31", "1;33", "1;34"


def render(diagnostics: Sequence[Diagnostic], *, format: Format = "text", color: bool = False) -> str:
    """The diagnostics in their order, ready to be written; `color` adds ANSI codes to the text form."""
    if format == "json":
        return json.dumps([_record(diagnostic) for diagnostic in diagnostics], indent=2) + "\n"
    if format == "github":
        return "".join(f"{_annotation(diagnostic)}\n" for diagnostic in diagnostics)
    paint = _ansi if color else _plain
    return "\n".join("".join(f"{line}\n" for line in _lines(diagnostic, paint)) for diagnostic in diagnostics)


# ---------------------------------------------------------------- text


def _plain(text: str, code: str) -> str:
    return text


def _ansi(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m"


def _lines(diagnostic: Diagnostic, paint: Paint) -> Iterator[str]:
    severity = RED if diagnostic.severity == "error" else YELLOW
    head = paint(f"{diagnostic.severity}[{diagnostic.code}]", severity)
    yield head + paint(f": {_clean(diagnostic.title)}", BOLD)
    places = [*([diagnostic.primary] if diagnostic.primary else []), *diagnostic.related]
    margin = " " * max((len(str(_line_of(place.span))) for place in places), default=1)
    bar = paint(f"{margin} |", BLUE)
    for place in places:
        main = place is diagnostic.primary
        yield from _snippet(
            place, "-->" if main else ":::", "^" if main else "-", severity if main else BLUE, margin, paint
        )
    remarks = [("note", note) for note in diagnostic.notes] + ([("help", diagnostic.help)] if diagnostic.help else [])
    if places and remarks:
        yield bar
    for kind, text in remarks:
        yield f"{margin} {paint('=', BLUE)} {paint(kind, BOLD)}: {_clean(text)}"


def _line_of(span: Span) -> int:
    return span.source.position(span.start)[0]


def _snippet(place: Label, arrow: str, mark: str, code: str, margin: str, paint: Paint) -> Iterator[str]:
    """The place of a label, its first line, and marks under what it covers of that line."""
    number, column = place.span.source.position(place.span.start)
    bar = paint(f"{margin} |", BLUE)
    yield f"{margin}{paint(arrow, BLUE)} {_clean(str(place.span))}"
    yield bar
    before, covered, after = _window(place.span.source.line(number), column - 1, place.span.end - place.span.start)
    line = _clean(before + covered + after).rstrip()
    yield paint(f"{number:>{len(margin)}} |", BLUE) + (f" {line}" if line else "")
    marks = mark * max(1, _width(_clean(covered)))
    label = f" {_clean(place.text)}" if place.text else ""
    yield f"{bar} {' ' * _width(_clean(before))}{paint(marks + label, code)}"


def _window(line: str, start: int, length: int) -> tuple[str, str, str]:
    """What of a line is shown: before, inside and after the covered part; cuts are marked by an ellipsis."""
    line = line.rstrip("\r")
    left = start - BEFORE if len(line) > WINDOW and start > BEFORE else 0
    right = min(len(line), left + WINDOW)
    end = min(start + length, right)
    before = ("…" if left else "") + line[left:start]
    return before, line[start:end].rstrip(), line[end:right] + ("…" if right < len(line) else "")


def _clean(text: str) -> str:
    """Text without tabs and without characters that a terminal would obey."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(TAB if c == "\t" else c if c.isprintable() or c == "\u3000" else "\ufffd" for c in text)


def _width(text: str) -> int:
    """The columns that a terminal needs: two for wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


# ---------------------------------------------------------------- JSON and GitHub


def _place(label: Label) -> dict[str, Any]:
    source = label.span.source
    line, column = source.position(label.span.start)
    end_line, end_column = source.position(label.span.end)
    return {
        "file": source.name,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
        "label": label.text,
    }


NOWHERE: dict[str, Any] = dict.fromkeys(("file", "line", "column", "end_line", "end_column", "label"))


def _record(diagnostic: Diagnostic) -> dict[str, Any]:
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "title": diagnostic.title,
        **(_place(diagnostic.primary) if diagnostic.primary else NOWHERE),
        "help": diagnostic.help,
        "notes": list(diagnostic.notes),
        "related": [_place(label) for label in diagnostic.related],
    }


def _annotation(diagnostic: Diagnostic) -> str:
    properties: dict[str, object] = {}
    if diagnostic.primary:
        place = _place(diagnostic.primary)
        properties = {"file": place["file"], "line": place["line"], "col": place["column"]}
        properties |= {"endLine": place["end_line"], "endColumn": place["end_column"]}
    properties["title"] = diagnostic.code
    label = diagnostic.primary.text if diagnostic.primary else ""
    message = "\n".join(part for part in (diagnostic.title, label, *diagnostic.notes, diagnostic.help) if part)
    listed = ",".join(f"{name}={_escape_property(str(value))}" for name, value in properties.items())
    return f"::{diagnostic.severity} {listed}::{_escape(message)}"


def _escape(text: str) -> str:
    text = text.encode("utf-8", "replace").decode("utf-8")  # a file name may hold bytes that are no text
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")
