"""Wrong folds, and which of the two checks refute them; right folds of random networks, which neither may refute.

python -m benchmarks.mutants [CONTROLS] [SEED].  The table goes into benchmarks/README.md.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from benchmarks.fuzz import Tally, batch, keep
from benchmarks.readme import write_section
from repc.verify import Proof
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant
from tests.mutants.refute import FAR, difference, proved


@dataclass(frozen=True)
class Row:
    """A mutant and what each check says of it."""

    mutant: Mutant
    proof: Proof | None
    off: float

    @property
    def killed(self) -> tuple[bool, bool]:
        return not self.proof, self.off > FAR

    def __str__(self) -> str:
        field, floating = ("refuted" if killed else "**missed**" for killed in self.killed)
        cells = (self.mutant.rule, self.mutant.fault, self.mutant.witness.name)
        return f"| {' | '.join(cells)} | {field} ({self._where()}) | {floating} ({self.off:.1e}) |"

    def _where(self) -> str:
        if self.proof is None:
            return "a fact does not hold"
        verdicts = [verdict.equal for _, verdict in self.proof.segments]
        return f"{verdicts.count(False)} of {len(verdicts)} segments"


def main(controls: int = 1000, seed: int = 0) -> int:
    rows = [judged(mutant) for mutant in MUTANTS]
    tally = Tally()
    while tally.networks < controls:
        found = batch(seed, tally)
        if found is not None:
            keep(*found)
        seed += 1
        print(f"\r{tally}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    text = report(rows, tally)
    write_section("mutants", text)
    print(text)
    return 0 if all(all(row.killed) for row in rows) and not tally.faults else 1


def judged(mutant: Mutant) -> Row:
    train, fused, trace = mutant.fold()
    return Row(mutant, proved(train, fused, trace), difference(train, fused))


def report(rows: list[Row], tally: Tally) -> str:
    kills = [sum(row.killed[column] for row in rows) for column in (0, 1)]
    lines = [
        "| rule | fault | witness | field proof | float64, ‖Δ‖∞/‖y‖∞ |",
        "|---|---|---|---|---|",
        *map(str, rows),
        "",
        f"Refuted by the proof: {kills[0]} of {len(rows)}; in float64: {kills[1]} of {len(rows)}.",
        f"Right folds: {tally.networks} random networks, {tally.faults.total()} of them refuted or otherwise at fault.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
