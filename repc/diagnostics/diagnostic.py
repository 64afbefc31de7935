"""The one form of every message: code, title, place, remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from repc.diagnostics.span import Span

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Label:
    """A place and what is to be said about it."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """What is wrong (`title`), where (`primary`, then `related`), and what to do (`help`).

    `code` is stable across releases: ``E1xx`` syntax, ``E2xx`` names and values, ``E3xx`` shapes, ``E4xx``
    adapters and targets, ``E5xx`` folding, ``E6xx`` checkpoints, ``E7xx`` emission, ``E8xx`` verification,
    ``E9xx`` files and the command line.  `notes` are facts that help to understand, one line each.
    """

    code: str
    title: str
    primary: Label | None = None
    help: str | None = None
    related: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    severity: Severity = "error"


class Failure(Exception):
    """Raised by a stage that cannot give a result; carries every diagnostic it collected."""

    def __init__(self, diagnostics: Sequence[Diagnostic] | Diagnostic) -> None:
        found = (diagnostics,) if isinstance(diagnostics, Diagnostic) else tuple(diagnostics)
        self.diagnostics: tuple[Diagnostic, ...] = found
        super().__init__(*found)

    def __str__(self) -> str:
        lines: list[str] = []
        for diagnostic in self.diagnostics:
            place = f"{diagnostic.primary.span}: " if diagnostic.primary else ""
            remedy = f"; {diagnostic.help}" if diagnostic.help else ""
            lines.append(f"{place}{diagnostic.code} {diagnostic.title}{remedy}")
        return "\n".join(lines)
