"""F18: small networks on one value whose results are added are one network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from repc.ir.dims import symbol
from repc.ir.node import NodeId
from repc.ops import Function, Linear
from tests.passes.build import EXACT, Net, folded

B, H, W = (symbol(name) for name in "bhw")
SIZES = {"b": 2, "h": 8, "w": 9}


def branch(net: Net, x: NodeId, path: str, hidden: int, act: str = "relu", bias: bool = True) -> NodeId:
    y = net.node(Function(act), f"{path}.act", x=net.conv(x, f"{path}.up", hidden, (3, 3), padding=1, bias=bias))
    return net.conv(y, f"{path}.down", 4, (1, 3), padding=((0, 0), (1, 1)), bias=not bias)


def network(widths: Sequence[int], acts: Sequence[str], weights: Sequence[int]) -> tuple[Net, NodeId]:
    net = Net()
    x = net.input(B, 6, H, W)
    terms = [
        branch(net, x, f"net{i}", width, act, bias=i % 2 == 0)
        for i, (width, act) in enumerate(zip(widths, acts, strict=True))
    ]
    return net, net.sum(*terms, weights=weights)


@pytest.mark.parametrize("weights", [[1, 1], [2, -3]])
def test_branches_of_one_activation_become_one(weights: list[int]) -> None:
    net, y = network([5, 3], ["tanh", "tanh"], weights)
    found = folded(net.output(y))
    assert found.count() == {"conv": 2, "function": 1}
    assert found.error(SIZES) < EXACT


def test_branches_of_two_activations_become_two() -> None:
    net, y = network([5, 3, 2, 4], ["tanh", "relu", "tanh", "relu"], [1, 2, 3, 4])
    found = folded(net.output(y))
    assert found.count() == {"conv": 4, "function": 2, "sum": 1}
    assert found.error(SIZES) < EXACT


def test_linear_layers_with_a_residual() -> None:
    net = Net()
    x = net.input(B, H, 6)
    terms = [net.linear(net.relu(net.linear(x, f"up{i}", 3 + i)), f"down{i}", 6, bias=i > 0) for i in range(3)]
    found = folded(net.output(net.sum(x, *terms)))
    assert found.count() == {"linear": 2, "function": 1, "sum": 1}
    assert found.error(SIZES) < EXACT


def groups(net: Net, x: NodeId) -> NodeId:
    return net.conv(net.relu(net.conv(x, "b.up", 6, (3, 3), padding=1, groups=3)), "b.down", 4, (1, 1))


def another_frame(net: Net, x: NodeId) -> NodeId:
    return net.conv(net.relu(net.conv(x, "b.up", 5, (1, 1))), "b.down", 4, (1, 1))


def another_value(net: Net, x: NodeId) -> NodeId:
    return net.conv(net.relu(net.conv(net.relu(x), "b.up", 5, (3, 3), padding=1)), "b.down", 4, (1, 1))


@pytest.mark.parametrize("other", [groups, another_frame, another_value], ids=lambda other: other.__name__)
def test_branches_that_differ_in_more_stay_apart(other: Callable[[Net, NodeId], NodeId]) -> None:
    net = Net()
    x = net.input(B, 6, H, W)
    first = net.conv(net.relu(net.conv(x, "a.up", 5, (3, 3), padding=1)), "a.down", 4, (1, 1))
    found = folded(net.output(net.sum(first, other(net, x))))
    assert found.count()["conv"] == 4
    assert found.error(SIZES) < EXACT


def test_a_weight_that_both_store_is_not_stored_twice() -> None:
    net = Net()
    x, tied = net.input(B, H, 6), net.param("tied", 5, 6)
    hidden = [
        net.relu(net.node(Linear(), f"up{i}", x=x, weight=tied, bias=net.param(f"up{i}.bias", 5))) for i in (0, 1)
    ]
    found = folded(net.output(net.sum(*(net.linear(y, f"down{i}", 4) for i, y in enumerate(hidden)))))
    assert found.count() == {"linear": 4, "function": 2, "sum": 1}


def test_a_hidden_layer_that_is_read_elsewhere_stays() -> None:
    net = Net()
    x = net.input(B, 6, H, W)
    first, second = (branch(net, x, path, 5) for path in "ab")
    hidden = next(id for id in net.graph if net.graph[id].path == "a.act")
    found = folded(net.output(net.sum(first, second), hidden))
    assert found.count() == {"conv": 4, "function": 2, "sum": 1}


def test_what_the_target_keeps_stays() -> None:
    net, y = network([5, 3], ["relu", "relu"], [1, 1])
    found = folded(net.output(y), keep=("net1.up",))
    assert found.count() == {"conv": 4, "function": 2, "sum": 1}
