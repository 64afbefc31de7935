"""Every mutant is refuted in both ways, on a witness on which the right fold is in neither; and every rule has one."""

from __future__ import annotations

import pytest

from repc.passes import catalogue, fold
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant, Witness
from tests.mutants.refute import FAR, difference, proved

WITNESSES = {mutant.witness.name: mutant.witness for mutant in MUTANTS}


def test_every_rule_has_a_mutant() -> None:
    assert {mutant.rule for mutant in MUTANTS} == set(catalogue())


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_mutant_is_refuted(mutant: Mutant) -> None:
    train, fused, trace = mutant.fold()
    assert mutant.rule in [step.rule for step in trace.steps]
    assert not proved(train, fused, trace)
    assert difference(train, fused) > FAR


@pytest.mark.parametrize("witness", WITNESSES.values(), ids=WITNESSES)
def test_the_right_fold_is_not(witness: Witness) -> None:
    train = witness.build()
    fused, trace = fold(train, witness.options(train))
    assert proved(train, fused, trace)
    assert difference(train, fused) < FAR


def test_a_whole_network_at_a_small_input_misses_what_its_last_stage_gets_wrong() -> None:
    """So that the proof has to be one of segments, each of which sees all of its kernels."""
    (mutant,) = [m for m in MUTANTS if m.fault == "kernel transposed"]
    train, fused, trace = mutant.fold()
    assert difference(train, fused, h=8, w=8) < FAR
    proof = proved(train, fused, trace)
    assert proof is not None
    assert {cut.label for cut, verdict in proof.segments if not verdict.equal} == {
        "stage4.0.rbr_reparam",
        "stage4.1.rbr_reparam",
    }
