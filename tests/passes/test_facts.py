"""F12 and F13: folds that rely on what the values of the weights are, and only where folding may look at them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import pytest

from repc.evaluate.expressions import evaluate
from repc.evaluate.floating import TorchField
from repc.ir.expr import Expr
from repc.ir.node import NodeId
from repc.ir.operator import Operator
from repc.ops import Affine, Function, Multiply, PRelu, build
from repc.verify import certify
from tests.passes.build import EXACT, Folded, Net, folded


def looking(net: Net) -> Callable[[Expr], Sequence[float]]:
    """The values of weights, as folding asks for them."""
    return lambda expr: evaluate({"_": expr}, TorchField(), net.values)["_"].flatten().tolist()


def image(net: Net) -> NodeId:
    return net.input(2, 6, 8, 9)


def holds(found: Folded) -> bool:
    return all(fact.holds(looking(found.net)(fact.expr)) for fact in found.trace.facts)


# ---------------------------------------------------------------- F12


def scaled_relu(net: Net, op: Operator, r: Expr, **weights: Expr) -> NodeId:
    y = net.node(op, "act", x=net.conv(image(net), "conv", 4, padding=1), **weights)
    return net.node(Multiply(), "r", a=y, b=build.along(r, 1, 4))


@pytest.mark.parametrize(
    "op", [Function("relu"), Function("leaky_relu", (Fraction(1, 5),)), Function("abs"), PRelu()], ids=str
)
def test_a_scale_passes_where_its_values_are_not_negative(op: Operator) -> None:
    net = Net()
    slopes = {"weight": net.param("slopes", 4)} if isinstance(op, PRelu) else {}
    y = scaled_relu(net, op, net.param("r", 4), **slopes)
    net.values["r"] = net.values["r"].abs()
    net.values["r"][1] = 0
    assert folded(net.output(y)).count() == {"conv": 1, op.name: 1, "multiply": 1}
    found = folded(net, values=looking(net))
    assert found.count() == {"conv": 1, op.name: 1}
    assert found.rules() == ["F12"]
    assert [fact.kind for fact in found.trace.facts] == ["nonnegative"]
    assert holds(found)
    assert found.error() < EXACT
    assert certify(net.graph, found.graph, found.trace.steps)


def test_one_negative_channel_is_enough_to_refuse() -> None:
    net = Net()
    y = scaled_relu(net, Function("relu"), net.param("r", 4))
    net.values["r"] = net.values["r"].abs()
    net.values["r"][2] = -0.1
    found = folded(net.output(y), values=looking(net))
    assert found.count() == {"conv": 1, "function": 1, "multiply": 1}
    assert found.trace.facts == ()
    assert [(r.rule, r.edge, r.reason) for r in found.trace.refusals] == [
        ("F1", "conv -> act/relu -> r", "act/relu is not linear")
    ]


def test_a_scale_that_is_made_positive_passes_for_all_weights() -> None:
    net = Net()
    norm = build.reduce(net.param("V", 4, 3), "norm", (1,))
    y = scaled_relu(
        net, Function("relu"), build.scale(build.div(norm, build.rsqrt(net.param("var", 4))), Fraction(1, 2))
    )
    net.values["var"] = net.values["var"].abs()
    found = folded(net.output(y))
    assert found.count() == {"conv": 1, "function": 1}
    assert holds(found)
    assert found.error() < EXACT


@pytest.mark.parametrize("function", ["relu6", "gelu", "hardswish", "sigmoid"])
def test_no_scale_passes_other_functions(function: str) -> None:
    net = Net()
    y = scaled_relu(net, Function(function), build.fill((4,), 2))
    assert folded(net.output(y), values=looking(net)).count() == {"conv": 1, "function": 1, "multiply": 1}


def test_no_shift_passes() -> None:
    net = Net()
    y = net.affine(net.relu(net.conv(image(net), "conv", 4)), "affine")
    net.values["affine.weight"].abs_()
    assert "affine" in folded(net.output(y), values=looking(net)).count()


def test_a_layer_behind_needs_no_sign() -> None:
    net = Net()
    y = scaled_relu(net, Function("relu"), build.fill((4,), 2))
    found = folded(net.output(net.conv(y, "next", 3)))
    assert found.rules() == ["F2"]


# ---------------------------------------------------------------- F13


def dead(net: Net, *channels: int) -> None:
    for channel in channels:
        net.values["bn.weight"][channel] = 0


def bottleneck(net: Net, *, padding: int = 0, function: str = "silu") -> NodeId:
    y = net.batch_norm(net.conv(image(net), "a", 8, padding=1, bias=False), "bn")
    dead(net, 1, 2, 5, 7)
    net.values["bn.weight"][4] = 0.3
    return net.conv(net.node(Function(function), "act", x=y), "b", 5, padding=padding)


def test_constant_channels_go() -> None:
    net = Net()
    net.output(bottleneck(net))
    found = folded(net, values=looking(net))
    assert folded(net).graph[max(folded(net).graph)].weights["weight"].type.shape == (5, 8, 3, 3)
    shapes = sorted(
        node.weights["weight"].type.shape for node in map(found.graph.__getitem__, found.graph) if node.weights
    )
    assert shapes == [(4, 6, 3, 3), (5, 4, 3, 3)]
    assert found.rules() == ["F1", "F13"]
    assert holds(found)
    assert found.error() < EXACT


def test_with_zero_padding_only_zeros_go() -> None:
    net = Net()
    net.output(bottleneck(net, padding=1, function="relu"))
    for channel, shift in ((1, -3.0), (2, 3.0), (5, -3.0), (7, 3.0)):
        net.values["bn.bias"][channel] = shift
    found = folded(net, values=looking(net))
    assert found.trace.steps[-1].detail == "2 of 8 channels are constant"
    assert [fact.kind for fact in found.trace.facts] == ["zero", "zero"]
    assert holds(found)
    assert found.error() < EXACT


def test_merged_branches_are_zero_one_by_one() -> None:
    """So that each fact is about a product, on which a proof can impose it."""
    net = Net()
    x = image(net)
    wide = net.batch_norm(net.conv(x, "a", 8, padding=1), "bn")
    point = net.batch_norm(net.conv(x, "p", 8, (1, 1)), "p.bn")
    dead(net, 1, 2)
    net.values["p.bn.weight"][1] = 0
    net.values["p.bn.weight"][4] = 0.4
    net.output(net.conv(net.relu(net.sum(wide, point)), "b", 5))
    found = folded(net, values=looking(net))
    assert found.trace.steps[-1].detail == "1 of 8 channels are constant"
    assert len(found.trace.facts) == 2
    assert holds(found)
    assert found.error() < EXACT
    assert certify(net.graph, found.graph, found.trace.steps)
    assert not certify(net.graph, found.graph)


def test_linear_layers_lose_features() -> None:
    net = Net()
    y = net.linear(net.relu(net.batch_norm(net.linear(net.input(5, 6), "a", 8), "bn")), "b", 3, bias=False)
    dead(net, 0, 3)
    found = folded(net.output(y), values=looking(net))
    assert found.rules() == ["F1", "F13"]
    assert found.error() < EXACT


def test_one_channel_is_left() -> None:
    net = Net()
    y = bottleneck(net)
    dead(net, *range(8))
    found = folded(net.output(y), values=looking(net))
    assert found.trace.steps[-1].detail == "7 of 8 channels are constant"
    assert found.error() < EXACT


def read_twice(net: Net) -> NodeId:
    y = net.relu(net.batch_norm(net.conv(image(net), "a", 4), "bn"))
    dead(net, 1)
    return net.sum(net.conv(y, "b", 4, (1, 1)), net.node(Function("sigmoid"), x=y))


def grouped(net: Net) -> NodeId:
    y = net.relu(net.batch_norm(net.conv(image(net), "a", 4), "bn"))
    dead(net, 1)
    return net.conv(y, "b", 4, groups=2)


def alive(net: Net) -> NodeId:
    y = net.batch_norm(net.conv(image(net), "a", 4), "bn")
    net.values["bn.weight"].abs_().add_(0.1)
    return net.conv(net.relu(y), "b", 4)


def softened(net: Net) -> NodeId:
    y = net.batch_norm(net.conv(image(net), "a", 4), "bn")
    return net.conv(net.node(Affine(2), "rows", x=net.relu(y), bias=net.param("rows", 6)), "b", 4, padding=1)


@pytest.mark.parametrize("make", [read_twice, grouped, alive, softened])
def test_where_channels_stay(make: Callable[[Net], NodeId]) -> None:
    net = Net()
    found = folded(net.output(make(net)), values=looking(net))
    assert "F13" not in found.rules()
    assert found.error() < EXACT
