"""F5 and F6: linear operators in a row are one where borders agree and it costs no more."""

from __future__ import annotations

from math import gcd
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repc.ir.target import Override
from repc.ops import AvgPool, Pad
from tests.passes import draw as d
from tests.passes.build import EXACT, Folded, Net, folded

CHANNELS = (4, 6)


def window(data: st.DataObject, rank: int, *, pads: bool, small: bool = False) -> dict[str, Any]:
    """A kernel of its own along each axis."""
    taps = [data.draw(st.integers(1, 2 if small else 3)) for _ in range(rank)]
    widths = st.integers(0, 2)
    return {
        "kernel": taps,
        "dilation": [data.draw(st.integers(1, 2)) for _ in range(rank)],
        "padding": [(data.draw(widths), data.draw(widths)) if pads else (0, 0) for _ in range(rank)],
        "bias": data.draw(st.booleans()),
    }


def groups(data: st.DataObject, channels: int, out: int) -> int:
    return data.draw(st.sampled_from([n for n in (1, 2, 3, 4, 6) if gcd(channels, out) % n == 0]))


def operators(net: Net, **options: Any) -> Folded:
    return folded(net, objective="operators", **options)


@d.quick
@given(st.data())
def test_convolutions_in_a_row_become_one(data: st.DataObject) -> None:
    """The first may pad as it likes, the others do not pad."""
    net, rank = Net(data.draw(st.integers(0, 99))), data.draw(st.integers(1, 3))
    least = 12 if rank == 3 else 20
    y = net.input(1, data.draw(st.sampled_from(CHANNELS)), *(data.draw(st.integers(least, 24)) for _ in range(rank)))
    for i in range(2 if rank == 3 else data.draw(st.integers(2, 3))):
        out = data.draw(st.sampled_from(CHANNELS))
        mode = data.draw(st.sampled_from(d.MODES)) if i == 0 else "constant"
        shape = window(data, rank, pads=i == 0, small=i == 2)
        stride = data.draw(st.integers(1, 2)) if i < 2 and rank < 3 else 1
        y = net.conv(y, f"c{i}", out, groups=groups(data, net.channels(y), out), stride=stride, mode=mode, **shape)
    found = operators(net.output(y))
    assert found.count() == {"conv": 1}
    assert found.error() < EXACT


@d.quick
@given(st.data())
def test_what_composes_is_exact_to_the_border(data: st.DataObject) -> None:
    """Any padding: composed or refused, the result is the same."""
    net, rank = Net(data.draw(st.integers(0, 99))), data.draw(st.integers(1, 2))
    y = net.input(2, 4, *(data.draw(st.integers(13, 16)) for _ in range(rank)))
    for i in range(2):
        stride, mode = data.draw(st.integers(1, 2)), data.draw(st.sampled_from(d.MODES))
        y = net.conv(y, f"c{i}", 4, stride=stride, mode=mode, **window(data, rank, pads=True))
    found = operators(net.output(y))
    assert found.error() < EXACT
    assert found.count() == {"conv": 2 if found.trace.refusals else 1}


@d.quick
@given(st.data())
def test_transposed_convolutions_in_a_row(data: st.DataObject) -> None:
    net, rank = Net(data.draw(st.integers(0, 99))), data.draw(st.integers(1, 2))
    y = net.input(2, data.draw(st.sampled_from(CHANNELS)), *(data.draw(st.integers(4, 6)) for _ in range(rank)))
    for i in range(2):
        out, stride = data.draw(st.sampled_from(CHANNELS)), data.draw(st.integers(1, 3))
        shape = window(data, rank, pads=False)
        cut = [(data.draw(st.integers(0, 1)), 0) for _ in range(rank)] if min(shape["kernel"]) > 1 else 0
        g = groups(data, net.channels(y), out)
        extra = data.draw(st.integers(0, max(stride, min(shape["dilation"])) - 1))
        shape |= {"padding": cut, "stride": stride, "extra": extra, "groups": g}
        y = net.conv_transpose(y, f"c{i}", out, **shape)
    found = operators(net.output(y))
    assert found.error() < EXACT
    assert found.count() == {"conv_transpose": 2 if found.trace.refusals else 1}


