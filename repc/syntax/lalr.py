"""The LALR(1) automaton of ``grammar/tables.json`` at work; `repc.syntax.tables` says what the tables hold."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from importlib import resources
from operator import itemgetter
from typing import Any, NamedTuple

from repc.diagnostics import Source, Span
from repc.syntax.lexer import Lexer, Token

END = "$END"  # the terminal behind the last token
NO_TOKEN = ""  # where no terminal begins
ERROR = -1_000_000  # below the actions of any rule


class Stop(Exception):
    """The text is not in the language: at `span` stands the terminal `kind`, where one of `expected` could."""

    def __init__(self, span: Span, kind: str, expected: frozenset[str]) -> None:
        super().__init__(str(span), kind)
        self.span = span
        self.kind = kind
        self.expected = expected


class Rule(NamedTuple):
    """A rule of the tables: it makes a `symbol` of the last `size` values."""

    symbol: str
    size: int
    make: Callable[[list[Any]], Any]


class Parser:
    """Parses by the tables; the methods of a `builder` make what each rule stands for."""

    def __init__(self, builder: object) -> None:
        stored = json.loads(resources.files("repc.grammar").joinpath("tables.json").read_text(encoding="utf-8"))
        self.spellings = {name: _spelling(pattern) for name, pattern in stored["terminals"]}
        self._lexer = Lexer(stored["terminals"], stored["ignore"])
        self._starts: dict[str, int] = stored["starts"]
        self._states: list[dict[str, int]] = stored["states"]
        self._rules = [_rule(builder, *rule) for rule in stored["rules"]]

    def parse(self, source: Source, start: str, base: int, end: int) -> Any:
        """What the text from `base` to `end` is as a `start` of the grammar; raises `Stop`."""
        states, values = [self._starts[start]], list[Any]()
        while True:
            token = self._token(source, base, end, states)
            base = token.span.end
            before = states
            while (action := self._states[states[-1]].get(token.kind, ERROR)) < 0:
                if action == ERROR:
                    raise Stop(token.span, token.kind, self._expected(before))
                if before is states:  # what was expected shows only before the token makes the parser reduce
                    before = states[:]
                self._reduce(self._rules[-action - 1], states, values)
            if token.kind == END:
                return values[0]
            states.append(action)
            values.append(token)

    def _token(self, source: Source, position: int, end: int, states: list[int]) -> Token:
        begin = self._lexer.skip(source.text, position, end)
        if begin == end:
            return Token(END, "", Span(source, end, end))
        found = self._lexer.next(source.text, begin, end, self._states[states[-1]])
        if found is None:
            raise Stop(Span(source, begin, begin + 1), NO_TOKEN, self._expected(states))
        kind, stop = found
        return Token(kind, source.text[begin:stop], Span(source, begin, stop))

    def _reduce(self, rule: Rule, states: list[int], values: list[Any]) -> None:
        symbol, size, make = rule
        first = len(values) - size
        value = make(values[first:])
        del values[first:], states[first + 1 :]
        values.append(value)
        states.append(self._states[states[-1]][symbol])

    def _expected(self, states: list[int]) -> frozenset[str]:
        """The terminals that could follow.

        The tables merge states that differ in what may follow, so each terminal is tried until it is taken.
        """
        return frozenset(kind for kind in self._states[states[-1]] if kind.isupper() and self._takes(kind, states))

    def _takes(self, kind: str, states: list[int]) -> bool:
        below, above = len(states), list[int]()  # the states left of the stack, and those put upon them
        while True:
            top = above[-1] if above else states[below - 1]
            action = self._states[top].get(kind)
            if action is None or action >= 0:
                return action is not None
            rule = self._rules[-action - 1]
            below -= max(rule.size - len(above), 0)
            del above[max(len(above) - rule.size, 0) :]
            above.append(self._states[above[-1] if above else states[below - 1]][rule.symbol])


def _spelling(pattern: str) -> str:
    """What the pattern of a word or mark matches."""
    return re.sub(r"\\(\W)", r"\1", pattern.removesuffix(r"\b"))


def _rule(builder: object, symbol: str, method: str | None, parts: str) -> Rule:
    """A rule whose function gets all parts as the tables' letters say."""
    size = len(parts.replace("_", ""))
    if method is None:
        return Rule(symbol, size, itemgetter(0))
    make: Callable[[list[Any]], Any] = getattr(builder, method) if method else list
    return Rule(symbol, size, make if parts == "." * size else partial(_arranged, make, parts))


def _arranged(make: Callable[[list[Any]], Any], letters: str, values: list[Any]) -> Any:
    """The parts as the letters of a rule say, given to the method."""
    if make is list and letters[0] == "*":  # a repetition grows in place
        values[0].extend(values[1:])
        return values[0]
    rest = iter(values)
    parts: list[Any] = []
    for letter in letters:
        if letter == "*":
            parts += next(rest)
        else:
            parts.append(None if letter == "_" else next(rest))
    return make(parts)
