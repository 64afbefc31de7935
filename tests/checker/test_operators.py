"""The checker reads every operator that the writer writes, and gives it the meaning that it has in repc."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repc.checker.reader import read
from repc.diagnostics import Failure
from repc.evaluate.proof import Verdict, prove
from repc.ir.storage import storage
from tests.backends.onnx import test_operators, test_selection
from tests.backends.onnx.families import Family
from tests.backends.onnx.networks import Network, newest_runnable

REFUSED = ("is not finite", "does not know Range")
"""Padding that never wins, and positions computed in floats: the checker says that it cannot."""

OPSETS = (17, 18, 21, newest_runnable())


def proved(net: Network, opset: int) -> list[Verdict]:
    """The graph against the file that is written of it."""
    (result,) = net.graph.outputs.values()
    found = read(net.model(opset), net.graph, {}, storage(net.graph).tensors)
    return prove(net.graph, found.graph, {result: found.graph.outputs["y"]})


@pytest.mark.parametrize(
    "family", [*test_operators.FAMILIES, *test_selection.FAMILIES], ids=lambda family: family.__name__
)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_what_is_written_is_read_as_it_was_meant(family: Family, data: st.DataObject) -> None:
    net = Network(0)
    net.output(family(net, data.draw))
    try:
        verdicts = proved(net, data.draw(st.sampled_from(OPSETS), label="opset"))
    except Failure as failure:
        if any(text in str(failure) for text in REFUSED):
            return
        raise
    assert all(verdict.equal for verdict in verdicts), [verdict.reason for verdict in verdicts]
