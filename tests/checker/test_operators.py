"""The checker reads every operator that the writer writes, and gives it the meaning that it has in repc."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repc.checker.reader import read
from repc.diagnostics import Failure
from repc.evaluate.proof import Verdict, prove
from repc.ir.operator import Operator
from repc.ir.storage import storage
from repc.ops import CumSum, Order, Upsample
from tests.backends.onnx import test_operators, test_selection
from tests.backends.onnx.families import Family
from tests.backends.onnx.networks import Network, newest_runnable

REFUSED = ("is not finite", "does not know Range")
"""Padding that never wins, and positions computed in floats: the checker says that it cannot."""

OPSETS = (17, 18, 21, newest_runnable())


def proved(net: Network, model: onnx.ModelProto) -> list[Verdict]:
    """The graph against the file that is written of it."""
    (result,) = net.graph.outputs.values()
    found = read(model, net.graph, {}, storage(net.graph).tensors)
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
        verdicts = proved(net, net.model(data.draw(st.sampled_from(OPSETS), label="opset")))
    except Failure as failure:
        if any(text in str(failure) for text in REFUSED):
            return
        raise
    assert all(verdict.equal for verdict in verdicts), [verdict.reason for verdict in verdicts]


def attribute(name: str, value: object) -> Callable[[onnx.NodeProto], object]:
    """A change of one attribute, which a node may not have had."""

    def change(node: onnx.NodeProto) -> None:
        kept = [made for made in node.attribute if made.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])

    return change


def values_for_places(node: onnx.NodeProto) -> None:
    node.output[:] = [node.output[1], ""]


CHANGES: tuple[tuple[Operator, str, Callable[[onnx.NodeProto], object]], ...] = (
    (Order(2, 1), "ArgMax", attribute("select_last_index", 1)),
    (Order(2, 2), "TopK", attribute("sorted", 0)),
    (Order(2, 2), "TopK", values_for_places),
    (CumSum(1), "CumSum", attribute("reverse", 1)),
    (CumSum(1), "CumSum", attribute("exclusive", 1)),
    (Upsample((Fraction(2),), "nearest"), "Resize", attribute("nearest_mode", "ceil")),
    (Upsample((Fraction(2),), "nearest"), "Resize", attribute("coordinate_transformation_mode", "half_pixel")),
    (Upsample((Fraction(2),), "linear"), "Resize", attribute("coordinate_transformation_mode", "pytorch_half_pixel")),
)


@pytest.mark.parametrize(("op", "kind", "change"), CHANGES)
def test_what_computes_something_else_is_not_taken_for_what_is_written(
    op: Operator, kind: str, change: Callable[[onnx.NodeProto], object]
) -> None:
    net = Network(0)
    net.output(net.add(op, net.input("x", "b", 3, 5)))
    model = net.model(21)
    change(next(node for node in model.graph.node if node.op_type == kind))
    with pytest.raises(Failure, match="E932"):
        proved(net, model)
