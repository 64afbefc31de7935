"""Text to tokens, as far as the parser's state allows.

lark's contextual lexer compiles a large pattern for every set of terminals that a state accepts, which takes longer
than parsing a spec.  Few terminals of this grammar depend on context: paths, labels, what stands after a dot, and
words that are names elsewhere.  So one pattern finds the token and the state settles only these.  All patterns are
the grammar's, and the tokens are those of lark's lexer.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from lark import Token, UnexpectedCharacters
from lark.common import LexerConf
from lark.lexer import Lexer, LexerState

BY_STATE = ("PATH", "FIELD", "LABEL")  # tried in this order, each only where the state accepts it


class StateLexer(Lexer):
    """Plugged in for lark's contextual lexer; `states` are the terminals that each parser state accepts."""

    def __init__(self, conf: LexerConf, states: Mapping[int, Collection[str]], **_: Any) -> None:
        terminals = sorted(conf.terminals, key=lambda t: (-t.priority, -len(t.pattern.value), t.name))
        patterns = {t.name: t.pattern.to_regexp() for t in terminals}
        words = {name: pattern[:-2] for name, pattern in patterns.items() if pattern.endswith(r"\b")}
        self._words = {word: name for name, word in words.items()}
        self._skip = re.compile("(?:" + "|".join(patterns[name] for name in conf.ignore) + ")*")
        self._by_state = [(name, re.compile(patterns[name])) for name in BY_STATE]
        free = [name for name in patterns if name not in {*words, *conf.ignore, *BY_STATE}]
        token = [f"(?P<{name}>{patterns[name]})" for name in free]
        self._token = re.compile("|".join([*token, r"(?P<word>[A-Za-z]+)"]))
        self._accepted = {state: frozenset(names) for state, names in states.items()}

    def lex(self, lexer_state: LexerState, parser_state: Any) -> Iterator[Token]:
        """The tokens; raises `UnexpectedCharacters` where none begins."""
        text: str = lexer_state.text.text
        skip = self._skip.match
        position = _end(skip(text))
        while position < len(text):
            kind, end = self._next(text, position, self._accepted[parser_state.position])
            yield Token(kind, text[position:end], start_pos=position, end_pos=end)
            position = _end(skip(text, end))

    def _next(self, text: str, position: int, accepted: frozenset[str]) -> tuple[str, int]:
        for name, pattern in self._by_state:
            if name in accepted and (match := pattern.match(text, position)):
                return name, match.end()
        match = self._token.match(text, position)
        if match is None:
            raise UnexpectedCharacters(text, position, 0, 0)
        kind = str(match.lastgroup)
        if kind == "word":
            kind = self._words[match.group()]
        elif kind == "NAME" and (word := self._words.get(match.group())) in accepted:
            kind = str(word)
        return kind, match.end()


def _end(match: re.Match[str] | None) -> int:
    return match.end() if match else 0
