"""The LALR(1) automaton of ``grammar/tables.json`` at work; `repc.syntax.tables` says what the tables hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from typing import Any, NamedTuple

from repc.diagnostics import Source, Span
from repc.syntax.lexer import Lexer, Token

END = "$END"  # the terminal behind the last token
NO_TOKEN = ""  # where no terminal begins


class Stop(Exception):
    """The text is not in the language: at `span` stands the terminal `kind`, and one of `expected` could."""

    def __init__(self, span: Span, kind: str, expected: frozenset[str]) -> None:
        super().__init__(span, kind)
        self.span = span
        self.kind = kind
        self.expected = expected


class Rule(NamedTuple):
    """A rule of the tables, with the method of the builder itself."""

    symbol: str
    size: int
    parts: str
    make: Callable[[list[Any]], Any]


class Parser:
    """Parses by the tables; a `builder` makes what each rule stands for."""

    def __init__(self, builder: object) -> None:
        stored = json.loads(resources.files("repc.grammar").joinpath("tables.json").read_text(encoding="utf-8"))
        self.spellings: Mapping[str, str] = {name: pattern.removesuffix(r"\b") for name, pattern in stored["terminals"]}
        self._lexer = Lexer(stored["terminals"], stored["ignore"])
        self._starts: dict[str, int] = stored["starts"]
        self._ends: dict[str, int] = stored["ends"]
        self._states: list[dict[str, int]] = stored["states"]
        self._rules = [_rule(builder, *rule) for rule in stored["rules"]]

    def parse(self, source: Source, start: str, base: int, end: int) -> Any:
        """What the text from `base` to `end` is as a `start` of the grammar; raises `Stop`."""
        states, values = [self._starts[start]], []
        for token in self._tokens(source, base, end, states):
            before = states[:]
            ...
