"""Every mutant is refuted, on a witness on which the right fold is not; and every rule has one."""

from __future__ import annotations

import pytest

from repc.passes import catalogue
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant, mutated
from tests.mutants.refute import FAR, difference


def test_every_rule_has_a_mutant() -> None:
    assert {mutant.rule for mutant in MUTANTS} == set(catalogue())


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_the_mutant_is_refuted_and_the_right_fold_is_not(mutant: Mutant) -> None:
    train = mutant.witness.build()
    right, _ = mutated(train, ())
    assert difference(train, right) < FAR
    wrong, wrong_trace = mutated(train, mutant.patches)
    assert mutant.rule in [step.rule for step in wrong_trace.steps]
    assert difference(train, wrong) > FAR
