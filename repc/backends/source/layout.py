"""Lines of Python that are no longer than a page is wide, broken as `ruff format` does.

Arguments of a call that does not fit go to a line of their own; if they do not fit there either, each has its line, as
the elements of a list and the modules of a sequence always have.  A sum that does not fit has one term on each line;
its terms are names, never calls, for which the formatter has further rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

WIDTH = 88  # the formatter's default: the file does not know the settings of where it will be

_SUM = (" + ", " - ")
_PRODUCT = (" * ", " / ", " @ ")


def layout(text: str, indent: int = 0) -> list[str]:
    """A statement as lines."""
    if indent + len(text) <= WIDTH:
        return [" " * indent + text]
    head, expression = _statement(text)
    terms = _terms(expression)
    if len(terms) == 1:
        return _explode(text, indent)
    margin = " " * indent
    return [f"{margin}{head}(", *(line for term in terms for line in _part(term, indent + 4)), f"{margin})"]


def _part(text: str, indent: int, end: str = "") -> list[str]:
    """One argument or term, with what follows it."""
    if indent + len(text) + len(end) <= WIDTH:
        return [" " * indent + text + end]
    terms = _terms(text)
    lines = [line for term in terms for line in _part(term, indent)] if len(terms) > 1 else _explode(text, indent)
    return [*lines[:-1], lines[-1] + end]


def _explode(text: str, indent: int) -> list[str]:
    """The last call, tuple, list or dictionary of a text with one element on each line."""
    margin = " " * indent
    bounds = _last_bracket(text)
    if bounds is None:
        return [margin + text]
    start, stop = bounds
    inside = text[start + 1 : stop]
    if indent + 4 + len(inside) <= WIDTH and _is_callee(text[:start]):
        return [margin + text[: start + 1], f"{margin}    {inside}", margin + text[stop:]]
    generator = _split(inside, (" for ",))
    if len(generator) > 1:
        lines = [line for part in generator for line in _part(part, indent + 4)]
    else:
        lines = [line for part in _split(inside, (", ",)) for line in _part(part.removeprefix(", "), indent + 4, ",")]
    return [margin + text[: start + 1], *lines, margin + text[stop:]]


def _statement(text: str) -> tuple[str, str]:
    """A statement's beginning (``x = ``, ``return ``) and its expression."""
    if text.startswith("return "):
        return "return ", text.removeprefix("return ")
    target, equals, expression = text.partition(" = ")
    return (target + equals, expression) if equals else ("", text)


def _terms(text: str) -> list[str]:
    """The terms of a sum, else the factors of a product, each with its operator before it."""
    terms = _split(text, _SUM)
    return terms if len(terms) > 1 else _split(text, _PRODUCT)


def _split(text: str, separators: tuple[str, ...]) -> list[str]:
    """The parts between separators outside of brackets and strings; each part begins with its separator."""
    places = [0, *(i for i in _outside(text) if text.startswith(separators, i)), len(text)]
    return [text[start:stop].strip() for start, stop in pairwise(places)]


def _last_bracket(text: str) -> tuple[int, int] | None:
    """Where the last bracket outside of others opens and closes, apart from subscripts and empty ones."""
    found = None
    start = 0
    for i in _outside(text):
        if text[i] in "([{":
            start = i
        elif text[i] in ")}" or (text[i] == "]" and not _is_value(text[:start])):
            found = (start, i) if i > start + 1 else found
    return found


def _is_value(before: str) -> bool:
    """Whether a bracket after this text is a call or a subscript."""
    return before[-1:].isidentifier() or before[-1:].isdigit() or before.endswith((")", "]"))


def _is_callee(before: str) -> bool:
    return _is_value(before) and not before.endswith("nn.Sequential")


def _outside(text: str) -> Iterator[int]:
    """The places outside of brackets and strings; the brackets themselves are outside."""
    depth, quoted = 0, False
    for i, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif not quoted:
            depth -= character in ")]}"
            if depth == 0:
                yield i
            depth += character in "([{"
