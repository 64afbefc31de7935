"""F17: what is compared with a constant needs no scale and no shift of its own."""

from __future__ import annotations

import pytest

from repc.ir.dims import symbol
from repc.ir.node import NodeId
from repc.ops import BatchNorm, Binary, Cast, build
from tests.passes.build import EPS, Net, folded

B, H, W = (symbol(name) for name in "bhw")
SIZES = {"b": 3, "h": 8, "w": 9}


def compared(net: Net, function: str, first: bool, threshold: str = "number") -> NodeId:
    """A norm of random γ, negative and zero ones among them, in a comparison with a number or one for each channel."""
    y = net.batch_norm(net.relu(net.input(B, 6, H, W)), "bn")
    constant = build.fill((), 0) if threshold == "number" else net.param("threshold", 6, 1, 1)
    operands = {"a": y, "b": constant} if first else {"a": constant, "b": y}
    return net.node(Cast("f32"), x=net.node(Binary(function), "fire", **operands))


@pytest.mark.parametrize("threshold", ["number", "channels"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("function", ["greater", "less", "greater_equal", "less_equal"])
def test_a_norm_goes_into_the_threshold(function: str, first: bool, threshold: str) -> None:
    net = Net()
    found = folded(net.output(compared(net, function, first, threshold)))
    assert found.rules() == ["F17"]
    assert found.count() == {"function": 1, "affine": 1, "binary": 1, "cast": 1}
    assert found.error(SIZES) == 0


def test_a_shift_alone_needs_one_comparison() -> None:
    net = Net()
    y = net.affine(net.relu(net.input(B, 6, H, W)), "shift", scale=False)
    found = folded(net.output(net.node(Cast("f32"), x=net.node(Binary("greater"), a=y, b=build.fill((), 0)))))
    assert found.count() == {"function": 1, "binary": 1, "cast": 1}
    assert found.error(SIZES) == 0


def test_a_norm_that_is_read_elsewhere_stays() -> None:
    net = Net()
    fired = compared(net, "greater", True)
    norm = next(id for id in net.graph if net.graph[id].path == "bn")
    found = folded(net.output(fired, net.relu(norm)))
    assert found.count()["batch_norm"] == 1
    assert ("F17", "bn", "bn is read by fire and by relu") in [
        (refusal.rule, refusal.path, refusal.reason) for refusal in found.trace.refusals
    ]


def test_a_norm_that_the_target_keeps_stays() -> None:
    net = Net()
    found = folded(net.output(compared(net, "less", True)), keep=("bn",))
    assert found.count()["batch_norm"] == 1
    assert [refusal.reason for refusal in found.trace.refusals] == ["the target keeps bn"]


def test_a_threshold_for_each_column_is_no_threshold_of_a_channel() -> None:
    net = Net()
    y = net.batch_norm(net.relu(net.input(B, 6, H, 9)), "bn")
    fired = net.node(Binary("greater"), "fire", a=y, b=net.param("threshold", 9))
    found = folded(net.output(net.node(Cast("f32"), x=fired)))
    assert found.count()["batch_norm"] == 1


def test_a_norm_of_two_values_has_one_threshold() -> None:
    """As that of a neuron at two steps of time: it is stored once."""
    net = Net()
    x = net.relu(net.input(B, 6, H, W))
    operands = {part: net.param(f"bn.{part}", 6) for part in ("weight", "bias", "running_mean", "running_var")}
    norms = [net.node(BatchNorm(EPS), "bn", x=y, **operands) for y in (x, net.relu(x, "again"))]
    fired = [net.node(Binary("greater"), f"fire{i}", a=y, b=build.fill((), 0)) for i, y in enumerate(norms)]
    found = folded(net.output(*(net.node(Cast("f32"), x=y) for y in fired)))
    assert found.count() == {"function": 2, "affine": 2, "binary": 2, "cast": 2}
    assert len(found.stored()) == 2
    assert found.error(SIZES) == 0
