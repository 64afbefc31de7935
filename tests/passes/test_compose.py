"""F5: linear operators in a row are one where borders agree and it costs no more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repc.ir.expr import Param, apply
from repc.ir.types import TensorType
from repc.ops import AvgPool, Function, Pad, build
from repc.ops.arithmetic import Detach, Divide
from repc.passes.equal import equal
from tests.passes import draw as d
from tests.passes.build import EXACT, Net, folded


@d.quick
@given(st.data(), st.integers(1, 3), st.booleans())
def test_convolutions_in_a_row(data: st.DataObject, rank: int, first_pads: bool) -> None:
    """Any sizes, strides, dilations and groups, in one to three dimensions; the second one does not pad."""
    draw = data.draw
    net = Net(draw(st.integers(0, 99)))
    groups = [draw(st.sampled_from([1, 2])) for _ in range(2)]
    ks = [[draw(st.integers(1, 3)) for _ in range(rank)] for _ in range(2)]
    strides = [[draw(st.integers(1, 2)) for _ in range(rank)] for _ in range(2)]
    dilations = [[draw(st.integers(1, 2)) for _ in range(rank)] for _ in range(2)]
    padding = [(draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(rank)] if first_pads else 0
    x = net.input(2, 4, *[13 + i for i in range(rank)])
    y = net.conv(x, "a", 4, ks[0], stride=strides[0], dilation=dilations[0], padding=padding, groups=groups[0])
    z = net.conv(y, "b", 6, ks[1], stride=strides[1], dilation=dilations[1], groups=groups[1])
    found = folded(net.output(z), objective="operators")
    assert found.count() == {"conv": 1}
    assert found.error() < EXACT


@d.quick
@given(st.data(), st.booleans(), st.sampled_from(d.MODES))
def test_a_pointwise_one_before_a_padded_one(data: st.DataObject, bias: bool, mode: str) -> None:
    """Without bias it may pad with zeros; a pad that repeats elements repeats the bias, too."""
    net = Net(data.draw(st.integers(0, 99)))
    stride = data.draw(st.integers(1, 2)) if mode == "constant" else 1
    y = net.conv(net.input(2, 4, 9, 12), "a", 6, (1, 1), bias=bias, stride=stride)
    pads = [(data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2))) for _ in range(2)]
    found = folded(net.output(net.conv(y, "b", 6, (3, 2), padding=pads, mode=mode)), objective="operators")
    bordered = bias and mode == "constant" and any(any(pair) for pair in pads)
    assert found.count() == {"conv": 2 if bordered else 1}
    assert found.error() < EXACT


@d.quick
@given(st.integers(0, 99), st.sampled_from([1, 2]), st.sampled_from([1, 2]), st.booleans(), st.booleans())
def test_a_pointwise_one_beside_a_transposed_one(seed: int, one: int, two: int, before: bool, bias: bool) -> None:
    net = Net(seed)
    x = net.input(2, 4, 5, 7)
    if before:
        y = net.conv(x, "a", 6, (1, 1), bias=bias, groups=one)
        z = net.conv_transpose(y, "b", 4, [3, 2], stride=2, groups=two)
    else:
        z = net.conv(net.conv_transpose(x, "a", 6, [3, 2], stride=2, groups=one), "b", 4, (1, 1), groups=two)
    found = folded(net.output(z), objective="operators")
    assert found.count() == ({"conv": 1, "conv_transpose": 1} if before and bias else {"conv_transpose": 1})
    assert found.error() < EXACT


def bordered(net: Net, value: str) -> int:
    """A 1x1 whose border is padded with its bias, or with another vector, before a 3x3."""
    y = net.conv(net.input(2, 4, 6, 9), "a", 8, (1, 1))
    given = net.graph[y].weights["bias"] if value == "bias" else net.param("other", 8)
    padded = net.node(Pad(((0, 0), (0, 0), (1, 1), (2, 1))), "pad", x=y, value=given)
    return net.conv(padded, "b", 4)


def test_a_border_that_is_the_bias() -> None:
    net = Net()
    found = folded(net.output(bordered(net, "bias")))
    assert found.count() == {"conv": 1}
    assert found.error() < EXACT


def test_a_border_that_is_something_else() -> None:
    net = Net()
    found = folded(net.output(bordered(net, "other")))
    assert found.count() == {"conv": 2, "pad": 1}
    (refusal,) = found.trace.refusals
    assert (refusal.rule, refusal.edge) == ("F5", "a -> pad -> b")
    assert refusal.reason == (
        "pad pads with another value than the bias of a, which is what it makes of zeros; "
        "up to 2 from the border the result would be wrong"
    )


@pytest.mark.parametrize("width", [2, -1])
def test_padding_in_front_belongs_to_the_convolution(width: int) -> None:
    net = Net()
    widths = ((0, 0), (0, 0), (width, 1), (0, width))
    y = net.conv(net.node(Pad(widths), "pad", x=net.input(2, 4, 6, 9)), "conv", 4, padding=[(1, 0), (1, 0)])
    found = folded(net.output(y))
    assert found.count() == ({"conv": 1} if width > 0 else {"conv": 1, "pad": 1})
    assert found.error() < EXACT


def test_a_cropped_branch_joins_the_sum() -> None:
    net = Net()
    x = net.input(2, 4, 8, 9)
    cropped = net.node(Pad(((0, 0), (0, 0), (0, 0), (-1, -1))), "crop", x=x)
    found = folded(net.output(net.sum(net.conv(x, "square", 6), net.conv(cropped, "column", 6, (3, 1)))))
    assert found.count() == {"conv": 1}
    assert found.error() < EXACT


def test_what_else_reads_the_inner_value_keeps_it() -> None:
    net = Net()
    y = net.conv(net.input(2, 4, 6, 9), "a", 12, (1, 1), bias=False)
    assert folded(net.output(net.conv(y, "b", 4, padding=1), y)).count() == {"conv": 2}


def test_a_tied_weight_is_not_untied() -> None:
    net = Net()
    x = net.input(5, 8)
    y = net.linear(net.linear(x, "a", 8, bias=False), "b", 8, bias=False)
    tied = net.graph[y].weights["weight"]
    z = net.node(net.graph[y].op, "c", x=net.relu(y), weight=tied)
    assert folded(net.output(z)).count()["linear"] == 3


def test_an_average_alone_stays_what_it_is() -> None:
    net = Net()
    x = net.input(2, 6, 7, 9)
    pool = net.node(AvgPool((2, 3), (1, 2), ((1, 0), (0, 1)), False, True), "pool", x=net.relu(x))
    assert folded(net.output(pool)).count() == {"avg_pool": 1, "function": 1}


def test_a_long_chain_is_one() -> None:
    net = Net()
    y = net.input(3, 6)
    for i in range(40):
        y = net.linear(y, f"l{i}", 6)
    found = folded(net.output(y))
    assert found.count() == {"linear": 1}
    assert found.error() < 1e-9


def param(name: str, size: int = 4) -> Param:
    return Param(name, TensorType((size,)))


def test_arithmetic_has_a_normal_form() -> None:
    """A quotient by a root is a product with the inverse root; what is not equal is not said to be."""
    a, b, v, eps = param("a"), param("b"), param("v"), build.fill((), 1)
    root = build.add(v, eps)
    sqrt = apply(Function("sqrt"), x=root)
    one = build.sub(a, apply(Divide(), a=build.mul(a, b), b=sqrt))
    two = build.sub(apply(Detach(), x=a), build.mul(build.mul(b, build.rsqrt(root)), a))
    assert equal(one, two)
    assert not equal(one, build.sub(b, build.mul(a, build.rsqrt(root))))
    assert not equal(one, build.sub(a, build.mul(build.mul(a, b), build.rsqrt(v))))
    outer = build.mul(build.reshape(a, (4, 1)), build.reshape(b, (1, 4)))
    turned = build.mul(build.reshape(b, (4, 1)), build.reshape(a, (1, 4)))
    assert not equal(outer, turned)
