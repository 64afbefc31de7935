"""The micro-graphs: small networks, what a complete algebra leaves of them, and those where it must refuse."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TypeAlias

from repc.ir.dims import symbol
from repc.ops import AvgPool, LayerNorm, Pad, build
from tests.passes.build import EPS, Net

Make: TypeAlias = Callable[[Net], "int | tuple[int, ...]"]

# What is left, in the operators of ONNX.
CONV, GEMM = {"Conv": 1}, {"Gemm": 1}


def image(net: Net) -> int:
    return net.input(2, 6, 13, 18)


def m01(net: Net) -> int:
    """Conv 3×3 6→8 p1 no bias, BN."""
    return net.batch_norm(net.conv(image(net), "conv", 8, padding=1, bias=False), "bn")


def m02(net: Net) -> int:
    """Depthwise 3×3 p1, BN."""
    return net.batch_norm(net.conv(image(net), "conv", 6, padding=1, groups=6), "bn")


def m03(net: Net) -> int:
    """Transposed conv 6→6 k3 s2 groups 2, BN."""
    return net.batch_norm(net.conv_transpose(image(net), "conv", 6, stride=2, groups=2), "bn")


def m04(net: Net) -> int:
    """BN, conv 3×3 6→8 without padding."""
    return net.conv(net.batch_norm(image(net), "bn"), "conv", 8)


def m05(net: Net) -> int:
    """Conv 3×3, per-channel scale and shift."""
    return net.affine(net.conv(image(net), "conv", 8), "affine")


def m06(net: Net) -> int:
    """Per-channel scale and shift, conv 1×1."""
    return net.conv(net.affine(image(net), "affine"), "conv", 8, (1, 1))


def m07(net: Net) -> int:
    """Conv 3×3 p1 + conv 1×1."""
    x = image(net)
    return net.sum(net.conv(x, "a", 8, padding=1), net.conv(x, "b", 8, (1, 1)))


def m08(net: Net) -> int:
    """Conv 3×3 p1 + conv 3×3 p1."""
    x = image(net)
    return net.sum(net.conv(x, "a", 8, padding=1), net.conv(x, "b", 8, padding=1))


def m09(net: Net) -> int:
    """Depthwise 5×5 p2 + depthwise 3×3 dilation 2 p2."""
    x = image(net)
    wide = net.conv(x, "a", 6, (5, 5), padding=2, groups=6)
    return net.sum(wide, net.conv(x, "b", 6, padding=2, dilation=2, groups=6))


def m10(net: Net) -> int:
    """BN(conv 3×3 p1) + BN(conv 1×3 p(0,1)) + BN(conv 3×1 p(1,0))."""
    x = image(net)
    square = net.batch_norm(net.conv(x, "a", 8, padding=1), "a.bn")
    row = net.batch_norm(net.conv(x, "b", 8, (1, 3), padding=[(0, 0), (1, 1)]), "b.bn")
    column = net.batch_norm(net.conv(x, "c", 8, (3, 1), padding=[(1, 1), (0, 0)]), "c.bn")
    return net.sum(square, row, column)


def m11(net: Net) -> int:
    """Conv 3×3 6→6 p1 + BN(x)."""
    x = image(net)
    return net.sum(net.conv(x, "conv", 6, padding=1), net.batch_norm(x, "bn"))


def m12(net: Net) -> int:
    """BN(conv 3×3) + BN(conv 1×1) + BN(x)."""
    x = image(net)
    dense = net.batch_norm(net.conv(x, "a", 6, padding=1), "a.bn")
    return net.sum(dense, net.batch_norm(net.conv(x, "b", 6, (1, 1)), "b.bn"), net.batch_norm(x, "bn"))


def m13(net: Net) -> int:
    """BN(conv 3×3 p1 + conv 3×3 p1)."""
    return net.batch_norm(m08(net), "bn")


def pool(net: Net, x: int, padding: int = 0) -> int:
    return net.node(AvgPool((3, 3), (1, 1), ((padding, padding),) * 2, False, True), "pool", x=x)


def m14(net: Net) -> int:
    """Conv 1×1 6→12 no bias, conv 3×3 12→8 p1."""
    return net.conv(net.conv(image(net), "a", 12, (1, 1), bias=False), "b", 8, padding=1)


def m15(net: Net) -> int:
    """Conv 1×1 6→16, conv 1×1 16→8."""
    return net.conv(net.conv(image(net), "a", 16, (1, 1)), "b", 8, (1, 1))


def m16(net: Net) -> int:
    """Conv 1×1 6→8, average pool 3×3 stride 1 without padding."""
    return pool(net, net.conv(image(net), "a", 8, (1, 1)))


def m18(net: Net) -> int:
    """Linear 24→64, linear 64→16."""
    return net.linear(net.linear(net.input(5, 24), "a", 64), "b", 16)


def low_rank(net: Net, x: int, out: int) -> int:
    return net.linear(net.linear(x, "a", 4, bias=False), "b", out, bias=False)


def m19(net: Net) -> int:
    """Linear 24→16 + linear 4→16(linear 24→4), both low-rank layers no bias."""
    x = net.input(5, 24)
    return net.sum(net.linear(x, "w", 16), low_rank(net, x, 16))


def m21(net: Net) -> int:
    """Linear 24→16 of (x + B·A·x), rank 4."""
    x = net.input(5, 24)
    return net.linear(net.sum(x, low_rank(net, x, 24)), "w", 16)


def m24(net: Net) -> int:
    """Layer norm with γ, β, then linear 24→16."""
    weights = {name: net.param(f"norm.{name}", 24) for name in ("weight", "bias")}
    return net.linear(net.node(LayerNorm(1, EPS), "norm", x=net.input(5, 24), **weights), "fc", 16)


def m25(net: Net) -> int:
    """x + average pool 3×3 p1 stride 1, zeros counted."""
    x = image(net)
    return net.sum(x, pool(net, x, 1))


def m26(net: Net) -> int:
    """DBB of six branches, each with BN; intermediates padded with their bias."""
    x = image(net)

    def padded(path: str) -> int:
        y = net.batch_norm(net.conv(x, path, 6, (1, 1), bias=False), f"{path}.bn")
        norm = net.graph[y].weights
        inverse = build.rsqrt(build.add(norm["running_var"], build.fill((), EPS)))
        zero = build.sub(norm["bias"], build.mul(build.mul(norm["running_mean"], norm["weight"]), inverse))
        return net.node(Pad(((0, 0), (0, 0), (1, 1), (1, 1))), f"{path}.pad", x=y, value=zero)

    branches = [
        net.conv(x, "dense", 6, padding=1, bias=False),
        net.conv(x, "point", 6, (1, 1), bias=False),
        net.conv(padded("first"), "second", 6, bias=False),
        pool(net, padded("before")),
        net.conv(x, "again", 6, padding=1, bias=False),
        x,
    ]
    return net.sum(*(net.batch_norm(y, f"{i}.bn") for i, y in enumerate(branches)))


def m27(net: Net) -> int:
    """x + γ·(average pool 3×3 p1 zeros counted − x)."""
    x = image(net)
    mixed = net.sum(pool(net, x, 1), x, weights=[Fraction(1), Fraction(-1)])
    return net.sum(x, net.affine(mixed, "gamma", shift=False))


def m28(net: Net) -> int:
    """Conv 3×3 6→8 p1 no bias (frozen), conv 1×1 8→8."""
    return net.conv(net.conv(image(net), "a", 8, padding=1, bias=False), "b", 8, (1, 1))


def m17(net: Net) -> int:
    """Linear 24→16, BN."""
    return net.batch_norm(net.linear(net.input(5, 24), "fc", 16), "bn")


def m20(net: Net) -> int:
    """Linear with weight W + 2·B·A, rank 4."""
    a, b = net.param("A", 4, 24), net.param("B", 16, 4)
    layer = net.linear(net.input(5, 24), "fc", 16)
    node = net.graph[layer]
    weight = build.add(node.weights["weight"], build.scale(build.matmul(b, a), Fraction(2)))
    return net.node(node.op, "lora", x=node.inputs[0], weight=weight, bias=node.weights["bias"])


def m22(net: Net) -> int:
    """x + γ·(depthwise 3×3 p1), γ per channel."""
    x = image(net)
    return net.sum(x, net.affine(net.conv(x, "conv", 6, padding=1, groups=6), "gamma", shift=False))


def m23(net: Net) -> int:
    """Mean of two linear heads 24→10."""
    x = net.input(5, 24)
    half = Fraction(1, 2)
    return net.sum(net.linear(x, "a", 10), net.linear(x, "b", 10), weights=[half, half])


IDEAL: dict[Make, dict[str, int]] = {
    m01: CONV,
    m02: CONV,
    m03: {"ConvTranspose": 1},
    m04: CONV,
    m05: CONV,
    m06: CONV,
    m07: CONV,
    m08: CONV,
    m09: CONV,
    m10: CONV,
    m11: CONV,
    m12: CONV,
    m13: CONV,
    m14: CONV,
    m15: CONV,
    m16: CONV,
    m17: GEMM,
    m18: GEMM,
    m19: GEMM,
    m20: GEMM,
    m21: GEMM,
    m22: CONV,
    m23: GEMM,
    m24: {"LayerNormalization": 1, **GEMM},
    m25: CONV,
    m26: CONV,
    m27: CONV,
    m28: CONV,
}
OBJECTIVE: dict[Make, str] = {m16: "operators"}


# ---------------------------------------------------------------- must refuse


def r01(net: Net) -> int:
    """Conv 1×1 with a bias, zero-padded conv 3×3, sizes free."""
    x = net.input(2, 6, symbol("h"), symbol("w"))
    return net.conv(net.conv(x, "point", 8, (1, 1)), "conv", 8, padding=1)


def r02(net: Net) -> int:
    """BN, zero-padded conv 3×3."""
    return net.conv(net.batch_norm(image(net), "bn"), "conv", 8, padding=1)


def r03(net: Net) -> int:
    """x + average pool 3×3 p1, padding not counted."""
    x = image(net)
    uncounted = AvgPool((3, 3), (1, 1), ((1, 1), (1, 1)), False, False)
    return net.sum(x, net.node(uncounted, "pool", x=x))


def r04(net: Net) -> int:
    """Conv, relu, BN."""
    return net.batch_norm(net.relu(net.conv(image(net), "conv", 8), "act"), "bn")


def r05(net: Net) -> tuple[int, int]:
    """Conv whose value is also an output, BN."""
    y = net.conv(image(net), "conv", 8)
    return net.batch_norm(y, "bn"), y


def r06(net: Net) -> int:
    """Reflect-padded conv + zero-padded conv."""
    x = image(net)
    return net.sum(net.conv(x, "a", 8, padding=1, mode="reflect"), net.conv(x, "b", 8, padding=1))


def r07(net: Net) -> int:
    """Conv, BN without running statistics."""
    return net.batch_norm(net.conv(image(net), "conv", 8), "bn", tracked=False)


def r08(net: Net) -> tuple[int, int]:
    """A tied weight with BN on one of its uses."""
    x = image(net)
    y = net.conv(x, "a", 6, padding=1)
    return net.batch_norm(y, "bn"), net.conv(net.relu(x), "b", 6, padding=1, weight=net.graph[y].weights["weight"])


REFUSED: dict[Make, tuple[str, str]] = {
    r01: ("point -> conv", "conv reads zeros beyond the border, where point would have put its bias"),
    r02: ("bn -> conv", "conv reads zeros beyond the border, where bn would have put its shift"),
    r03: ("x -> pool/avg_pool -> sum", "pool/avg_pool averages fewer values at the border, which no convolution does"),
    r04: ("conv -> act/relu -> bn", "act/relu is not linear"),
    r05: ("conv -> bn", "conv is read by bn and by output y1"),
    r06: ("x -> b -> sum", "a and b pad differently, reflect and constant"),
    r07: ("conv -> bn", "bn has no running statistics, so that its scale depends on the batch"),
    r08: ("a -> bn", "a.weight is shared by a and b, and folding would untie it"),
}
"""The edge that is in the way, and what is said of it."""


def network(make: Make) -> Net:
    """A micro-graph with random parameters."""
    net = Net()
    made = make(net)
    return net.output(*(made if isinstance(made, tuple) else (made,)))
