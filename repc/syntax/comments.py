"""Comments and blank lines of a source, and their way back between the lines that are printed of it."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple

from repc.diagnostics import Source
from repc.syntax.layout import Line
from repc.syntax.scan import comments

BLANK = re.compile(r"(?<=\n)[ \t\r]*\n")


class Note(NamedTuple):
    """What the tree does not hold: a comment on a line of its own or, without text, a blank line."""

    start: int
    text: str


def weave(lines: list[Line], source: Source) -> list[str]:
    """The lines as text, each comment of the source before or behind the line that it stood at."""
    before, behind = _assigned([line.start for line in lines], source.text)
    written: list[str] = []
    for line, notes, trailing in zip(lines, before, behind, strict=False):
        since = len(source.text) if line.since is None else line.since
        kept = [note for note in notes if note.text or note.start >= since]
        _write_notes(written, [Note(0, ""), *kept] if line.apart else kept, line.indent + 2 * line.closes)
        written.append("  ".join([" " * line.indent + line.text, *trailing]))
    _write_notes(written, before[-1], 0)
    return written if written[-1] else written[:-1]


def _assigned(starts: list[int], text: str) -> tuple[list[list[Note]], list[list[str]]]:
    """For each line the notes before it, in order, and the comments behind it; the last notes follow all lines."""
    notes = [Note(match.start(), "") for match in BLANK.finditer(text)]
    behind: list[list[str]] = [[] for _ in starts]
    for comment in comments(text):
        begin = text.rfind("\n", 0, comment.start) + 1
        line = bisect_right(starts, comment.start)
        if text[begin : comment.start].strip() and line:
            behind[line - 1].append(comment.text)
        else:
            notes.append(Note(comment.start, comment.text))
    before: list[list[Note]] = [[] for _ in range(len(starts) + 1)]
    for note in sorted(notes):
        before[bisect_right(starts, note.start)].append(note)
    return before, behind


def _write_notes(written: list[str], notes: list[Note], indent: int) -> None:
    """Never more than one blank line, and none at the start."""
    for note in notes:
        if note.text:
            written.append(" " * indent + note.text)
        elif written and written[-1]:
            written.append("")
