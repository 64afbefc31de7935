"""The rows of a report, made of gathered errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import floor, log10

import torch
from torch import Tensor

from repc.evaluate.floating import flat
from repc.ir.trace import Fact
from repc.verify.certify import Proof
from repc.verify.cuts import Cut
from repc.verify.report import Check, Figure, Part
from repc.verify.subject import Subject
from repc.verify.tally import Key

SHOWN = 3  # segments that are named in a row
TOLERANCE = 1e-11  # what two ways to compute a network in float64 may differ by


def algebra(proof: Proof, name: str = "algebra (train = folded)") -> Check:
    """Both graphs compute the same for all weights and inputs."""
    figures = [Figure(cut.label, cut.place, "", 0.0 if v.equal else 1.0, 1.0, 0.0) for cut, v in proof.segments]
    equal, trials = sum(figure.passed for figure in figures), max((v.trials for _, v in proof.segments), default=0)
    partial = [cut.label for cut, verdict in proof.segments if not verdict.local]
    detail = f"{equal} of {len(figures)} segments, {trials} trials, P(miss) < {_power_of_ten(proof.miss)}"
    if not figures:
        detail = "the graphs are the same"
    elif partial:
        detail += f"; at the sizes tried: {', '.join(partial[:SHOWN])}" + (", …" if len(partial) > SHOWN else "")
    wrong = proof.first_wrong
    reason = f"{wrong[0]} is not what is trained: {wrong[1].reason}" if wrong else ""
    return _check(name, "equal", detail, reason, figures)


def matched(count: int, far: float, allowed: float) -> Check:
    """So many initializers of a file were taken for weights of the network."""
    figures = [Figure("initializers", "", "", far, allowed, allowed)]
    return _check("weights (matched)", "close", f"{count} initializers, rel {far:.1e}", "", figures)


def _power_of_ten(chance: float) -> str:
    """The power of ten above a probability."""
    return f"1e{floor(log10(chance)) + 1}" if chance > 0 else "1e-300"


def agreement(name: str, subject: Subject) -> Check:
    """The largest relative error of a computation in float64 is at most the tolerance."""
    figures = [
        Figure(cut.label, cut.place, part, subject.tally.largest((cut, part)), TOLERANCE, TOLERANCE)
        for cut, part in subject.tally.parts()
    ]
    largest = max((figure.error for figure in figures), default=0.0)
    wrong = _first_wrong(figures)
    reason = f"{_where(wrong)} differs by {wrong.error:.2e}, at most {TOLERANCE:g}" if wrong else ""
    return _check(name, "equal", f"rel {largest:.1e}, {_count(figures)}", subject.fault or reason, figures)


@dataclass(frozen=True, eq=False)
class Noise:
    """What the error of a deployed network is measured by: that of the unfused network in the same type.

    Both are root mean squares, in `dtype`.  The noise counts as at least a unit in the last place, and as the value
    itself where all of that is below the normal numbers of the type: what a deep network of default parameters makes
    has no digits left.  A deployed network may be off by `limit` times that, and in any case by the `slack` of the cut.
    """

    unfused: Subject
    dtype: torch.dtype
    limit: float
    slack: Mapping[Cut, float] = field(default_factory=dict[Cut, float])

    def figure(self, key: Key, error: float) -> Figure:
        (cut, part), info = key, torch.finfo(self.dtype)
        unit = info.eps if self.unfused.tally.magnitudes[cut] >= info.smallest_normal else 1.0
        # In float64 the reference is no better than what it judges, so there the tolerance is the measure.
        reference = max(self.unfused.tally.rms(key), unit, TOLERANCE / self.limit)
        allowed = max(self.limit * reference, self.slack.get(cut, 0.0))
        return Figure(cut.label, cut.place, part, error, reference, allowed)


def accuracy(name: str, subject: Subject, noise: Noise, part: Part = "") -> Check:
    """The error of a deployed computation is within what the noise allows, at every cut.

    With a `part`, the row is about the interiors or the borders alone; there may be none.
    """
    tally = subject.tally
    keys = [key for key in tally.parts() if part in ("", key[1])]
    figures = [noise.figure(key, tally.rms(key)) for key in keys]
    largest = max(map(tally.largest, keys), default=0.0)
    fault = subject.fault or (noise.unfused.fault and f"the unfused network itself fails: {noise.unfused.fault}")
    wrong = _first_wrong(figures)
    reason = ""
    if wrong:
        measure = f"the noise {wrong.reference:.2e} of the unfused network (limit {noise.limit:g})"
        reason = f"{_where(wrong)} is off by {wrong.error:.2e}, {wrong.ratio:.3g} times {measure}"
    return _check(name, "pass", _detail(figures, largest, noise.limit), fault or reason, figures)


def true_facts(facts: Sequence[Fact], parameters: Mapping[str, Tensor]) -> Check:
    """What a fold relies on is true of the parameters."""
    wrong = [fact for fact in facts if not fact.holds(flat(fact.expr, parameters))]
    reason = f"{len(wrong)} of them {'is' if len(wrong) == 1 else 'are'} not {wrong[0].kind}" if wrong else ""
    return _check("facts about the weights", "true", f"{len(facts)} of the fold", reason, ())


def _detail(figures: Sequence[Figure], largest: float, limit: float) -> str:
    if not figures:
        return ""
    worst = max(figures, key=lambda figure: figure.ratio)
    slack = sum(figure.passed and figure.ratio > limit for figure in figures)
    tail = f", {slack} by the order of long sums" if slack else ""
    return f"{worst.ratio:.2g}x noise at {worst.where}, rel {largest:.1e}, {_count(figures)}{tail}"


def _first_wrong(figures: Sequence[Figure]) -> Figure | None:
    """The first cut that is wrong: what follows it may be wrong because of it."""
    return next((figure for figure in figures if not figure.passed), None)


def _check(name: str, word: str, detail: str, reason: str, figures: Sequence[Figure]) -> Check:
    return Check(name, not reason, "FAILED" if reason else word, detail, reason, tuple(figures))


def _where(figure: Figure) -> str:
    return f"{figure.part} of {figure.where} ({figure.place})" if figure.place else f"{figure.part} of {figure.where}"


def _count(figures: Sequence[Figure]) -> str:
    cuts = len({(figure.where, figure.place) for figure in figures})
    return f"{cuts} {'cut' if cuts == 1 else 'cuts'}"
