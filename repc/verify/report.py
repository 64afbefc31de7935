"""What a verification found, for people and for tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html import escape
from math import isfinite
from typing import Any, Literal

NOT_COVERED = ("inputs and sizes beyond this sample", "GPU providers", "preprocessing")
TRUSTED = ("elaboration", "the meaning of operators", "the evaluator")

Part = Literal["interior", "border", ""]
PARTS: tuple[Part, ...] = ("interior", "border")
ALGEBRA, ROUNDING = "algebra", "rounding"  # what the checks of them begin with


@dataclass(frozen=True, slots=True)
class Figure:
    """One comparison: of a cut's interior or border, or of a stored tensor.

    `error`, the `reference` that it is measured by and what is `allowed` are in the same unit: relative at a cut (in
    float64 the maximum ‖Δ‖∞/‖y‖∞, else the root mean square over elements and inputs), units in the last place for a
    tensor.
    """

    where: str
    place: str
    part: Part
    error: float
    reference: float
    allowed: float

    @property
    def passed(self) -> bool:
        return self.error <= self.allowed

    @property
    def ratio(self) -> float:
        """How many times the reference."""
        return self.error / self.reference


@dataclass(frozen=True, slots=True)
class Check:
    """One row of a report.

    `result` says it in a word, `detail` how far off and on what, `reason` why it failed (empty where it passed).  The
    histogram counts elements by their distance, for stored tensors.
    """

    name: str
    passed: bool
    result: str
    detail: str
    reason: str
    figures: tuple[Figure, ...]
    histogram: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Remark:
    """How a network would bear fewer bits: fine or not, why, and what to do."""

    name: str
    fine: bool
    text: str
    remedy: str = ""

    def lines(self) -> list[str]:
        """For people; the remedy under the text."""
        first = f"{self.name:<9}{'ok' if self.fine else 'WARN':<7}{self.text}"
        return [first, f"{'':<16}remedy: {self.remedy}"] if self.remedy else [first]


@dataclass(frozen=True, slots=True)
class Report:
    """Whether networks are equivalent, as far as it was checked; true or false, printable, and JSON.

    `fragility` has no part in that.  `certificate` is what `repc.checker` needs to prove it again, if it was proved.
    """

    model: str
    inputs: str
    checks: tuple[Check, ...]
    not_covered: tuple[str, ...]
    fragility: tuple[Remark, ...] = ()
    certificate: Mapping[str, Any] | None = None

    @property
    def equivalent(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def wrong(self) -> tuple[Check, ...]:
        """The checks that failed by more than rounding: the networks are two different functions."""
        return tuple(check for check in self.checks if not check.passed and not check.name.startswith(ROUNDING))

    def __bool__(self) -> bool:
        return self.equivalent

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(*self._rows(), strict=True)]
        table = ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in self._rows()]
        reasons = [f"{check.name}: {check.reason}" for check in self.checks if not check.passed]
        head = [f"Model     {self.model}", f"Inputs    {self.inputs}"]
        blocks = [head, table, reasons, self._fragility(), self._limits(), [self.verdict]]
        return "\n\n".join("\n".join(f"  {line.rstrip()}" for line in block) for block in blocks if block)

    @property
    def trusted(self) -> tuple[str, ...]:
        """What a proof rests on without showing it."""
        return TRUSTED if any(check.name.startswith(ALGEBRA) for check in self.checks) else ()

    @property
    def verdict(self) -> str:
        return "EQUIVALENT" if self.equivalent else "NOT EQUIVALENT"

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON has it; numbers that JSON lacks are text."""
        return {
            "model": self.model,
            "equivalent": self.equivalent,
            "inputs": self.inputs,
            "checks": [_record(check) for check in self.checks],
            "fragility": [asdict(remark) for remark in self.fragility],
            "not_covered": list(self.not_covered),
            "trusted": list(self.trusted),
        }

    def _repr_html_(self) -> str:
        head, *body = self._rows()
        lines = [_row("th", head), *(_row("td", row) for row in body)]
        reasons = [f"<p>{escape(check.name)}: {escape(check.reason)}</p>" for check in self.checks if not check.passed]
        reasons += [f"<pre>{escape(line)}</pre>" for line in self._fragility()]
        foot = f"<p>{escape('. '.join([self.inputs, *self._limits()]))}</p>"
        title = f"<p><b>{escape(self.model)}: {self.verdict}</b></p>"
        return "".join([title, "<table>", *lines, "</table>", *reasons, foot])

    def _fragility(self) -> list[str]:
        lines = [f"  {line}" for remark in self.fragility for line in remark.lines()]
        return ["Fragility", *lines] if lines else []

    def _limits(self) -> list[str]:
        lines = {"Not covered": self.not_covered, "Trusted": self.trusted}
        return [f"{name}: {', '.join(what)}" for name, what in lines.items() if what]

    def _rows(self) -> list[tuple[str, str, str]]:
        return [("check", "result", "detail"), *((check.name, check.result, check.detail) for check in self.checks)]


def _row(tag: str, cells: tuple[str, ...]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"


def _record(check: Check) -> dict[str, Any]:
    return {
        "check": check.name,
        "passed": check.passed,
        "result": check.result,
        "detail": check.detail,
        "reason": check.reason,
        "figures": [_finite(asdict(figure)) for figure in check.figures],
        "histogram": dict(check.histogram),
    }


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, float) and not isfinite(value) else value
        for name, value in values.items()
    }
