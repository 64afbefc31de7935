"""F3 and F4: what reads one value with one stride is one operator, wherever its taps lie."""

from __future__ import annotations

from fractions import Fraction
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repc.ir.dims import symbol
from repc.ir.graph import Graph
from repc.ir.target import Override
from repc.ops import MatMul
from tests.passes import draw as d
from tests.passes.build import EXACT, Net, folded

WEIGHTS = st.sampled_from([1, -1, 2, Fraction(1, 3)])


def branches(data: st.DataObject, net: Net, terms: list[int], path: str = "sum") -> int:
    return net.sum(*terms, path=path, weights=[data.draw(WEIGHTS) for _ in terms])


def identities(data: st.DataObject, net: Net, x: int) -> list[int]:
    """The value itself, and scales and shifts of it."""
    found = [x] if data.draw(st.booleans()) else []
    return found + [d.affine(data.draw, net, x, f"skip{i}") for i in range(data.draw(st.integers(0, 2)))]


@d.quick
@given(st.data())
def test_convolutions_merge(data: st.DataObject) -> None:
    g = d.geometry(data.draw)
    surplus = data.draw(st.integers(-1, 1))
    mode = data.draw(st.sampled_from(d.MODES))
    terms = [d.conv(data.draw, g, f"conv{i}", surplus, mode) for i in range(data.draw(st.integers(2, 4)))]
    if g.stride == 1 and g.channels == g.out and surplus == 0:
        terms += identities(data, g.net, g.x)
    found = folded(g.net.output(branches(data, g.net, terms)), objective="operators")
    assert found.count() == {"conv": 1}
    assert found.error() < EXACT


@d.quick
@given(st.data())
def test_transposed_convolutions_merge(data: st.DataObject) -> None:
    g = d.geometry(data.draw)
    extra = data.draw(st.integers(0, g.stride - 1))
    terms = [d.conv_transpose(data.draw, g, f"conv{i}", 0, extra) for i in range(data.draw(st.integers(2, 3)))]
    if g.stride == 1 and g.channels == g.out:
        terms += identities(data, g.net, g.x)
    found = folded(g.net.output(branches(data, g.net, terms)), objective="operators")
    assert found.count() == {"conv_transpose": 1}
    assert found.error() < EXACT


@d.quick
@given(st.data())
def test_a_transposed_convolution_with_stride_one_is_a_convolution(data: st.DataObject) -> None:
    g = d.geometry(data.draw, strides=(1, 1))
    terms = [d.conv_transpose(data.draw, g, "up", 0, 0)]
    terms.insert(data.draw(st.integers(0, 1)), d.conv(data.draw, g, "conv", 0))
    if g.channels == g.out:
        terms += identities(data, g.net, g.x)
    found = folded(g.net.output(branches(data, g.net, terms)), objective="operators")
    assert found.count() == {"conv": 1}
    assert found.error() < EXACT


def test_a_transposed_convolution_that_cuts_more_than_its_reach_is_none() -> None:
    net = Net()
    x = net.input(2, 4, 9)
    terms = [net.conv_transpose(x, "up", 4, [3], padding=[(3, 1)]), net.conv(x, "conv", 4, [3])]
    found = folded(net.output(net.sum(*terms)), objective="operators")
    assert found.count() == {"conv_transpose": 1, "conv": 1, "sum": 1}
    assert found.error() < EXACT


@d.quick
@given(st.data(), st.booleans())
def test_linear_layers_merge(data: st.DataObject, square: bool) -> None:
    net = Net()
    x = net.input(2, 3, 6)
    terms = [net.linear(x, f"fc{i}", 6 if square else 4, data.draw(st.booleans())) for i in range(2)]
    terms.append(net.node(MatMul(), "product", a=x, b=net.param("product.weight", 6, 6 if square else 4)))
    if square:
        terms += [x, net.affine(x, "scale", 2)]
    found = folded(net.output(branches(data, net, terms)))
    assert found.count() == {"linear": 1}
    assert found.error() < EXACT


