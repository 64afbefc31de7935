"""F5 and F6: linear operators in a row are one, where the border allows it."""

from __future__ import annotations

from math import gcd
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

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
