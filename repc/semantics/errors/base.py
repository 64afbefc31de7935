"""How the errors of the semantics are built: places, chains of calls, suggestions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from repc.diagnostics import Diagnostic, Label, Span, nearest

SHIPPED = "repc:"
"""Names of shipped files begin with this; an error inside one is shown where a person's own file calls it."""


class Rejected(Exception):
    """Ends the evaluation of one expression; whoever evaluates it reports the diagnostic and goes on."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.title)
        self.diagnostic = diagnostic


def error(
    code: str, title: str, span: Span, label: str | None, help: str, related: tuple[Label, ...] = ()
) -> Diagnostic:
    """A diagnostic at a place."""
    return Diagnostic(code, title, Label(span, label or ""), help, related)


def located(diagnostic: Diagnostic, origin: Sequence[Span]) -> Diagnostic:
    """A diagnostic with the calls that led to it; one inside a shipped block stands where a person's file calls it."""
    own = [place for place in origin if not place.source.name.startswith(SHIPPED)]
    place, related = diagnostic.primary, diagnostic.related
    if place is not None and own and place.span.source.name.startswith(SHIPPED):
        related = (Label(place.span, "raised inside this shipped block"),)
        place, own = Label(own[-1], place.text), own[:-1]
    calls = tuple(Label(span, "called from here") for span in reversed(own[-2:]) if not place or span != place.span)
    return replace(diagnostic, primary=place, related=(*related, *calls))


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """The remedy for a misspelled name: the nearest one that exists, else general advice."""
    match = nearest(name, known)
    return f"did you mean `{match}`?" if match and match != name else otherwise


def plural(count: int, word: str) -> str:
    """The word, in the plural unless there is one."""
    return word if count == 1 else word + "s"


def places(paths: Sequence[str]) -> str:
    """A short list of paths."""
    if not paths:
        return "matches nothing"
    rest = f" and {len(paths) - 4} more" if len(paths) > 4 else ""
    return "matches " + ", ".join(paths[:4]) + rest


def one_line(span: Span) -> str:
    """A part of the text in one line."""
    return " ".join(span.text.split())
