"""Path patterns: which labels of a network a line of a spec means.

Segments are separated by dots.  ``*`` stands for one segment or a part of one, ``**`` for any number of segments, and
``stage[1..3]`` for ``stage1`` and ``stage2``, the range being half-open as in a loop.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

RANGE = r"\[(\d{1,18})\.\.(\d{1,18})\]"
"""Compared as numbers: written out as alternatives, a wide range would fill the memory."""


class Pattern:
    """A compiled path pattern."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._regex = None  # a path without patterns, of which there may be one for each weight
        if "*" not in text and "[" not in text:
            return
        segments = text.split(".") if ".." not in text else _split(text)
        self._regex = re.compile(_regex(segments))
        self._ranges = [range(int(start), int(stop)) for start, stop in re.findall(RANGE, text)]

    def matches(self, path: str) -> bool:
        """Whether the pattern is the whole path."""
        if self._regex is None:
            return path == self.text
        match = self._regex.fullmatch(path)
        return match is not None and all(
            int(number) in numbers for number, numbers in zip(match.groups(), self._ranges, strict=True)
        )

    def covers(self, path: str) -> bool:
        """Whether the pattern is the path or one of its ancestors."""
        parts = path.split(".")
        return any(self.matches(".".join(parts[:end])) for end in range(1, len(parts) + 1))


@lru_cache(maxsize=256)
def pattern(text: str) -> Pattern:
    """The compiled pattern of a text."""
    return Pattern(text)


def _split(text: str) -> list[str]:
    """The segments of a pattern whose ranges contain dots."""
    return re.findall(r"(?:[^.\[]|\[[^\]]*\])+", text)


def _regex(segments: list[str]) -> str:
    """A regular expression over dotted paths; `**` swallows its separator, so that it may stand for nothing."""
    parts: list[str] = []
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment == "**":
            parts.append(r"(?:[^.]+(?:\.[^.]+)*)?" if last else r"(?:[^.]+\.)*")
        else:
            parts.append(_segment(segment) + ("" if last else r"\."))
    return "".join(parts)


def _segment(segment: str) -> str:
    pieces = [piece for piece in re.split(rf"(\*+|{RANGE.replace('(', '(?:')})", segment) if piece]
    return "".join(_piece(piece, before) for before, piece in pairwise(["", *pieces]))


def _piece(piece: str, before: str) -> str:
    """A number behind a star is a whole one: ``s*[1..3]`` is not ``s11``."""
    if piece.startswith("*"):
        return r"[^.]*"
    if re.fullmatch(RANGE, piece):
        return (r"(?<!\d)" if before.startswith("*") else "") + r"(0|[1-9]\d{0,17})"
    return re.escape(piece)
