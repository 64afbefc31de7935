"""Where the golden cases lie: those that the tests need in tests/data, the full set perhaps beside the checkout."""

from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"
FULL = Path(__file__).parents[2] / "shared" / "fixtures"


def structural(case: str) -> Path:
    """The folder of a re-parameterization case; a test of one that is not there is skipped."""
    return _case("structural", case)


def adapter(case: str) -> Path:
    """The folder of a PEFT adapter case; a test of one that is not there is skipped."""
    return _case("adapters", case)


def _case(kind: str, case: str) -> Path:
    for place in (DATA, FULL):
        folder = place / kind / case
        if folder.is_dir():
            return folder
    pytest.skip(f"the case {kind}/{case} is neither in {DATA} nor in {FULL}")
