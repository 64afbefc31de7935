"""Where the parser stopped, and what could stand there, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from repc.diagnostics import Span
from repc.syntax.lalr import END, Stop
from repc.syntax.scan import Lexeme, lexemes, open_brackets

ITEMS = ("import", "block", "model", "adapt", "target")
COMPARISONS = ("==", "!=", "<=", ">=", "<", ">")
STATEMENTS = ("require", "let", "weight", "buffer", "alias", "return")

# What may follow any operand; to name it as expected says nothing.
CONTINUATIONS = {"INTO", "PLUS", "MINUS", "TIMES", "COMPARE", "LANGLE", "RANGLE", "AND", "OR", "LPAR", "LSQB", "DOT"}

WORDS = {
    "NAME": "a name",
    "FIELD": "a name",
    "TITLE": "a name",
    "INT": "an integer",
    "STRING": "a string",
    "PATH": "a path",
    "LABEL": "a label",
    "COMPARE": "`==`, `<=` or the like",
    "LANGLE": "`<`",
    "RANGLE": "`>`",
}

FORMS = {
    "import": '`import std.conv` or `import "file.rep" as name`',
    "block": "`block Name<parameter = 1>(x: [b, c]) = value`",
    "model": "`model Name<parameter = 1>(image: f32[b, 3, h, w]) = value`",
    "adapt": "`adapt Model as Name { at PATH expect N use LAYER }`",
    "target": "`target name = backend of Model { setting = value }`",
    "require": '`require condition else "message"`',
    "let": "`let name = value` or `let (a, b) = value`",
    "weight": '`weight W as "key": [o, i] = value`',
    "buffer": '`buffer B as "key": [c] = value`',
    "alias": '`alias "key" = weight`',
    "return": "`return value`",
    "if": "`if condition then value else value`",
    "for": "`value for i in 0..3`",
    "repeat": "`repeat i in 0..3 { layer }`",
    "sum": "`sum as name { a | b when condition }`",
    "mean": "`mean as name { a | b when condition }`",
    "concat": "`concat(axis=1) as name { a | b when condition }`",
    "at": "`at PATH where condition expect N use LAYER`",
    "keep": "`keep PATH`",
    "bind": "`bind name = value`",
}


@dataclass(frozen=True)
class Fault:
    """Where the parser stopped, in its surroundings.

    `kind` and `expected` are terminals, `spellings` their texts; `before` is all that precedes the place, `brackets`
    what is open of that, `after` the text behind.
    """

    span: Span
    kind: str
    expected: frozenset[str]
    spellings: Mapping[str, str]
    before: list[Lexeme]
    brackets: list[Lexeme]
    after: str

    @property
    def found(self) -> str:
        return self.span.text

    @property
    def previous(self) -> Lexeme:
        """The last lexeme before the place; an empty one at the start of the text."""
        return self.before[-1] if self.before else Lexeme("", self.span.start)

    @property
    def begins_line(self) -> bool:
        """Whether nothing else stands before it on its line."""
        return not self.before or self.line(self.before[-1].start) < self.line(self.span.start)

    def line(self, offset: int) -> int:
        """The number of the line of an offset."""
        return self.span.source.position(offset)[0]

    def place(self, lexeme: Lexeme) -> Span:
        """Where a lexeme of this text stands."""
        return Span(self.span.source, lexeme.start, lexeme.end)

    def words(self) -> list[str]:
        """The words of the language that could stand there."""
        return [self.spellings[kind] for kind in sorted(self.expected) if self.spellings.get(kind, "").isalpha()]


def locate(stop: Stop, base: int, spellings: Mapping[str, str]) -> Fault:
    """The fault of a stop in the text from `base` on."""
    span, source = stop.span, stop.span.source
    before = list(lexemes(source.text, base, span.start))
    after = source.text[span.end :]
    if stop.kind == END:  # shown behind the last thing, not on the empty line below it
        last = before[-1].end if before else base
        span = Span(source, last, last)
    return Fault(span, stop.kind, stop.expected, spellings, before, open_brackets(before), after)


def found_in_words(fault: Fault) -> str:
    """What was found: "`)`", "the name `x`" or "the end"."""
    if fault.kind == END:
        return "the next item" if fault.after else "the end"
    text = fault.found if len(fault.found) <= 40 else fault.found[:39] + "…"
    what = {"NAME": "name ", "INT": "number ", "FLOAT": "number ", "STRING": "string ", "LABEL": "label "}
    return f"{what.get(fault.kind, '')}`{text}`"


def expected_in_words(fault: Fault) -> str:
    """What could stand there: "a layer after `>>`", "`,` or `)`"."""
    kinds = set(fault.expected)
    choices: list[str] = []
    if {"NAME", "INT", "LSQB"} <= kinds:  # only an expression begins with any of these
        choices.append(_value_after(fault.previous.text))
        kinds &= {"RPAR", "RSQB", "RBRACE"}
    elif "PLUS" in kinds:  # only after an operand
        kinds -= CONTINUATIONS
    if "BLOCK" in kinds:
        choices.append("the next item")
        kinds -= {word.upper() for word in ITEMS} | {END}
    if "LET" in kinds:
        choices.append("a statement")
        kinds -= {word.upper() for word in STATEMENTS} - {"RETURN"}
    choices += sorted(WORDS.get(kind) or f"`{fault.spellings.get(kind, kind)}`" for kind in kinds if kind != END)
    if not choices:
        return "the end"
    return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"


def _value_after(previous: str) -> str:
    what = {">>": "a layer", "|": "a branch"}.get(previous, "a value")
    return f"{what} after `{previous}`" if previous else what


def form_in_words(fault: Fault) -> str | None:
    """The form of the innermost thing that the place belongs to."""
    depth = 0
    following = ""
    for lexeme in reversed(fault.before):
        if lexeme.text in ")]}":
            depth += 1
        elif lexeme.text in "([{":
            depth = max(depth - 1, 0)
        elif depth == 0 and lexeme.text in FORMS and following not in (".", ":"):
            return FORMS[lexeme.text]
        following = lexeme.text
    return None
