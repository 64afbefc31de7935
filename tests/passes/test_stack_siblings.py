"""F14: linear operators side by side on one value become one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repc.ops import Concat
from tests.passes import draw as d
from tests.passes.build import EXACT, Net, folded


def concat(net: Net, *parts: int, axis: int = 1) -> int:
    return net.node(Concat(axis), "cat", **{str(i): part for i, part in enumerate(parts)})


@d.quick
@given(st.data(), st.booleans())
def test_convolutions_stack(data: st.DataObject, bias: bool) -> None:
    g = d.geometry(data.draw)
    kernel, dilation, padding = d.window(data.draw, g.rank, data.draw(st.integers(-1, 1)), "constant")
    parts: list[int] = []
    for i, out in enumerate(data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))):
        parts.append(
            g.net.conv(g.x, f"{i}", out, kernel, padding=padding, stride=g.stride, dilation=dilation, bias=bias)
        )
    found = folded(g.net.output(concat(g.net, *parts)))
    assert found.count() == {"conv": 1}
    assert found.rules() == ["F14", "N1"]
    assert found.error() < EXACT


def test_transposed_convolutions_stack() -> None:
    net = Net()
    x = net.input(2, 4, 5, 6)
    parts = [net.conv_transpose(x, f"{i}", i + 2, (2, 3), stride=2) for i in range(3)]
    found = folded(net.output(concat(net, *parts)))
    assert found.count() == {"conv_transpose": 1}
    assert found.error() < EXACT


@pytest.mark.parametrize("shape", [(5, 6), (2, 3, 6)])
def test_linear_layers_stack(shape: tuple[int, ...]) -> None:
    net = Net()
    x = net.input(*shape)
    found = folded(net.output(concat(net, *(net.linear(x, f"{i}", i + 1) for i in range(3)), axis=len(shape) - 1)))
    assert found.count() == {"linear": 1}
    assert found.stored() == ["0.bias", "0.weight"]
    assert found.error() < EXACT


def test_neighbours_stack_and_others_stay() -> None:
    net = Net()
    x = net.input(2, 4, 6, 6)
    a, b = net.conv(x, "a", 3, (1, 1)), net.conv(x, "b", 2, (1, 1))
    c, e = net.conv(x, "c", 2, (1, 1)), net.conv(x, "e", 3, (1, 1))
    found = folded(net.output(concat(net, a, b, net.relu(x), c, e)))
    assert found.count() == {"conv": 2, "function": 1, "concat": 1}
    assert found.stored() == ["a.bias", "a.weight", "c.bias", "c.weight"]
    assert found.error() < EXACT


def test_kernels_are_enlarged_where_the_target_asks_for_few_operators() -> None:
    def build() -> Net:
        net = Net()
        x = net.input(2, 4, 6, 6)
        wide, flat = net.conv(x, "a", 3, padding=1, bias=False), net.conv(x, "b", 2, (1, 3), padding=[(0, 0), (1, 1)])
        return net.output(concat(net, wide, net.conv(x, "c", 3, (1, 1)), flat))

    assert folded(build()).count() == {"conv": 3, "concat": 1}
    found = folded(build(), objective="operators")
    assert found.count() == {"conv": 1}
    assert found.error() < EXACT


def other_stride(net: Net) -> tuple[int, ...]:
    x = net.input(2, 4, 1, 1)
    return net.conv(x, "a", 3, (1, 1)), net.conv(x, "b", 3, (1, 1), stride=2)


def other_source(net: Net) -> tuple[int, ...]:
    x = net.input(2, 4, 5, 5)
    return net.conv(x, "a", 3, (1, 1)), net.conv(net.relu(x), "b", 3, (1, 1))


def other_padding(net: Net) -> tuple[int, ...]:
    x = net.input(2, 4, 5, 5)
    return net.conv(x, "a", 3, padding=1), net.conv(x, "b", 3, padding=1, mode="reflect")


def grouped(net: Net) -> tuple[int, ...]:
    x = net.input(2, 4, 5, 5)
    return net.conv(x, "a", 4, groups=2), net.conv(x, "b", 4, groups=2)


def shared(net: Net) -> tuple[int, ...]:
    x = net.input(2, 4, 5, 5)
    a = net.conv(x, "a", 4, bias=False)
    return a, net.conv(x, "b", 4, bias=False, weight=net.graph[a].weights["weight"])


def one_bias_only(net: Net) -> tuple[int, ...]:
    x = net.input(2, 4, 5, 5)
    return net.conv(x, "a", 4), net.conv(x, "b", 4, bias=False)


@pytest.mark.parametrize("make", [other_stride, other_source, other_padding, grouped, shared, one_bias_only])
def test_what_does_not_stack(make: Callable[[Net], tuple[int, ...]]) -> None:
    net = Net()
    found = folded(net.output(concat(net, *make(net))))
    assert found.count()["conv"] == 2
    assert found.trace.steps == []


def test_a_sibling_that_is_read_elsewhere_stays() -> None:
    net = Net()
    x = net.input(2, 4, 5, 5)
    a, b = net.conv(x, "a", 4), net.conv(x, "b", 4)
    assert folded(net.output(concat(net, a, b), net.relu(a))).count() == {"conv": 2, "concat": 1, "function": 1}


def test_along_another_axis_nothing_stacks() -> None:
    net = Net()
    x = net.input(2, 4, 5, 5)
    assert folded(net.output(concat(net, net.conv(x, "a", 4), net.conv(x, "b", 4), axis=2))).count() == {
        "conv": 2,
        "concat": 1,
    }
