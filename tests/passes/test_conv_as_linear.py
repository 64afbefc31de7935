"""F7: convolutions of a tile beside a layer over all its elements become part of that layer."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repc.ir.dims import symbol
from repc.passes import RuleDoc, catalogue
from repc.passes.rules import LEMMAS, RULES
from tests.passes import draw as d
from tests.passes.build import EXACT, Net, folded


def layer(net: Net, x: int, tile: Sequence[int], out: Sequence[int], groups: int = 1, *, linear: bool = False) -> int:
    """All elements of a tile (c, spatial…) to all elements of another one, by groups of channels."""
    n = net.graph[x].type.shape[0]
    flat, made, ones = size(tile), size(out), () if linear else (1, 1)
    y = net.reshape(x, n, flat, *ones)
    y = net.linear(y, "fc3", made) if linear else net.conv(y, "fc3", made, (1, 1), groups=groups)
    return net.batch_norm(net.reshape(y, n, *out), "fc3_bn")


def size(shape: Sequence[int]) -> int:
    total = 1
    for n in shape:
        total *= n
    return total


@settings(d.quick, max_examples=20)
@given(st.data(), st.booleans())
def test_any_convolution_of_the_tile(data: st.DataObject, linear: bool) -> None:
    g = d.geometry(data.draw, ranks=(1, 2), strides=(1, 1), sizes=(5, 6))
    tile = g.net.graph[g.x].type.concrete()[1:]
    convs = [d.conv(data.draw, g, f"conv{i}", 0, data.draw(st.sampled_from(d.MODES))) for i in range(2)]
    convs = [d.affine(data.draw, g.net, y, f"affine{i}") for i, y in enumerate(convs)]
    groups = 1 if linear else d.groups(data.draw, g)
    out = (g.out, *tile[1:])
    terms = [layer(g.net, g.x, tile, out, groups, linear=linear), *convs]
    y = g.net.sum(*terms, path="fc3", weights=[1, -2, 3], named=True)
    found = folded(g.net.output(y), objective="operators")
    assert found.count() == {"reshape": 2, "linear" if linear else "conv": 1}
    assert found.stored() == ["fc3.bias", "fc3.weight"]
    assert found.error() < EXACT


def locality(net: Net, kernels: Sequence[int], *, identity: bool = False, sets: int = 4) -> int:
    """RepMLP's block: share sets of channels, a layer over tiles of 3 x 5, depthwise convolutions inside the tile."""
    tile = (sets, 3, 5)
    x = net.input(symbol("n"), *tile)
    terms = [layer(net, x, tile, tile, groups=sets)]
    for k in kernels:
        conv = net.conv(x, f"conv{k}", sets, (k, k), padding=k // 2, groups=sets, bias=False)
        terms.append(net.batch_norm(conv, f"bn{k}"))
    return net.sum(*terms, *([net.batch_norm(x, "skip")] if identity else []), path="fc3", named=True)


@pytest.mark.parametrize("identity", [True, False])
def test_locality_injection(identity: bool) -> None:
    net = Net()
    found = folded(net.output(locality(net, (1, 3), identity=identity)))
    assert found.count() == {"reshape": 2, "conv": 1}
    assert found.stored() == ["fc3.bias", "fc3.weight"]
    (conv,) = (node for node in map(found.graph.__getitem__, found.graph) if node.weights)
    assert conv.weights["weight"].type.shape == (60, 15, 1, 1)
    assert {step.exactness for step in found.trace.steps if step.rule == "F7"} == {"pinned"}
    assert found.error({"n": 3}) < EXACT


def test_groups_that_the_layer_does_not_have_are_asked_for() -> None:
    net = Net()
    tile = (4, 3, 5)
    x = net.input(2, *tile)
    terms = [layer(net, x, tile, tile, groups=4), net.conv(x, "dense", 4, padding=1)]
    net.output(net.sum(*terms))
    (refusal,) = folded(net).trace.refusals
    assert (refusal.rule, refusal.edge) == ("F7", "fc3 -> reshape -> sum")
    assert refusal.reason == (
        "one linear layer over all elements would cost 3600 instead of 3060 multiply-adds, "
        "14640 instead of 4432 weight bytes"
    )
    assert folded(net, objective="operators").count() == {"reshape": 2, "conv": 1}


def test_a_layer_that_the_sum_broadcasts_takes_nothing_in() -> None:
    net = Net()
    x = net.input(2, 3, 4, 4)
    terms = [layer(net, x, (3, 4, 4), (1, 4, 4)), net.conv(x, "conv", 3, padding=1)]
    found = folded(net.output(net.sum(*terms)), objective="operators")
    assert found.count() == {"reshape": 2, "conv": 2, "sum": 1}
    assert found.error() < EXACT


def test_without_a_layer_a_convolution_stays_one() -> None:
    net = Net()
    found = folded(net.output(net.conv(net.input(2, 4, 3, 5), "conv", 4, padding=1)))
    assert found.trace.steps == []


def test_the_catalogue_states_every_rule_in_full() -> None:
    docs = catalogue()
    assert sorted(docs) == sorted(lemma.id for lemma in (*RULES, *LEMMAS))
    for doc in docs.values():
        assert isinstance(doc, RuleDoc)
        assert all((doc.title, doc.identity, doc.precondition, doc.trap, doc.source)), doc.id
        assert doc.title.endswith(".")
