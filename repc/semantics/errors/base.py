"""How the errors of the semantics are built: places, chains of calls, suggestions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from repc.diagnostics import Diagnostic, Label, Span, nearest

Origin: TypeAlias = Sequence[Span]

SHIPPED = "repc:"
"""Names of shipped files begin with this; an error inside one is shown where a person's own file calls it."""


class Rejected(Exception):
    """Ends the evaluation of one expression; whoever evaluates it reports the diagnostic and goes on."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.title)
        self.diagnostic = diagnostic


def error(
    code: str,
    title: str,
    span: Span,
    label: str | None,
    help: str,
    related: tuple[Label, ...] = (),
    origin: Origin = (),
) -> Diagnostic:
    """A diagnostic at a place, with the calls that led there."""
    own = [place for place in origin if not place.source.name.startswith(SHIPPED)]
    if span.source.name.startswith(SHIPPED) and own:
        related = (*related, Label(span, "raised inside this shipped block"))
        span, own = own[-1], own[:-1]
    return Diagnostic(code, title, Label(span, label or ""), help, (*related, *calls(own)))


def calls(origin: Origin) -> tuple[Label, ...]:
    """The calls around a place, the innermost two that stand in a person's own files."""
    own = [place for place in origin if not place.source.name.startswith(SHIPPED)]
    return tuple(Label(place, "called from here") for place in reversed(own[-2:]))


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """The remedy for a misspelled name: the nearest one that exists, else general advice."""
    match = nearest(name, known)
    return f"did you mean `{match}`?" if match and match != name else otherwise


def plural(count: int, word: str) -> str:
    return word if count == 1 else word + "s"


def places(paths: Sequence[str]) -> str:
    """A short list of paths."""
    if not paths:
        return "matches nothing"
    rest = f" and {len(paths) - 4} more" if len(paths) > 4 else ""
    return "matches " + ", ".join(paths[:4]) + rest