@d.quick
@given(st.data(), st.booleans())
def test_a_convolution_beside_a_transposed_one(data: st.DataObject, first: bool) -> None:
    """Behind it, any that does not pad; before it, one without bias that pads all of its reach."""
    net, rank = Net(data.draw(st.integers(0, 99))), data.draw(st.integers(1, 2))
    y = net.input(2, 4, *(data.draw(st.integers(7, 9)) for _ in range(rank)))
    shape = window(data, rank, pads=False)
    if first:
        reach = [(d * (k - 1),) * 2 for d, k in zip(shape["dilation"], shape["kernel"], strict=True)]
        y = net.conv(y, "conv", 6, groups=2, **{**shape, "padding": reach, "bias": False})
    stride, cut = data.draw(st.integers(1, 2)), data.draw(st.integers(0, 1))
    groups = data.draw(st.integers(1, 2))
    y = net.conv_transpose(y, "up", 6, [3] * rank, stride=stride, padding=cut, extra=stride - 1, groups=groups)
    if not first:
        y = net.conv(y, "conv", 4, groups=2, **shape)
    found = operators(net.output(y))
    assert found.count() == {"conv_transpose": 1}
    assert found.error() < EXACT


@d.quick
@given(st.data())
def test_linear_layers_in_a_row_become_one(data: st.DataObject) -> None:
    net = Net()
    y = net.input(2, 3, 6)
    for i in range(data.draw(st.integers(2, 4))):
        y = net.linear(y, f"fc{i}", data.draw(st.integers(1, 8)), data.draw(st.booleans()))
    found = operators(net.output(y))
    assert found.count() == {"linear": 1}
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


# ---------------------------------------------------------------- padding


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_that_repeats_elements_belongs_to_the_convolution(mode: str) -> None:
    net = Net()
    padded = net.node(Pad(((0, 0), (0, 0), (2, 1), (0, 2)), mode), "pad", x=net.input(2, 4, 6, 9))
    found = folded(net.output(net.conv(padded, "conv", 4)))
    assert found.count() == {"conv": 1}
    assert found.error() < EXACT


def test_all_padding_comes_first() -> None:
    """Then what stands between may have a bias: it makes that of zeros."""
    net = Net()
    y = net.conv(net.pad(net.input(2, 4, 6, 9), 1), "a", 6, (1, 1))
    found = folded(net.output(net.conv(y, "b", 4)))
    assert found.count() == {"conv": 1}
    assert found.error() < EXACT


def test_a_norm_whose_border_is_what_it_makes_of_zero() -> None:
    net = Net()
    y = net.affine(net.input(2, 4, 6, 9), "norm")
    found = folded(net.output(net.conv(net.pad(y, 1, value=net.graph[y].weights["bias"]), "conv", 4)))
    assert found.count() == {"conv": 1}
    assert found.error() < EXACT


def test_a_crop_needs_padding_before_it() -> None:
    net = Net()
    x = net.input(2, 4, 9, 9)
    crop = Pad(((0, 0), (0, 0), (-1, 0), (0, -1)))
    found = folded(net.output(net.conv(net.node(crop, "crop", x=x), "conv", 4)))
    assert found.count() == {"conv": 1, "pad": 1}
    net = Net()
    wide = net.conv(net.input(2, 4, 9, 9), "wide", 4, (1, 1), padding=1, bias=False)
    found = folded(net.output(net.conv(net.node(crop, "crop", x=wide), "conv", 4)))
    assert found.count() == {"conv": 1}
    assert found.error() < EXACT


# ---------------------------------------------------------------- what a site costs


def low_rank(net: Net, x: int, rank: int, out: int) -> int:
    return net.linear(net.linear(x, "down", rank, bias=False), "up", out, bias=False)


