"""F2: before a linear operator a scale folds always, a shift where no zeros are read."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repc.ops import AdaptiveAvgPool, Affine, AvgPool, Concat, Conv, Divide, Multiply, Pad, Permute, Reduce, Sum, build
from tests.passes import draw as d
from tests.passes.build import EXACT, folded


@d.quick
@given(st.data(), st.booleans())
def test_before_a_convolution(data: st.DataObject, shift: bool) -> None:
    g = d.geometry(data.draw)
    g.x = g.net.affine(g.x, "affine", shift=shift)
    mode = data.draw(st.sampled_from(d.MODES))
    y = d.conv(data.draw, g, "conv", data.draw(st.integers(-1, 0)), mode)
    op = g.net.graph[y].op
    assert isinstance(op, Conv)
    padded = any(any(pair) for pair in op.padding)
    found = folded(g.net.output(y))
    assert found.count() == ({"conv": 1, "affine": 1} if shift and padded and mode == "constant" else {"conv": 1})
    assert found.error() < EXACT


@d.quick
@given(st.data(), st.booleans())
def test_before_a_transposed_convolution(data: st.DataObject, shift: bool) -> None:
    g = d.geometry(data.draw)
    g.x = g.net.affine(g.x, "affine", shift=shift)
    if shift:
        g.stride = 1
        y = g.net.conv_transpose(g.x, "conv", g.out, [1] * g.rank, groups=d.groups(data.draw, g))
    else:
        y = d.conv_transpose(data.draw, g, "conv", 0, data.draw(st.integers(0, g.stride - 1)))
    found = folded(g.net.output(y))
    assert found.count() == {"conv_transpose": 1}
    assert found.error() < EXACT


@d.quick
@given(st.data(), st.sampled_from([(5, 6), (2, 3, 6)]))
def test_before_a_linear_layer(data: st.DataObject, shape: tuple[int, ...]) -> None:
    net = d.Net()
    y = d.affine(data.draw, net, net.input(*shape), "affine", len(shape) - 1)
    found = folded(net.output(net.linear(y, "fc", 5)))
    assert found.count() == {"linear": 1}
    assert found.error() < EXACT


def test_through_the_pool_of_a_head() -> None:
    net = d.Net()
    y = net.batch_norm(net.relu(net.input(2, 4, 5, 7)), "bn")
    y = net.reshape(net.node(AdaptiveAvgPool((1, 1)), x=y), 2, 4)
    found = folded(net.output(net.linear(y, "head", 3)))
    assert found.rules() == ["F2"]
    assert found.error() < EXACT


@pytest.mark.parametrize("pool", [AvgPool((1, 2), (1, 2), ((0, 0), (0, 0))), AdaptiveAvgPool((5, 4))])
def test_no_scale_passes_an_average_along_its_own_axes(pool: AvgPool | AdaptiveAvgPool) -> None:
    net = d.Net()
    y = net.affine(net.input(2, 4, 5, 8), "affine", 3, shift=False)
    found = folded(net.output(net.linear(net.node(pool, x=y), "fc", 3)))
    assert found.count() == {"affine": 1, pool.name: 1, "linear": 1}
    assert found.error() == 0


@pytest.mark.parametrize("shape", [(4, 5, 7), (5, 1), (1, 4, 1, 7), ()])
@pytest.mark.parametrize("kind", ["add", "subtract", "multiply", "divide"])
def test_a_constant_along_several_axes_that_are_flattened(shape: tuple[int, ...], kind: str) -> None:
    net = d.Net()
    x = net.input(2, 4, 5, 7)
    constant = net.param("table", *shape)
    match kind:
        case "add":
            y = net.node(Sum((Fraction(2), Fraction(-3))), "map", **{"0": x, "1": constant})
        case "subtract":
            y = net.node(Sum((Fraction(1), Fraction(-1))), "map", **{"0": constant, "1": x})
        case "multiply":
            y = net.node(Multiply(), "map", a=constant, b=x)
        case _:
            y = net.node(Divide(), "map", a=x, b=constant)
    y = net.batch_norm(net.reshape(net.batch_norm(y, "bn"), 2, 140), "flat")
    found = folded(net.output(net.linear(y, "fc", 3)))
    assert found.count() == {"reshape": 1, "linear": 1}
    assert found.error() < EXACT


def test_a_constant_divided_by_a_value_is_no_map() -> None:
    net = d.Net()
    y = net.node(Divide(), "map", a=net.param("table", 4, 5), b=net.input(2, 4, 5))
    found = folded(net.output(net.linear(net.reshape(y, 2, 20), "fc", 3)))
    assert found.count() == {"divide": 1, "reshape": 1, "linear": 1}


def test_a_flattened_scale_recurs_at_each_place() -> None:
    net = d.Net()
    y = net.affine(net.input(2, 4, 5, 7), "affine")
    found = folded(net.output(net.linear(net.reshape(y, 2, 140), "fc", 3)))
    assert found.count() == {"reshape": 1, "linear": 1}
    assert found.error() < EXACT


def test_what_comes_after_a_linear_operator_folds_into_that_one() -> None:
    net = d.Net()
    y = net.batch_norm(net.conv(net.input(2, 4, 5, 7), "a", 4, bias=False), "bn")
    found = folded(net.output(net.conv(y, "b", 4, padding=1, bias=False)))
    assert found.stored() == ["a.bias", "a.weight", "b.weight"]


# ---------------------------------------------------------------- several readers


@d.quick
@given(st.data())
def test_all_readers_take_it(data: st.DataObject) -> None:
    net = d.Net()
    y = net.batch_norm(net.relu(net.input(2, 4, 6)), "bn")
    readers: list[int] = []
    for i in range(data.draw(st.integers(1, 4))):
        match data.draw(st.sampled_from(["conv", "linear", "norm", "pool"])):
            case "conv":
                readers.append(net.conv(y, f"{i}", 3, (2,)))
            case "linear":
                readers.append(net.linear(net.node(Permute((0, 2, 1)), x=y), f"{i}", 3))
            case "norm":
                readers.append(net.conv(net.relu(net.batch_norm(y, f"{i}.bn")), f"{i}", 3, (1,)))
            case _:
                readers.append(net.linear(net.node(Reduce("mean", (2,), False), x=y), f"{i}", 3))
    readers.append(net.conv(y, "last", 3, (1,)))
    found = folded(net.output(*readers))
    assert "batch_norm" not in found.count()
    assert {"bn.weight", "bn.bias"}.isdisjoint(found.stored())
    assert found.error() < EXACT


def test_a_concatenation_behind_it_passes_its_channels() -> None:
    net = d.Net()
    x = net.relu(net.input(2, 4, 6))
    both = net.node(Concat(1), "cat", **{"0": x, "1": net.batch_norm(x, "bn"), "2": x})
    found = folded(net.output(net.conv(both, "conv", 3, (1,))))
    assert found.count() == {"function": 1, "concat": 1, "conv": 1}
    assert found.error() < EXACT


def test_a_border_of_the_right_value_is_no_hindrance() -> None:
    """Padding with what the map makes zero of, and then mapping, is what a padded convolution reads."""
    net = d.Net()
    value = build.div(build.scale(net.param("t", 4), Fraction(-1)), net.param("s", 4))
    padded = net.node(Pad(((0, 0), (0, 0), (1, 1), (1, 1))), x=net.relu(net.input(2, 4, 5, 6)), value=value)
    y = net.node(Affine(1), "normal", x=padded, weight=net.param("s", 4), bias=net.param("t", 4))
    found = folded(net.output(net.conv(y, "conv", 3)))
    assert found.count() == {"function": 1, "pad": 1, "conv": 1}
    assert found.error() < EXACT
