"""The rows of a report, made of gathered errors."""

from __future__ import annotations

from collections.abc import Sequence

from repc.verify.report import Check, Figure, Part
from repc.verify.subject import Subject

TOLERANCE = 1e-11  # what two ways to compute a network in float64 may differ by


def agreement(name: str, subject: Subject) -> Check:
    """The largest relative error of a computation in float64 is at most `TOLERANCE`."""
    tally = subject.tally
    figures = [Figure(cut.label, cut.place, part, tally.largest((cut, part)), TOLERANCE) for cut, part in tally.parts()]
    largest = max((figure.error for figure in figures), default=0.0)
    wrong = next((figure for figure in figures if figure.ratio > 1), None)
    reason = f"{_where(wrong)} differs by {wrong.error:.2e}, at most {TOLERANCE:g}" if wrong else ""
    return _check(name, "equal", f"rel {largest:.1e}, {_count(figures)}", subject.fault or reason, figures)


def accuracy(name: str, subject: Subject, noise: Subject, floor: float, limit: float, part: Part = "") -> Check:
    """The error of a deployed computation is at most `limit` times the noise of the unfused network, at every cut.

    Both are root mean squares over the inputs; the noise counts as at least `floor`.  With a `part`, the row is about
    the interiors or the borders alone; there may be none.
    """
    figures = [
        Figure(cut.label, cut.place, of, subject.tally.rms((cut, of)), max(noise.tally.rms((cut, of)), floor))
        for cut, of in subject.tally.parts()
        if part in ("", of)
    ]
    fault = subject.fault or (noise.fault and f"the unfused network itself fails: {noise.fault}")
    worst = max(figures, key=lambda figure: figure.ratio, default=None)
    wrong = next((figure for figure in figures if figure.ratio > limit), None)
    detail = f"{worst.ratio:.2g}x noise at {worst.where}, rel {worst.error:.1e}, {_count(figures)}" if worst else ""
    reason = ""
    if wrong:
        noise_text = f"the noise {wrong.reference:.2e} of the unfused network"
        reason = f"{_where(wrong)} is off by {wrong.error:.2e}, {wrong.ratio:.3g} times {noise_text} (limit {limit:g})"
    return _check(name, "pass", detail, fault or reason, figures)


def _check(name: str, word: str, detail: str, reason: str, figures: Sequence[Figure]) -> Check:
    return Check(name, not reason, "FAILED" if reason else word, detail, reason, tuple(figures))


def _where(figure: Figure) -> str:
    """The first cut that is wrong: what follows it may be wrong because of it."""
    return f"{figure.part} of {figure.where} ({figure.place})" if figure.place else f"{figure.part} of {figure.where}"


def _count(figures: Sequence[Figure]) -> str:
    cuts = len({(figure.where, figure.place) for figure in figures})
    return f"{cuts} {'cut' if cuts == 1 else 'cuts'}"