@d.quick
@given(st.data())
def test_by_default_nothing_gets_dearer(data: st.DataObject) -> None:
    g = d.geometry(data.draw, ranks=(1, 2))
    terms = [d.conv(data.draw, g, f"conv{i}", 0) for i in range(data.draw(st.integers(2, 4)))]
    found = folded(g.net.output(branches(data, g.net, terms)))
    assert elements(found.graph) <= elements(g.net.graph)
    assert found.error() < EXACT


def elements(graph: Graph) -> int:
    """The size of all kernels, which is their multiply-adds for each position, too."""
    weights = [graph[id].weights["weight"] for id in graph if graph[id].weights]
    return sum(prod(weight.type.concrete()) for weight in weights)


# ---------------------------------------------------------------- what merges with what


def cross(net: Net, *, square: bool) -> int:
    """1x3 + 3x1, and perhaps a 3x3 that holds both."""
    x = net.input(2, 4, 6, 7)
    terms = [
        net.conv(x, "row", 4, (1, 3), padding=[(0, 0), (1, 1)]),
        net.conv(x, "column", 4, (3, 1), padding=[(1, 1), (0, 0)]),
    ]
    return net.sum(*terms, *([net.conv(x, "square", 4, padding=1)] if square else []))


def test_a_merge_that_is_dearer_is_asked_for() -> None:
    net = Net()
    net.output(cross(net, square=False))
    (refusal,) = folded(net).trace.refusals
    assert refusal.reason == (
        "1x3 + 3x1 in one would cost 144 instead of 96 multiply-adds, 592 instead of 416 weight bytes"
    )
    assert refusal.remedy == "set objective = operators to merge them anyway"
    assert refusal.edge == "row -> sum"
    assert folded(net).count() == {"conv": 2, "sum": 1}
    assert folded(net, objective="macs").count() == {"conv": 2, "sum": 1}
    assert folded(net, objective="operators").count() == {"conv": 1}
    assert folded(net, overrides=(Override("su*", "operators"),)).count() == {"conv": 1}
    assert folded(net, overrides=(Override("other", "operators"),)).count() == {"conv": 2, "sum": 1}


def test_a_larger_branch_holds_both_for_nothing() -> None:
    net = Net()
    found = folded(net.output(cross(net, square=True)))
    assert found.count() == {"conv": 1}
    assert found.stored() == ["square.bias", "square.weight"]


def test_where_not_all_merge_those_do_that_cost_nothing() -> None:
    """A dense 1x1 would make the depthwise kernels dense; they merge with each other and with the identity."""
    net = Net()
    x = net.input(2, 6, 6, 7)
    large = net.conv(x, "large", 6, (5, 5), padding=2, groups=6)
    small = net.conv(x, "small", 6, padding=1, groups=6)
    found = folded(net.output(net.sum(net.conv(x, "dense", 6, (1, 1)), small, x, large)))
    assert found.count() == {"conv": 2, "sum": 1}
    assert found.error() < EXACT
    assert [(s.rule, s.path, s.detail) for s in found.trace.steps] == [
        ("F4", "large", "identity as 5x5, groups 6"),
        ("F3", "large", "3x3 + 5x5 + identity"),
    ]


def test_a_dilated_kernel_in_a_dense_one() -> None:
    net = Net()
    x = net.input(2, 4, 9, 9)
    dilated = net.conv(x, "dilated", 4, padding=2, dilation=2, groups=4)
    found = folded(net.output(net.sum(dilated, net.conv(x, "dense", 4, (5, 5), padding=2, groups=4))))
    (step,) = found.trace.steps
    assert (step.path, step.absorbed, step.detail) == ("dense", ("dilated",), "3x3 dilation 2x2 + 5x5")


def test_the_merged_operator_has_the_name_that_the_spec_gives() -> None:
    net = Net()
    x = net.input(2, 4, 6, 7)
    found = folded(net.output(net.sum(net.conv(x, "conv", 4, padding=1), x, path="merged", named=True)))
    assert found.stored() == ["merged.bias", "merged.weight"]
    assert [(s.rule, s.path, s.absorbed) for s in found.trace.steps] == [
        ("F4", "merged", ("x",)),
        ("F3", "merged", ()),
    ]


