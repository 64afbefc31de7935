"""Random networks through the whole path, as many as asked: python -m benchmarks.fuzz [COUNT] [SEED].

The same seed gives the same networks.  A failure is shrunk and kept in tests/fuzz/cases, where the tests run it again;
further networks that fail in the same place are counted only.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.networks import Network, networks
from tests.fuzz.path import check

CASES = Path(__file__).parents[1] / "tests" / "fuzz" / "cases"
BATCH = 50  # networks that are drawn from one seed
SHARE = 5  # every fifth runs in ONNX Runtime, too
quiet = settings(
    max_examples=BATCH,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    report_multiple_bugs=False,
)


@dataclass
class Tally:
    """What was run and what came of it."""

    networks: int = 0
    refusals: Counter[str] = field(default_factory=Counter[str])
    faults: Counter[str] = field(default_factory=Counter[str])

    def __str__(self) -> str:
        said = ", ".join(f"{code} {count}" for code, count in sorted(self.refusals.items())) or "none"
        return (
            f"{self.networks} networks, {self.faults.total()} failures in {len(self.faults)} places, refusals: {said}"
        )


def main(count: int = 1000, first: int = 0) -> int:
    tally, started = Tally(), time.perf_counter()
    while tally.networks < count:
        found = batch(first, tally)
        if found is not None:
            keep(*found)
        first += 1
        rate = tally.networks / (time.perf_counter() - started)
        print(f"\r{tally}, {rate:.1f} a second", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(tally)
    return 1 if tally.faults else 0


def batch(number: int, tally: Tally) -> tuple[Network, Exception] | None:
    """The smallest network that fails in a new place, of those that follow from one seed."""
    failed: list[tuple[Network, Exception]] = []
    shrinking = False

    @seed(number)
    @quiet
    @given(networks())
    def run(network: Network) -> None:
        nonlocal shrinking
        tally.networks += not shrinking
        try:
            tally.refusals.update(check(network, runtime=shrinking or tally.networks % SHARE == 0))
        except Exception as error:
            if place(error) in tally.faults:
                tally.faults[place(error)] += not shrinking
                return
            shrinking = True
            failed.append((network, error))
            raise

    try:
        run()
    except Exception:
        # The last network that failed is the smallest one.
        network, error = failed[-1]
        tally.faults[place(error)] += 1
        return network, error
    return None


def place(error: Exception) -> str:
    """The line that raised a failure, and what it says up to a colon."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno} {type(error).__name__} {str(error).partition(':')[0]}".strip()


def keep(network: Network, error: Exception) -> None:
    """Write a failure as a case, with what went wrong in a comment."""
    text = network.text()
    CASES.mkdir(exist_ok=True)
    path = CASES / f"{sha256(text.encode()).hexdigest()[:8]}.rep"
    said = " ".join(f"{place(error)}: {error}".split())[:200]
    path.write_text(f"# {said}\n{text}", encoding="utf-8")
    print(f"\n{path.name}: {said}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
