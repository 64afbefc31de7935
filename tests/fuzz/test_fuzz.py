"""Random networks through the whole path, the same in every run; `make fuzz` draws others, as many as asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.networks import Network, networks
from tests.fuzz.path import check, check_text
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import patched

CASES = sorted((Path(__file__).parent / "cases").glob("*.rep"))
few = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@few
@given(networks())
def test_a_random_network_folds_to_itself(network: Network) -> None:
    check(network)


@settings(few, max_examples=20)
@given(networks())
def test_a_random_network_runs_when_deployed(network: Network) -> None:
    check(network, runtime=True)


@pytest.mark.parametrize("fault", ["F1 no γ", "F4 bias lost"])
def test_a_wrong_rule_is_found(fault: str) -> None:
    (mutant,) = [mutant for mutant in MUTANTS if str(mutant) == fault]

    @settings(few, phases=[Phase.generate])
    @given(networks())
    def run(network: Network) -> None:
        check(network)

    with patched(mutant.patches), pytest.raises(AssertionError, match="folded is off"):
        run()


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_what_was_once_wrong_is_right(path: Path) -> None:
    check_text(path.read_text(encoding="utf-8"), runtime=True)