def test_a_sum_that_stays_keeps_its_name() -> None:
    net = Net()
    x, other = net.input(2, 4, 6), net.relu(net.input(2, 4, 6, name="z"))
    convs = [net.conv(x, name, 4, (3,), padding=1) for name in "ab"]
    found = folded(net.output(net.sum(*convs, other, path="merged", named=True)))
    assert found.count() == {"conv": 1, "sum": 1, "function": 1}
    assert found.stored() == ["a.bias", "a.weight"]


def test_a_diagonal_takes_no_multiply_adds() -> None:
    """Between the two taps is a third one for the scale, which costs multiply-adds that the scale itself does not."""
    net = Net()
    x = net.input(2, 4, 6)
    wide = net.conv(x, "wide", 4, (2,), padding=1, dilation=2, groups=4, bias=False)
    net.output(net.sum(wide, net.affine(x, "scale", shift=False)))
    assert folded(net, objective="macs").count() == {"conv": 1, "affine": 1, "sum": 1}
    assert folded(net, objective="size").count() == {"conv": 1}


def test_a_scalar_shift_merges_as_the_bias_that_it_becomes() -> None:
    net = Net()
    x = net.input(2, 4, 6)
    conv = net.conv(x, "conv", 4, (3,), padding=[(1, 1)], bias=False)
    found = folded(net.output(net.sum(conv, net.sum(x, net.param("shift"), path="shifted"))))
    assert found.count() == {"conv": 1}
    assert found.error() < EXACT


def test_sizes_may_stay_free() -> None:
    net = Net()
    x = net.input(symbol("n"), 4, symbol("h"), symbol("w"))
    wide = net.conv(x, "wide", 4, (4, 5), padding=[(1, 2), (2, 2)], stride=2)
    found = folded(net.output(net.sum(wide, net.conv(x, "point", 4, (1, 1), stride=2))))
    assert found.count() == {"conv": 1}
    assert found.trace.steps[-1].exactness == "exact"
    for sizes in ({"n": 1, "h": 6, "w": 9}, {"n": 2, "h": 11, "w": 8}):
        assert found.error(sizes) < EXACT


def test_sizes_that_agree_by_chance_pin_the_input() -> None:
    """With stride 2 and 7 columns, one more column of padding adds no output."""
    net = Net()
    x = net.input(2, 4, 7)
    first = net.conv(x, "first", 4, (3,), padding=[(1, 1)], stride=2)
    found = folded(net.output(net.sum(first, net.conv(x, "second", 4, (3,), padding=[(1, 2)], stride=2))))
    assert found.count() == {"conv": 1}
    assert found.trace.steps[-1].exactness == "pinned"
    assert found.error() < EXACT


@pytest.mark.parametrize("mode", ["reflect", "circular"])
def test_a_branch_that_does_not_pad_joins_any_mode(mode: str) -> None:
    net = Net()
    x = net.input(2, 4, 6, 7)
    padded = net.conv(x, "padded", 4, padding=1, mode=mode)
    found = folded(net.output(net.sum(x, net.conv(x, "point", 4, (1, 1)), padded)))
    assert found.count() == {"conv": 1}
    assert found.error() < EXACT


def test_two_sources_merge_apart() -> None:
    net = Net()
    x, y = net.input(2, 4, 6), net.input(2, 4, 6, name="y")
    terms = [net.conv(v, f"{v}{i}", 4, (3,), padding=1) for i in range(2) for v in (x, y)]
    found = folded(net.output(net.sum(*terms)))
    assert found.count() == {"conv": 2, "sum": 1}
    assert found.error() < EXACT


def test_a_merged_sum_goes_on_folding() -> None:
    """The merged convolution meets the constant of the sum, the norm behind it, and a branch one level up."""
    net = Net()
    x = net.input(2, 4, 6)
    inner = net.sum(net.conv(x, "a", 4, (3,), padding=1), x, net.param("c", 4, 1), path="inner", weights=[1, 2, 3])
    found = folded(net.output(net.sum(net.batch_norm(inner, "bn"), net.conv(x, "b", 4, (1,)), path="outer")))
    assert found.count() == {"conv": 1}
    assert found.error() < EXACT
