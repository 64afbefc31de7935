"""F10: a stream that only centred values are written to needs no means."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from repc.ir.dims import symbol
from repc.ir.node import NodeId
from repc.ir.target import Override
from repc.ops import Concat, LayerNorm, Permute, RMSNorm, Slice
from tests.passes.build import EPS, EXACT, Net, folded

B = symbol("b")


def norm(net: Net, x: NodeId, path: str, *, bias: bool = True) -> NodeId:
    weights = {name: net.param(f"{path}.{name}", 6) for name in ("weight", "bias") if bias or name == "weight"}
    return net.node(LayerNorm(1, EPS), path, x=x, **weights)


def mlp(net: Net, x: NodeId, path: str) -> NodeId:
    return net.linear(net.relu(net.linear(norm(net, x, f"{path}.norm"), f"{path}.fc1", 9)), f"{path}.fc2", 6)


def transformer(net: Net) -> NodeId:
    """Patches from a convolution, a class token, positions, two blocks, a norm and a head."""
    y = net.conv(net.input(B, 3, 4, 6), "patches", 6, (2, 2), stride=2, bias=False)
    y = net.node(Permute((0, 2, 1)), x=net.reshape(y, B, 6, 6))
    y = net.sum(y, net.param("positions", 6, 6), path="embed")
    y = net.sum(y, mlp(net, y, "0"), path="add0")
    y = net.sum(y, mlp(net, y, "1"), path="add1")
    return net.linear(net.node(Slice(1, 0, 1), x=norm(net, y, "last")), "head", 5)


def test_a_transformer_has_rms_norms() -> None:
    net = Net()
    net.output(transformer(net))
    found = folded(net, objective="macs")
    assert found.count()["rms_norm"] == 3
    assert "layer_norm" not in found.count()
    assert found.rules().count("F10") == 1
    assert found.error({"b": 2}) < EXACT
    assert folded(net).count()["layer_norm"] == 3


def test_a_norm_of_its_own_target() -> None:
    net = Net()
    found = folded(net.output(transformer(net)), overrides=(Override("**", "macs"), Override("last", "default")))
    assert found.count()["layer_norm"] == 3


def head_without_norm(net: Net) -> tuple[NodeId, ...]:
    y = net.linear(net.input(4, 3), "a", 6)
    return net.linear(norm(net, y, "norm"), "b", 5), net.linear(net.relu(y), "c", 5)


def uncentred_writer(net: Net) -> tuple[NodeId, ...]:
    y = net.sum(net.linear(net.input(4, 3), "a", 6), net.relu(net.input(4, 6, name="z")))
    return (net.linear(norm(net, y, "norm"), "b", 5),)


def stream_is_output(net: Net) -> tuple[NodeId, ...]:
    y = net.linear(net.input(4, 3), "a", 6)
    return net.linear(norm(net, y, "norm"), "b", 5), y


def norm_with_bias(net: Net) -> tuple[NodeId, ...]:
    return (net.relu(norm(net, net.linear(net.input(4, 3), "a", 6), "norm")),)


def rms_norm_beside(net: Net) -> tuple[NodeId, ...]:
    y = net.linear(net.input(4, 3), "a", 6)
    return net.linear(norm(net, y, "norm"), "b", 5), net.node(RMSNorm(1, EPS), x=y)


def shared_writer(net: Net) -> tuple[NodeId, ...]:
    x = net.input(4, 3)
    y = net.linear(x, "a", 6, bias=False)
    other = net.node(net.graph[y].op, "tied", x=net.relu(x), weight=net.graph[y].weights["weight"])
    return net.linear(norm(net, y, "norm"), "b", 5), other


def spread_positions(net: Net) -> tuple[NodeId, ...]:
    y = net.sum(net.linear(net.input(4, 3), "a", 6), net.param("rows", 4, 1))
    return (net.linear(norm(net, y, "norm"), "b", 5),)


def joined_channels(net: Net) -> tuple[NodeId, ...]:
    x = net.input(4, 3)
    parts = {"0": net.linear(x, "a", 3), "1": net.linear(net.relu(x), "c", 3)}
    return (net.linear(norm(net, net.node(Concat(1), **parts), "norm"), "b", 5),)


@pytest.mark.parametrize(
    "make",
    [
        head_without_norm,
        uncentred_writer,
        stream_is_output,
        norm_with_bias,
        rms_norm_beside,
        shared_writer,
        spread_positions,
        joined_channels,
    ],
)
def test_where_the_mean_is_needed(make: Callable[[Net], tuple[NodeId, ...]]) -> None:
    net = Net()
    found = folded(net.output(*make(net)), objective="macs")
    assert found.count()["layer_norm"] == 1
    assert "F10" not in found.rules()
    assert found.error() < EXACT
