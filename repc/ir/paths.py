"""Path patterns: which labels of a network a line of a spec means.

Segments are separated by dots.  ``*`` stands for one segment or a part of one, ``**`` for any number of segments, and
``stage[1..3]`` for ``stage1`` and ``stage2``, the range being half-open as in a loop.
"""

from __future__ import annotations

import re
from functools import lru_cache


class Pattern:
    """A compiled path pattern."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._segments = text.split(".") if ".." not in text else _split(text)
        self._regex = re.compile(_regex(self._segments))

    def matches(self, path: str) -> bool:
        """Whether the pattern is the whole path."""
        return self._regex.fullmatch(path) is not None

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
    pieces = re.split(r"(\*|\[\d+\.\.\d+\])", segment)
    return "".join(_piece(piece) for piece in pieces)


def _piece(piece: str) -> str:
    if piece == "*":
        return r"[^.]*"
    bounds = re.fullmatch(r"\[(\d+)\.\.(\d+)\]", piece)
    if bounds is None:
        return re.escape(piece)
    return "(?:" + "|".join(str(i) for i in range(int(bounds[1]), int(bounds[2]))) + ")"
