"""A way of computing a network, and how far off it was found to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import Tensor

from repc.verify.cuts import Values
from repc.verify.runs import Crash, Run, Unsupported
from repc.verify.sampling import Batch
from repc.verify.tally import Tally, is_finite

Progress: TypeAlias = Callable[[str, float], None]


def quiet(stage: str, share: float) -> None:
    """Progress that nobody watches."""


@dataclass(eq=False)
class Subject:
    """A run under comparison.

    `fault` says what makes comparing it impossible, and is empty where nothing does; it is no answer about the network
    where the runtime lacks a kernel (`unsupported`).
    """

    name: str
    run: Run
    tally: Tally = field(default_factory=Tally)
    fault: str = ""
    unsupported: bool = False

    def compare(self, expected: Values, batch: Batch) -> None:
        """Add the errors on a batch; after a fault nothing is added."""
        if self.fault:
            return
        for cut, value in self.compute(batch, expected).items():
            if value.shape != expected[cut].shape:
                self.fault = f"{cut} has the shape {list(value.shape)} instead of {list(expected[cut].shape)}"
                return
            if _is_missed(value, expected[cut]):
                self.fault = f"{cut} is finite where it should be infinite on inputs {batch}"
                return
            self.tally.add(cut, expected[cut], value, batch.samples)

    def compute(self, batch: Batch, expected: Values | None = None) -> Values:
        """The values on a batch; none where it fails, or where one is not finite and is not expected to be so.

        Without expectations, infinity may be meant, as in the mask of an attention; what is no number never is.
        """
        try:
            values = self.run(batch.inputs)
        except Crash as crash:
            self.fault, self.unsupported = str(crash), isinstance(crash, Unsupported)
            return {}
        broken = next(
            (cut for cut, value in values.items() if not _is_meant(value, None if expected is None else expected[cut])),
            None,
        )
        if broken:
            self.fault = f"{self.run.first_not_finite(broken, batch.inputs)} is not finite on inputs {batch}"
            return {}
        return values


def compare_all(
    oracle: Subject, subjects: Sequence[Subject], sample: Sequence[Batch], progress: Progress = quiet
) -> None:
    """Run the oracle and the subjects on each batch, one at a time, so that few values are held at once.

    Ends where the oracle has a fault.
    """
    steps, done = len(sample) * (1 + len(subjects)), 0
    for batch in sample:
        progress(oracle.name, done / steps)
        expected = oracle.compute(batch)
        if oracle.fault:
            return
        for subject in subjects:
            done += 1
            progress(subject.name, done / steps)
            subject.compare(expected, batch)
        done += 1


def _is_meant(value: Tensor, expected: Tensor | None) -> bool:
    """Whether a value is infinite only where that is expected, or may be."""
    if is_finite(value):
        return True
    if expected is None or expected.shape != value.shape:
        return expected is None and not bool(value.isnan().any())
    return bool(((value == expected) | value.isfinite()).all())


def _is_missed(value: Tensor, expected: Tensor) -> bool:
    """Whether a value is finite where that is not expected."""
    return not is_finite(expected) and bool((value.isfinite() & ~expected.isfinite()).any())
