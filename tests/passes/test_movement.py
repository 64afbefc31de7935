"""Scales and shifts pass whatever moves, averages, adds or concatenates, in both directions, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repc.ir.operator import Operator
from repc.ops import (
    AdaptiveAvgPool,
    Attention,
    AvgPool,
    Concat,
    Divide,
    Expand,
    Function,
    MatMul,
    Multiply,
    Pad,
    Permute,
    Reduce,
    Reshape,
    Roll,
    Slice,
    Softmax,
    Take,
    Upsample,
)
from tests.passes import draw as d
from tests.passes.build import EXACT, Net, folded

POOL = AvgPool((2, 2), (2, 2), ((0, 0), (0, 0)))
CHANNELS = (  # what passes a map along axis 1 of (2, 6, 4, 8), and the axis behind it
    (Permute((0, 2, 1, 3)), 2),
    (Reshape((2, 6, 32)), 1),
    (Reshape((2, 1, 6, 4, 8)), 2),
    (Slice(1, 1, 4), 1),
    (Slice(3, 1, 7, 2), 1),
    (Take(2, (3, 0)), 1),
    (Roll((1, -2), (2, 3)), 1),
    (Expand((3, 2, 6, 4, 8)), 2),
    (POOL, 1),
    (AvgPool((3, 3), (1, 1), ((1, 1), (1, 1)), False, False), 1),
    (AdaptiveAvgPool((1, 1)), 1),
    (AdaptiveAvgPool((3, 5)), 1),
    (Upsample((Fraction(2), Fraction(3))), 1),
    (Upsample((Fraction(2), Fraction(2)), "linear"), 1),
    (Reduce("mean", (2, 3), False), 1),
    (Reduce("mean", (0,), False), 0),
    (Reduce("sum", (3,), True), 1),
    (Pad(((0, 0), (0, 0), (1, 2), (0, 1)), "reflect"), 1),
)


@pytest.mark.parametrize(("op", "axis"), CHANNELS, ids=str)
def test_back_through_what_moves(op: Operator, axis: int) -> None:
    net = Net()
    y = net.node(op, "move", x=net.conv(net.input(2, 4, 4, 8), "conv", 6, (1, 1)))
    found = folded(net.output(net.affine(y, "affine", axis)))
    assert found.count() == {"conv": 1, op.name: 1}
    assert found.error() < EXACT


@pytest.mark.parametrize(("op", "axis"), CHANNELS, ids=str)
def test_forward_through_what_moves(op: Operator, axis: int) -> None:
    net = Net()
    y = net.node(op, "move", x=net.affine(net.relu(net.input(2, 6, 4, 8)), "affine"))
    rank = net.graph[y].type.rank
    last = [a for a in range(rank) if a != axis] + [axis]
    found = folded(net.output(net.linear(net.node(Permute(tuple(last)), x=y), "fc", 5)))
    assert "affine" not in found.count()
    assert found.error() < EXACT


# ---------------------------------------------------------------- products


def scores(net: Net, *, b: int = 2) -> int:
    """q kᵀ of two linear layers, one head."""
    x = net.input(b, 5, 6)
    q, k = net.linear(x, "q", 4), net.linear(x, "k", 4, bias=False)
    return net.node(MatMul(), "scores", a=q, b=net.node(Permute((0, 2, 1)), x=k))


def scaled_scores(net: Net) -> int:
    return net.node(Multiply(), "scale", a=scores(net), b=net.param("scale"))


def gated(net: Net) -> int:
    x = net.input(2, 4, 5, 6)
    gate = net.node(Function("sigmoid"), x=net.conv(x, "gate", 4))
    y = net.node(Multiply(), "mul", a=gate, b=net.conv(x, "conv", 4))
    return net.affine(y, "affine", shift=False)


def divided(net: Net) -> int:
    x = net.input(2, 4, 5, 6)
    y = net.node(Divide(), "div", a=net.conv(x, "conv", 4, (1, 1)), b=net.node(Function("exp"), x=x))
    return net.affine(y, "affine", shift=False)


def attended(net: Net) -> int:
    x = net.input(2, 5, 6)
    parts = {name: net.linear(x, name, 4) for name in "qkv"}
    return net.affine(net.node(Attention(Fraction(1, 2)), "attention", **parts), "affine", 2)


def weighted(net: Net) -> int:
    x = net.input(2, 5, 6)
    weights = net.node(Softmax(2), x=net.linear(x, "w", 5))
    y = net.node(MatMul(), "mix", a=weights, b=net.linear(x, "v", 4))
    return net.affine(y, "affine", 2, shift=False)


@pytest.mark.parametrize("make", [scaled_scores, gated, divided, attended, weighted])
def test_one_factor_takes_a_scale(make: Callable[[Net], int]) -> None:
    net = Net()
    found = folded(net.output(make(net)))
    assert not found.count().keys() & {"affine"}
    assert found.rules() == ["F1"]
    assert found.error() < EXACT


def shifted_product(net: Net) -> int:
    return net.affine(scores(net), "affine", 2)


def broadcast_gate(net: Net) -> int:
    x = net.input(2, 4, 5, 6)
    gate = net.conv(net.node(AdaptiveAvgPool((1, 1)), x=net.relu(x)), "gate", 4, (1, 1))
    return net.affine(net.node(Multiply(), "mul", a=gate, b=net.relu(x)), "affine", 3, shift=False)


def scaled_rows(net: Net) -> int:
    x = net.input(2, 5, 6)
    parts = {name: net.linear(x, name, 4) for name in "qkv"}
    return net.affine(net.node(Attention(Fraction(1, 2)), "attention", **parts), "affine", 1)


def divisor(net: Net) -> int:
    x = net.input(2, 4, 5, 6)
    return net.affine(net.node(Divide(), "div", a=net.relu(x), b=net.conv(x, "conv", 4, (1, 1))), "affine", shift=False)


def squared(net: Net) -> int:
    y = net.conv(net.input(2, 4, 5, 6), "conv", 4)
    return net.affine(net.node(Multiply(), "mul", a=y, b=y), "affine", shift=False)


@pytest.mark.parametrize("make", [shifted_product, broadcast_gate, scaled_rows, divisor, squared])
def test_what_no_factor_takes(make: Callable[[Net], int]) -> None:
    net = Net()
    found = folded(net.output(make(net)))
    assert found.count()["affine"] == 1
    assert found.trace.refusals[-1].path == "affine"
    assert found.error() == 0


# ---------------------------------------------------------------- in any order

MOVES = (
    "permute",
    "split",
    "join",
    "slice",
    "concat",
    "pool",
    "sum",
)


def moved(data: st.DataObject, net: Net, x: int) -> int:
    """A random movement of x, whatever its shape is."""
    draw: Callable[[Any], Any] = data.draw
    shape = net.graph[x].type.shape
    sizes = [size for size in shape if isinstance(size, int)]
    axis = draw(st.integers(0, len(shape) - 1))
    match draw(st.sampled_from(MOVES)):
        case "permute":
            return net.node(Permute(tuple(draw(st.permutations(range(len(shape)))))), x=x)
        case "split" if sizes[axis] % 2 == 0:
            return net.reshape(x, *sizes[:axis], 2, sizes[axis] // 2, *sizes[axis + 1 :])
        case "join" if axis + 1 < len(shape):
            return net.reshape(x, *sizes[:axis], sizes[axis] * sizes[axis + 1], *sizes[axis + 2 :])
        case "slice" if sizes[axis] > 2:
            return net.node(Slice(axis, 1, sizes[axis]), x=x)
        case "concat":
            other = net.conv(net.graph.inputs["x"], "beside", 4, (1,))
            return net.node(Concat(axis), **{"0": x, "1": net.reshape(other, *shape)}) if shape == (2, 4, 6) else x
        case "sum" if shape == (2, 4, 6):
            return net.sum(x, net.conv(net.graph.inputs["x"], "added", 4, (3,), padding=1), weights=[-2, 3])
        case _:
            return x


@d.quick
@given(st.data())
def test_back_through_anything(data: st.DataObject) -> None:
    """Folded or not, the values stay."""
    net = Net()
    y = net.conv(net.input(2, 3, 6), "conv", 4, (1,))
    for _ in range(data.draw(st.integers(1, 3))):
        y = moved(data, net, y)
    axis = data.draw(st.integers(0, net.graph[y].type.rank - 1))
    assert folded(net.output(net.affine(y, "affine", axis))).error() < EXACT


@d.quick
@given(st.data())
def test_forward_through_anything(data: st.DataObject) -> None:
    net = Net()
    y = net.affine(net.relu(net.input(2, 3, 6)), "affine", data.draw(st.integers(0, 2)))
    for _ in range(data.draw(st.integers(1, 3))):
        y = moved(data, net, y)
    readers = [net.linear(y, f"fc{i}", 3) for i in range(data.draw(st.integers(1, 2)))]
    assert folded(net.output(*readers)).error() < EXACT
