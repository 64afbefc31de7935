"""Text to tokens, as far as the parser's state allows.

Few terminals of the grammar depend on context: paths, labels, what stands after a dot, and words that are names
elsewhere.  One pattern finds all others, and the state settles these; the tokens are those of lark's contextual
lexer, which compiles a large pattern for every set of terminals instead.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from typing import NamedTuple

from repc.diagnostics import Span

BY_STATE = ("TITLE", "PATH", "FIELD", "LABEL")  # tried in this order, each only where the state accepts it


class Token(NamedTuple):
    """A terminal and where it stands."""

    kind: str
    text: str
    span: Span


class Lexer:
    """Finds tokens by the patterns of the grammar: (name, pattern) in the order in which they are tried."""

    def __init__(self, terminals: Iterable[tuple[str, str]], ignore: Iterable[str]) -> None:
        patterns = dict(terminals)
        words = {name: pattern.removesuffix(r"\b") for name, pattern in patterns.items() if pattern.endswith(r"\b")}
        free = [f"(?P<{name}>{patterns[name]})" for name in patterns if name not in {*words, *BY_STATE}]
        self._words = {word: name for name, word in words.items()}
        self._by_state = [(name, re.compile(patterns[name])) for name in BY_STATE]
        self._any = re.compile("|".join([*free, "(?P<word>[a-z]+)"]))
        self._ignored = re.compile(f"(?:{'|'.join(ignore)})*")

    def skip(self, text: str, position: int, end: int) -> int:
        """Where the next token begins."""
        match = self._ignored.match(text, position, end)
        return match.end() if match else position

    def next(self, text: str, position: int, end: int, accepted: Container[str]) -> tuple[str, int] | None:
        """The terminal at a position and where it ends, or None where no terminal begins."""
        for name, pattern in self._by_state:
            if name in accepted and (match := pattern.match(text, position, end)):
                return name, match.end()
        match = self._any.match(text, position, end)
        if match is None:
            return None
        return self._settled(str(match.lastgroup), match.group(), accepted), match.end()

    def _settled(self, kind: str, text: str, accepted: Container[str]) -> str:
        """The terminal of a word: one of the language where there it is no name, or may stand."""
        if kind == "word":
            return self._words[text]
        if kind == "NAME" and (word := self._words.get(text)) and word in accepted:
            return word
        if kind == "MERGE" and kind not in accepted and "NAME" in accepted:
            return "NAME"
        return kind
