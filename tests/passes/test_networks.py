"""The places where published networks put a norm that their own conversions leave, each as small as it can be."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest

from repc.ir.dims import symbol
from repc.ir.node import NodeId
from repc.ops import (
    AdaptiveAvgPool,
    AvgPool,
    Concat,
    Function,
    GroupNorm,
    LayerNorm,
    MatMul,
    Multiply,
    Permute,
    Reduce,
    Slice,
    Softmax,
    Upsample,
)
from tests.passes.build import EPS, EXACT, Net, folded

B, N, H, W = (symbol(name) for name in "bnhw")
SIZES = {"b": 2, "n": 6, "h": 8, "w": 10}


def permute(net: Net, x: NodeId, *axes: int) -> NodeId:
    return net.node(Permute(axes), x=x)


def concat(net: Net, *parts: NodeId, axis: int = 1) -> NodeId:
    return net.node(Concat(axis), **{str(i): part for i, part in enumerate(parts)})


def part(net: Net, x: NodeId, axis: int, start: int, stop: int) -> NodeId:
    return net.node(Slice(axis, start, stop), x=x)


def layer_norm(net: Net, x: NodeId, path: str) -> NodeId:
    c = net.channels(x, -1)
    return net.node(
        LayerNorm(1, EPS), path, x=x, weight=net.param(f"{path}.weight", c), bias=net.param(f"{path}.bias", c)
    )


def attend(net: Net, q: NodeId, k: NodeId, v: NodeId) -> NodeId:
    """softmax(q kᵀ) v over the last two axes."""
    scores = net.node(MatMul(), a=q, b=permute(net, k, 0, 2, 1))
    return net.node(MatMul(), a=net.node(Softmax(2), x=scores), b=v)


def conv_norm(net: Net, x: NodeId, path: str, out: int, kernel: tuple[int, int] = (1, 1), groups: int = 1) -> NodeId:
    pad = [(k // 2, k // 2) for k in kernel]
    return net.batch_norm(net.conv(x, path, out, kernel, padding=pad, groups=groups, bias=False), f"{path}.bn")


def token_norm(net: Net, x: NodeId, path: str, out: int) -> NodeId:
    """LeViT: a linear layer, and a norm that sees the tokens as a batch."""
    y = net.linear(x, path, out, bias=False)
    shape = net.graph[y].type.shape
    flat = net.batch_norm(net.reshape(y, shape[0] * shape[1], out), f"{path}.bn")
    return net.reshape(flat, *shape)


# ---------------------------------------------------------------- the places


def levit(net: Net) -> NodeId:
    x = net.input(B, N, 6)
    y = token_norm(net, x, "qkv", 12)
    q, k, v = (part(net, y, 2, 4 * i, 4 * i + 4) for i in range(3))
    y = net.node(Function("hardswish"), x=attend(net, q, k, v))
    return net.sum(x, token_norm(net, y, "proj", 6))


def levit_head(net: Net) -> NodeId:
    x = net.node(Reduce("mean", (1,), False), x=net.relu(net.input(B, N, 6)))
    heads = [net.linear(net.batch_norm(x, f"{name}.bn"), name, 5) for name in ("head", "dist")]
    return net.affine(net.sum(*heads, weights=[Fraction(1, 2)] * 2), "scale", shift=False)


def nextvit(net: Net) -> NodeId:
    """A norm that queries read, and behind a pool another norm, of keys and values."""
    x = net.relu(net.input(B, 6, 4, 4))
    y = permute(net, net.reshape(net.batch_norm(x, "norm1"), B, 6, 16), 0, 2, 1)
    pooled = net.node(AvgPool((4,), (4,), ((0, 0),)), x=permute(net, y, 0, 2, 1))
    few = permute(net, net.batch_norm(pooled, "norm"), 0, 2, 1)
    out = attend(net, net.linear(y, "q", 6), net.linear(few, "k", 6), net.linear(few, "v", 6))
    out = net.reshape(permute(net, net.linear(out, "proj", 6), 0, 2, 1), B, 6, 4, 4)
    both = concat(net, x, net.sum(x, out))
    y = net.relu(net.conv(net.batch_norm(both, "norm2"), "fc1", 8, (1, 1)))
    y = net.sum(both, net.conv(y, "fc2", 12, (1, 1)))
    y = net.node(AdaptiveAvgPool((1, 1)), x=net.batch_norm(y, "last"))
    return net.linear(net.reshape(y, B, 12), "head", 5)


def fastvit(net: Net) -> NodeId:
    x = net.relu(net.input(B, 6, H, W))
    dense = net.sum(conv_norm(net, x, "a", 6, (3, 3), 6), conv_norm(net, x, "b", 6, (1, 1), 6), net.batch_norm(x, "c"))
    mixed = net.affine(net.sum(dense, net.batch_norm(x, "norm"), weights=[1, -1]), "gamma", shift=False)
    x = net.relu(net.sum(x, mixed))
    tokens = permute(net, net.reshape(net.batch_norm(x, "attn.norm"), B, 6, H * W), 0, 2, 1)
    qkv = net.linear(tokens, "qkv", 18, bias=False)
    q, k, v = (part(net, qkv, 2, 6 * i, 6 * i + 6) for i in range(3))
    out = attend(net, net.affine(q, "scale", 2, shift=False), k, v)
    out = net.reshape(permute(net, net.linear(out, "proj", 6), 0, 2, 1), B, 6, H, W)
    return net.sum(x, net.affine(out, "layer_scale", shift=False))


def repvit(net: Net) -> NodeId:
    x = net.relu(net.input(B, 6, H, W))
    inner = net.sum(conv_norm(net, x, "a", 6, (3, 3), 6), net.conv(x, "b", 6, (1, 1), groups=6), x)
    x = net.node(AdaptiveAvgPool((1, 1)), x=net.relu(net.batch_norm(inner, "bn")))
    x = net.reshape(x, B, 6)
    heads = [net.linear(net.batch_norm(x, f"{name}.bn"), name, 5) for name in ("head", "dist")]
    return net.sum(*heads, weights=[Fraction(1, 2)] * 2)


def ghostnet(net: Net) -> NodeId:
    x = net.input(B, 6, 8, 8)
    first = net.relu(net.sum(conv_norm(net, x, "a", 4), net.batch_norm(net.conv(x, "b", 4, (1, 1)), "b.bn")))
    cheap = net.relu(net.sum(conv_norm(net, first, "c", 4, (3, 3), 4), net.batch_norm(first, "c.skip")))
    both = part(net, concat(net, first, cheap), 1, 0, 7)
    gate = conv_norm(net, net.node(AvgPool((2, 2), (2, 2), ((0, 0), (0, 0))), x=x), "g", 7)
    gate = conv_norm(net, conv_norm(net, gate, "h", 7, (1, 5), 7), "v", 7, (5, 1), 7)
    gate = net.node(Upsample((Fraction(2), Fraction(2))), x=net.node(Function("sigmoid"), x=gate))
    return net.node(Multiply(), a=both, b=gate)


def shvit(net: Net) -> NodeId:
    x = net.relu(net.input(B, 6, H, W))
    left, rest = part(net, x, 1, 0, 4), part(net, x, 1, 4, 6)
    weights = {name: net.param(f"norm.{name}", 4) for name in ("weight", "bias")}
    qkv = conv_norm(net, net.node(GroupNorm(1, EPS), "norm", x=left, **weights), "qkv", 12)
    q, k, v = (permute(net, net.reshape(part(net, qkv, 1, 4 * i, 4 * i + 4), B, 4, H * W), 0, 2, 1) for i in range(3))
    out = net.reshape(permute(net, attend(net, q, k, v), 0, 2, 1), B, 4, H, W)
    return net.sum(x, conv_norm(net, net.relu(concat(net, out, rest)), "proj", 6))


def efficientvit(net: Net) -> NodeId:
    """A cascade: each head adds the part of the one before."""
    x = net.sum(net.input(B, 6, H, W), conv_norm(net, net.graph.inputs["x"], "dw", 6, (3, 3), 6))
    one, two = part(net, x, 1, 0, 3), part(net, x, 1, 3, 6)
    first = conv_norm(net, one, "one", 3)
    second = conv_norm(net, net.sum(first, two), "two", 3)
    return net.sum(x, conv_norm(net, net.relu(concat(net, first, second)), "proj", 6))


def swiftformer(net: Net) -> NodeId:
    x = net.relu(net.input(B, 6, H, W))
    y = net.conv(net.batch_norm(net.conv(x, "dw", 6, padding=1, groups=6), "norm"), "fc1", 8, (1, 1))
    y = net.affine(net.conv(net.relu(y), "fc2", 6, (1, 1)), "scale", shift=False)
    y = net.batch_norm(net.sum(x, y), "last")
    y = net.node(Reduce("mean", (2,), False), x=net.reshape(y, B, 6, H * W))
    heads = [net.linear(y, name, 5) for name in ("head", "dist")]
    return net.sum(*heads, weights=[Fraction(1, 2)] * 2)


def tinyvit(net: Net) -> NodeId:
    """Windows of tokens: the norm acts before or behind their partition, and its weights pass."""
    x = net.relu(net.input(B, 4, 4, 6))
    y = net.reshape(layer_norm(net, x, "norm"), B, 2, 2, 2, 2, 6)
    y = net.reshape(permute(net, y, 0, 1, 3, 2, 4, 5), B * 4, 4, 6)
    q, k, v = (net.linear(y, name, 6, bias) for name, bias in (("q", True), ("k", False), ("v", True)))
    y = net.reshape(net.linear(attend(net, q, k, v), "proj", 6), B, 2, 2, 2, 2, 6)
    y = net.sum(x, net.reshape(permute(net, y, 0, 1, 3, 2, 4, 5), B, 4, 4, 6))
    y = permute(net, net.reshape(y, B, 16, 6), 0, 2, 1)
    y = conv_norm(net, net.reshape(y, B, 6, 4, 4), "local", 6, (3, 3), 6)
    y = permute(net, net.reshape(y, B, 6, 16), 0, 2, 1)
    return net.linear(layer_norm(net, y, "mlp.norm"), "fc1", 8)


def shuffled(net: Net) -> NodeId:
    """ShuffleNet: the channels of a norm behind a shuffle are those before it in another order."""
    x = net.conv(net.input(B, 6, H, W), "a", 6, (1, 1), groups=3)
    x = permute(net, net.reshape(x, B, 3, 2, H, W), 0, 2, 1, 3, 4)
    return net.batch_norm(net.reshape(x, B, 6, H, W), "bn")


def cross_stage(net: Net) -> NodeId:
    """A CSP bottleneck: one norm behind the concatenation of two convolutions."""
    x = net.input(B, 6, H, W)
    left = net.conv(net.relu(conv_norm(net, x, "a", 4, (3, 3))), "b", 4, (1, 1), bias=False)
    return net.relu(net.batch_norm(concat(net, left, net.conv(x, "c", 3, (1, 1), bias=False)), "bn"))


def added(net: Net) -> NodeId:
    """One norm behind the sum of two convolutions of different values."""
    x = net.input(B, 6, H, W)
    left = net.conv(net.relu(conv_norm(net, x, "a", 6, (3, 3))), "b", 4, (3, 3), padding=1)
    return net.batch_norm(net.sum(left, net.conv(x, "c", 4, (1, 1), bias=False), weights=[2, -1]), "bn")


LEFT: dict[Callable[[Net], NodeId], dict[str, int]] = {
    levit: {"linear": 2, "softmax": 1, "function": 1, "sum": 1, "permute": 1},
    levit_head: {"linear": 1, "function": 1, "reduce": 1},
    nextvit: {"linear": 5, "conv": 2, "softmax": 1, "sum": 2, "avg_pool": 1, "concat": 1},
    fastvit: {"conv": 1, "linear": 2, "softmax": 1, "sum": 1},
    repvit: {"conv": 1, "linear": 1, "function": 2, "adaptive_avg_pool": 1, "reshape": 1},
    ghostnet: {"conv": 5, "multiply": 1, "upsample": 1, "avg_pool": 1},
    shvit: {"conv": 2, "group_norm": 1, "softmax": 1, "sum": 1},
    efficientvit: {"conv": 4, "sum": 2, "concat": 1},
    swiftformer: {"conv": 3, "linear": 1, "reduce": 1, "sum": 1},
    tinyvit: {"linear": 5, "conv": 1, "layer_norm": 2, "softmax": 1, "sum": 1},
    shuffled: {"conv": 1, "reshape": 2, "permute": 1},
    cross_stage: {"conv": 3, "function": 2, "concat": 1},
    added: {"conv": 3, "function": 1, "sum": 1},
}


@pytest.mark.parametrize("make", LEFT, ids=lambda make: make.__name__)
def test_no_norm_is_left(make: Callable[[Net], NodeId]) -> None:
    net = Net()
    found = folded(net.output(make(net)))
    count = found.count()
    assert {name: count[name] for name in LEFT[make]} == LEFT[make]
    assert not count.keys() & {"batch_norm", "affine"}
    assert not any(name.rpartition(".")[0].endswith("norm") for name in found.stored())
    assert found.error(SIZES) < EXACT
