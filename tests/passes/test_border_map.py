"""F16: a constant map in the place of a border that is not exact, where sizes are pinned and the target allows it."""

from __future__ import annotations

import pytest

from repc.ir.dims import symbol
from tests.passes.build import EXACT, Net, folded


def zero_padded(net: Net, path: str, before: str) -> int:
    """What is shifted by a norm or has a bias, before a convolution that pads with zeros."""
    x = net.input(2, 4, 7, 9)
    y = net.conv(x, "point", 6, (1, 1), stride=2) if before == "conv" else net.batch_norm(x, "bn")
    return net.conv(y, path, 5, (3, 2), padding=[(1, 2), (0, 1)], stride=2)


@pytest.mark.parametrize("before", ["conv", "norm"])
def test_a_border_is_made_up_for_where_that_is_asked_for(before: str) -> None:
    net = Net()
    net.output(zero_padded(net, "conv", before))
    assert folded(net).count() in ({"conv": 2}, {"conv": 1, "batch_norm": 1})
    found = folded(net, border_maps=True)
    assert found.count() == {"conv": 1, "sum": 1}
    assert found.error() < EXACT
    (step,) = found.trace.steps
    assert (step.rule, step.exactness) == ("F16", "pinned")
    assert found.trace.refusals == []
    assert folded(net, border_maps=True, pin=False).trace.steps == []


def test_no_map_has_a_free_size() -> None:
    net = Net()
    y = net.conv(net.input(2, 4, symbol("h"), 9), "a", 6, (1, 1))
    found = folded(net.output(net.conv(y, "b", 4, padding=1)), border_maps=True)
    assert found.count() == {"conv": 2}


def test_no_map_makes_up_for_what_depends_on_the_input() -> None:
    net = Net()
    y = net.conv(net.input(2, 4, 7, 9), "a", 4, padding=1)
    found = folded(net.output(net.conv(y, "b", 4, padding=1)), border_maps=True, objective="operators")
    assert found.count() == {"conv": 2}


def test_a_map_stands_in_the_way_of_no_fold_behind_it_or_beside_it() -> None:
    net = Net()
    x = net.input(2, 4, 7, 9)
    inner = net.conv(net.batch_norm(x, "before"), "a", 4, padding=1, groups=4)
    y = net.sum(net.batch_norm(inner, "behind"), net.conv(x, "b", 4, (1, 1)), net.batch_norm(x, "beside"))
    found = folded(net.output(net.relu(net.batch_norm(y, "last"))), border_maps=True, objective="operators")
    assert found.count() == {"conv": 1, "sum": 1, "function": 1}
    assert found.error() < EXACT


@pytest.mark.parametrize("before", ["conv", "norm"])
def test_a_transposed_convolution_has_one_too(before: str) -> None:
    net = Net()
    x = net.input(2, 4, 5, 7)
    y = net.conv(x, "point", 12, (1, 1)) if before == "conv" else net.batch_norm(x, "bn")
    y = net.conv_transpose(y, "up", 6, (3, 4), padding=[(1, 0), (2, 1)], stride=2, dilation=(2, 1), groups=2, extra=1)
    net.output(y)
    assert folded(net).trace.refusals[0].remedy.endswith("or pin the sizes and set border_maps = true")
    found = folded(net, border_maps=True, objective="operators")
    assert found.count() == {"conv_transpose": 1, "sum": 1}
    assert found.error() < EXACT