@pytest.mark.parametrize(("rank", "left"), [(5, 2), (6, 1), (7, 1)])
def test_a_low_rank_pair_is_kept_while_it_is_cheaper(rank: int, left: int) -> None:
    """r·(m + n) < m·n, for 12 and 12."""
    net = Net()
    found = folded(net.output(low_rank(net, net.input(3, 12), rank, 12)))
    assert found.count() == {"linear": left}
    assert found.error() < EXACT


def gate(net: Net) -> int:
    """GhostNetV3's: a row and a column, each for every channel."""
    y = net.conv(net.input(2, 6, 9, 11), "row", 6, (1, 5), groups=6)
    return net.conv(y, "column", 6, (5, 1), groups=6)


def test_a_row_and_a_column_are_cheaper_than_the_square() -> None:
    net = Net()
    found = folded(net.output(gate(net)))
    assert found.count() == {"conv": 2}
    (refusal,) = found.trace.refusals
    assert refusal.reason == (
        "row and column in one would cost 150 instead of 60 multiply-adds, 624 instead of 288 weight bytes"
    )
    assert refusal.remedy == "set objective = operators to compose them anyway"
    for options in ({"objective": "operators"}, {"overrides": (Override("col*", "operators"),)}):
        assert folded(net, **options).count() == {"conv": 1}


def test_a_position_of_a_strided_operator_takes_several_before_it() -> None:
    """The 1x1 runs four times for each result, so that the composition is cheaper, which it is not at stride 1."""
    net = Net()
    x = net.input(2, 6, 8, 10)
    for stride, left in ((1, 2), (2, 1)):
        y = net.conv(net.conv(x, f"a{stride}", 6, (1, 1)), f"b{stride}", 2, (3, 3), stride=stride, groups=2)
        assert folded(net.output(y), objective="macs").count() == {"conv": left}


def test_what_is_dear_in_pairs_may_be_cheap_as_a_whole() -> None:
    """Wide in between: neither pair composes alone."""
    net = Net()
    y = net.conv(net.input(2, 4, 7, 8), "expand", 48, (1, 1))
    y = net.conv(y, "deep", 48, groups=48)
    found = folded(net.output(net.conv(y, "project", 4, (1, 1))))
    assert found.count() == {"conv": 1}
    assert found.error() < EXACT


def test_a_dear_composition_is_free_in_a_sum() -> None:
    net = Net()
    x = net.input(2, 6, 7, 8)
    pooled = net.avg_pool(net.pad(net.conv(x, "point", 6, (1, 1), bias=False), 1), "pool")
    found = folded(net.output(net.sum(net.conv(x, "square", 6, padding=1), pooled)))
    assert found.count() == {"conv": 1}
    assert found.stored() == ["square.bias", "square.weight"]
    assert found.error() < EXACT


@d.quick
@given(st.data())
def test_sums_in_a_row_of_operators(data: st.DataObject) -> None:
    """A sum of maps of one value is one of them, whatever its branches are, and a bias of theirs passes on."""
    net = Net(data.draw(st.integers(0, 99)))
    x = net.input(2, 4, 9, 10)
    branches = [
        x,
        net.conv(net.conv(x, "up", 2, (1, 1), bias=data.draw(st.booleans())), "down", 4, (1, 1)),
        net.conv(x, "deep", 4, padding=1, groups=4),
        net.avg_pool(x, "pool", padding=1),
        net.batch_norm(x, "bn"),
    ]
    chosen = data.draw(st.lists(st.sampled_from(branches), min_size=2, max_size=4, unique=True))
    y = net.sum(*chosen, weights=[data.draw(st.sampled_from([1, -2])) for _ in chosen])
    found = operators(net.output(net.conv(y, "last", data.draw(st.integers(1, 6)), stride=2)))
    assert found.error() < EXACT
    if len({x, branches[4]} & set(chosen)) < len(chosen):
        assert found.count() == {"conv": 1}
