"""Random networks through the whole path, the same in every run; `make fuzz` draws others, as many as asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.networks import Network, networks
from tests.fuzz.path import check, check_text

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


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_what_was_once_wrong_is_right(path: Path) -> None:
    check_text(path.read_text(encoding="utf-8"), runtime=True)
