"""F9: every reader of a normalised value takes its weight and bias, or none does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repc.ir.node import NodeId
from repc.ir.operator import Operator
from repc.ir.target import Override
from repc.ops import Dropout, GroupNorm, LayerNorm, Permute, RMSNorm, Slice
from tests.passes import draw as d
from tests.passes.build import EPS, EXACT, Folded, Net, folded


def norm(net: Net, x: NodeId, op: Operator, axis: int, *, bias: bool = True) -> NodeId:
    c = net.channels(x, axis)
    names = ("weight", "bias") if bias and not isinstance(op, RMSNorm) else ("weight",)
    return net.node(op, "norm", x=x, **{name: net.param(f"norm.{name}", c) for name in names})


def statistics_only(found: Folded) -> bool:
    return not any(name.startswith("norm.") for name in found.stored())


@d.quick
@given(st.data(), st.sampled_from([LayerNorm(1, EPS), RMSNorm(1, EPS)]), st.booleans())
def test_queries_keys_and_values_take_it(data: st.DataObject, op: Operator, bias: bool) -> None:
    net = Net()
    y = norm(net, net.input(2, 5, 6), op, 2)
    if data.draw(st.booleans()):
        y = net.node(Dropout(0.1), x=net.node(Slice(1, 1, 4), x=y))
    readers = [net.linear(y, f"{i}", data.draw(st.integers(1, 4)), bias) for i in range(data.draw(st.integers(1, 3)))]
    found = folded(net.output(*readers), objective="operators")
    assert statistics_only(found)
    assert set(found.rules()) <= {"F9", "N1"}
    assert found.error() < EXACT


@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_a_convolution_takes_it_where_it_reads_no_zeros(mode: str) -> None:
    net = Net()
    y = net.conv(norm(net, net.input(2, 4, 6, 7), GroupNorm(2, EPS), 1), "conv", 3, padding=1, mode=mode)
    found = folded(net.output(y))
    assert statistics_only(found) == (mode == "reflect")
    assert found.error() < EXACT


def test_an_unpadded_one_takes_it_behind_a_permutation() -> None:
    net = Net()
    y = norm(net, net.input(2, 6, 7, 4), LayerNorm(1, EPS), 3)
    y = net.conv(net.node(Permute((0, 3, 1, 2)), x=y), "conv", 4, (2, 2), stride=2, bias=True)
    found = folded(net.output(y))
    assert statistics_only(found)
    assert found.error() < EXACT


def test_a_norm_of_the_batch_itself_has_weights_too() -> None:
    net = Net()
    y = net.conv(net.batch_norm(net.input(2, 4, 6, 7), "norm", tracked=False), "conv", 3)
    found = folded(net.output(y))
    assert statistics_only(found)
    assert found.error() < EXACT


def test_a_scale_behind_a_norm_goes_the_same_way() -> None:
    net = Net()
    y = net.affine(norm(net, net.input(2, 5, 6), LayerNorm(1, EPS), 2), "affine", 2)
    found = folded(net.output(net.linear(y, "fc", 3)))
    assert found.count() == {"layer_norm": 1, "linear": 1}
    assert found.rules() == ["F8", "F9"]
    assert found.error() < EXACT


def wide(net: Net) -> NodeId:
    return net.linear(norm(net, net.input(2, 5, 6), LayerNorm(1, EPS), 2), "fc", 13, bias=False)


@pytest.mark.parametrize(
    ("options", "folds"),
    [({}, False), ({"objective": "operators"}, True), ({"overrides": (Override("norm", "macs"),)}, True)],
)
def test_biases_cost_no_more_than_what_they_replace(options: dict[str, object], folds: bool) -> None:
    net = Net()
    found = folded(net.output(wide(net)), **options)
    assert statistics_only(found) == folds
    assert found.error() < EXACT


def residual(net: Net) -> tuple[NodeId, ...]:
    y = norm(net, net.input(2, 5, 6), LayerNorm(1, EPS), 2)
    return (net.sum(y, net.linear(net.relu(net.linear(y, "a", 9)), "b", 6)),)


def an_output(net: Net) -> tuple[NodeId, ...]:
    y = norm(net, net.input(2, 5, 6), LayerNorm(1, EPS), 2)
    return y, net.linear(y, "a", 9)


def tied_reader(net: Net) -> tuple[NodeId, ...]:
    y = norm(net, net.input(2, 5, 6), LayerNorm(1, EPS), 2)
    a = net.linear(y, "a", 6)
    return (net.node(net.graph[a].op, "tied", x=net.relu(a), weight=net.graph[a].weights["weight"]),)


def two_axes(net: Net) -> tuple[NodeId, ...]:
    weights = {name: net.param(f"norm.{name}", 5, 6) for name in ("weight", "bias")}
    return (net.linear(net.node(LayerNorm(2, EPS), "norm", x=net.input(2, 5, 6), **weights), "a", 3),)


@pytest.mark.parametrize("make", [residual, an_output, tied_reader, two_axes])
def test_what_one_reader_does_not_take_stays(make: Callable[[Net], tuple[NodeId, ...]]) -> None:
    net = Net()
    found = folded(net.output(*make(net)), objective="operators")
    assert "norm.weight" in found.stored()
    assert "F9" not in found.rules()
    assert found.error() == 0


def test_a_norm_that_is_kept_stays() -> None:
    net = Net()
    y = net.linear(norm(net, net.input(2, 5, 6), LayerNorm(1, EPS), 2), "fc", 3)
    assert "norm.weight" in folded(net.output(y), keep=("norm",)).stored()
