"""Micro-graphs reach what a complete algebra leaves of them, or are refused in words."""

from __future__ import annotations

import pytest

from repc.backends.onnx import operators
from tests.passes.build import EXACT, Folded, folded
from tests.passes.micrographs import IDEAL, OBJECTIVE, REFUSED, Make, m09, network


def fold_network(make: Make) -> Folded:
    return folded(network(make), objective=OBJECTIVE.get(make, "default"))


@pytest.mark.parametrize("make", IDEAL, ids=lambda make: make.__name__)
def test_it_reaches_its_ideal(make: Make) -> None:
    found = fold_network(make)
    assert operators(found.graph) == IDEAL[make]
    assert found.error() < EXACT
    assert found.trace.refusals == []


def test_the_merged_frame_is_that_of_the_largest_branch() -> None:
    (conv,) = (node for node in map(fold_network(m09).graph.__getitem__, fold_network(m09).graph) if node.weights)
    assert conv.weights["weight"].type.shape == (6, 1, 5, 5)


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_it_is_refused_with_its_edge(make: Make) -> None:
    found = fold_network(make)
    edge, reason = REFUSED[make]
    assert operators(found.graph) == operators(found.net.graph)
    assert [refusal.edge for refusal in found.trace.refusals] == [edge]
    assert found.trace.refusals[0].reason.startswith(reason)
    assert found.trace.refusals[0].remedy
    assert found.error({"h": 9, "w": 7}) == 0
