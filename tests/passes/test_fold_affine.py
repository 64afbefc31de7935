"""F1: after a linear operator every scale and shift folds, whatever the geometry."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repc.ir.dims import symbol
from repc.ops import AdaptiveAvgPool, AvgPool, Concat, Divide, Dropout, MatMul, Multiply, Permute, Slice, build
from tests.passes import draw as d
from tests.passes.build import EXACT, Net, folded


@d.quick
@given(st.data())
def test_after_a_convolution(data: st.DataObject) -> None:
    g = d.geometry(data.draw)
    y = d.conv(data.draw, g, "conv", data.draw(st.integers(-1, 1)), data.draw(st.sampled_from(d.MODES)))
    for i in range(data.draw(st.integers(1, 3))):
        y = d.affine(data.draw, g.net, y, f"affine{i}")
    found = folded(g.net.output(y))
    assert found.count() == {"conv": 1}
    assert found.error() < EXACT


@d.quick
@given(st.data())
def test_after_a_transposed_convolution(data: st.DataObject) -> None:
    g = d.geometry(data.draw)
    y = d.conv_transpose(data.draw, g, "conv", 0, data.draw(st.integers(0, g.stride - 1)))
    found = folded(g.net.output(d.affine(data.draw, g.net, y, "affine")))
    assert found.count() == {"conv_transpose": 1}
    assert found.error() < EXACT


@d.quick
@given(st.data(), st.sampled_from([(5, 6), (2, 3, 6), (2, 3, 4, 6)]), st.booleans())
def test_after_a_linear_layer(data: st.DataObject, shape: tuple[int, ...], bias: bool) -> None:
    net = Net()
    y = net.linear(net.input(*shape), "fc", 5, bias)
    found = folded(net.output(d.affine(data.draw, net, y, "affine", len(shape) - 1)))
    assert found.count() == {"linear": 1}
    assert found.error() < EXACT


def test_every_spelling_of_a_scale_or_shift() -> None:
    net = Net()
    y = net.conv(net.input(2, 4, 6, 6), "conv", 6, bias=False)
    y = net.node(Multiply(), a=y, b=build.along(net.param("a", 6), 1, 4))
    y = net.node(Multiply(), a=net.param("b"), b=y)
    y = net.node(Divide(), a=y, b=net.param("c", 6, 1, 1))
    y = net.node(Dropout(0.5), x=y)
    y = net.sum(net.param("d", 6, 1, 1), y, net.param("e"), weights=[Fraction(1, 3), -2, 5])
    y = net.sum(y, weights=[Fraction(-1, 7)])
    found = folded(net.output(y))
    assert found.count() == {"conv": 1}
    assert found.error() < EXACT


def test_a_matrix_product_becomes_a_linear_layer() -> None:
    net = Net()
    y = net.node(MatMul(), "fc", a=net.input(3, 5), b=net.param("fc.weight", 5, 4))
    found = folded(net.output(net.batch_norm(y, "bn")))
    assert found.count() == {"linear": 1}
    assert found.error() < EXACT


def test_through_what_it_commutes_with() -> None:
    """A scale before a reshape may recur: in blocks (bn), or in turns (last)."""
    net, n = Net(), symbol("n")
    y = net.conv(net.input(n, 4, 1, 1), "fc", 12, (1, 1), groups=2)
    y = net.batch_norm(net.reshape(y, n, 2, 2, 3), "bn")
    y = net.affine(net.node(Permute((0, 2, 1, 3)), x=y), "affine", 2)
    y = net.node(AvgPool((2, 2), (1, 1), ((0, 0), (0, 0))), x=y)
    found = folded(net.output(net.affine(net.node(AdaptiveAvgPool((1, 1)), x=y), "last", shift=False)))
    assert found.error({"n": 3}) < EXACT
    assert found.rules() == ["F1", "F1", "F1"]
    assert found.count() == {"conv": 1, "reshape": 1, "permute": 1, "avg_pool": 1, "adaptive_avg_pool": 1}


@pytest.mark.parametrize("pool", [AvgPool((3, 3), (1, 1), ((1, 1), (1, 1)), False, False), AdaptiveAvgPool((3, 5))])
def test_no_map_passes_an_average_along_its_own_axes(pool: AvgPool | AdaptiveAvgPool) -> None:
    net = Net()
    y = net.node(pool, "pool", x=net.linear(net.input(2, 3, 6, 8), "fc", 5))
    found = folded(net.output(net.affine(y, "affine", 3)))
    assert found.count() == {"linear": 1, pool.name: 1, "affine": 1}
    assert found.trace.refusals[0].reason == "affine does not act on the output channels of fc"


def test_an_average_of_uneven_windows_passes_a_shift() -> None:
    net = Net()
    pool = AvgPool((2, 3), (2, 2), ((0, 0), (0, 0)), ceil=True)
    y = net.node(pool, "pool", x=net.conv(net.input(2, 4, 7, 8), "conv", 4))
    found = folded(net.output(net.batch_norm(y, "bn")))
    assert found.count() == {"conv": 1, "avg_pool": 1}
    assert found.error() < EXACT


def test_an_average_that_counts_zeros_stops_a_shift() -> None:
    net = Net()
    pool = AvgPool((3, 3), (1, 1), ((1, 1), (1, 1)))
    y = net.node(pool, "pool", x=net.conv(net.input(2, 4, 6, 6), "conv", 4))
    found = folded(net.output(net.batch_norm(y, "bn")))
    assert found.count() == {"conv": 1, "avg_pool": 1, "batch_norm": 1}


@pytest.mark.parametrize("named", [True, False])
def test_the_result_is_called_as_the_spec_says(named: bool) -> None:
    net = Net()
    y = net.conv(net.input(2, 4, 6, 6), "conv", 4, bias=False)
    y = net.sum(net.affine(y, "shift", scale=False), path="total", named=named)
    found = folded(net.output(y))
    assert found.stored() == (["total.bias", "total.weight"] if named else ["conv.bias", "conv.weight"])
    (conv,) = (node for node in map(found.graph.__getitem__, found.graph) if node.weights)
    assert conv.named == named
    assert {span.source.name for span in conv.origin} == {"net.rep"}
    assert sorted(span.source.text for span in conv.origin) == ["conv", "shift"] + ["total"] * named


# ---------------------------------------------------------------- several operators take it in


@d.quick
@given(st.data())
def test_behind_a_concatenation_each_part_takes_its_channels(data: st.DataObject) -> None:
    net = Net()
    count = data.draw(st.integers(2, 4))
    inputs = [net.input(2, 4, 6, 6, name=f"x{i}") for i in range(count + 1)]
    parts = [
        net.conv(x, f"{i}", data.draw(st.integers(1, 3)), (1, 1), bias=data.draw(st.booleans()))
        for i, x in enumerate(inputs[1:])
    ]
    parts.append(net.batch_norm(net.relu(inputs[0], "act"), "other"))
    y = net.node(Concat(1), "cat", **{str(i): part for i, part in enumerate(parts)})
    found = folded(net.output(net.batch_norm(y, "bn")))
    assert found.count()["conv"] == count
    assert "batch_norm" not in found.count()
    assert set(found.rules()) == {"F1", "N2"}
    assert found.error() < EXACT


@d.quick
@given(st.data())
def test_behind_a_sum_one_term_takes_the_shift(data: st.DataObject) -> None:
    net = Net()
    count = data.draw(st.integers(2, 4))
    terms = [net.conv(net.input(2, 4, 6, 6, name=f"{i}"), f"c{i}", 4, bias=False) for i in range(count)]
    weights = [data.draw(st.sampled_from([1, -1, 3])) for _ in terms]
    found = folded(net.output(net.batch_norm(net.sum(*terms, weights=weights), "bn")))
    assert found.count() == {"conv": count, "sum": 1}
    assert sum(name.endswith("bias") for name in found.stored()) == 1
    assert found.error() < EXACT


def test_norms_and_scales_take_their_parts_too() -> None:
    net = Net()
    x = net.input(2, 4, 6)
    normal = net.batch_norm(x, "norm", tracked=False)
    scaled = net.affine(net.relu(x), "scale")
    y = net.node(Concat(1), "cat", **{"0": normal, "1": scaled, "2": net.conv(x, "conv", 3, (1,))})
    found = folded(net.output(net.batch_norm(y, "bn")))
    assert found.count() == {"batch_norm": 1, "function": 1, "affine": 1, "conv": 1, "concat": 1}
    assert sorted(found.rules()) == ["F1", "F8", "N2"]
    assert found.error() < EXACT


def test_a_part_of_a_value_takes_a_scale_of_its_own() -> None:
    """The scale of queries folds into a layer that makes keys and values as well."""
    net = Net()
    qkv = net.linear(net.input(2, 5, 6), "qkv", 9)
    q, k, v = (net.node(Slice(2, 3 * i, 3 * i + 3), x=qkv) for i in range(3))
    found = folded(net.output(net.affine(q, "scale", 2), k, net.sum(v, weights=[3])))
    assert found.count() == {"linear": 1, "slice": 3}
    assert found.error() < EXACT


def test_parts_that_overlap_do_not() -> None:
    net = Net()
    y = net.linear(net.input(2, 5, 6), "fc", 9)
    parts = [net.node(Slice(2, start, start + 4), x=y) for start in (0, 3)]
    found = folded(net.output(net.affine(parts[0], "scale", 2), parts[1]))
    assert found.count() == {"linear": 1, "slice": 2, "affine": 1}
    assert found.error() == 0
