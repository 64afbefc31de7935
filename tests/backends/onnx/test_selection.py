"""Choices, attention, elements by position and resampling, in ONNX Runtime against their meaning in float64."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repc.ir.dims import Dim, symbol
from repc.ir.types import TensorType
from repc.ops import (
    AdaptiveMaxPool,
    Attention,
    Binary,
    Cast,
    CumSum,
    Gather,
    LogSoftmax,
    Not,
    Order,
    Reduce,
    Roll,
    Slice,
    Take,
    TakeAlong,
    Upsample,
    Where,
)
from repc.ops.binary import BINARY
from tests.backends.onnx.families import SPATIAL, Draw, Family, check, image, integers
from tests.backends.onnx.networks import Network

B, H, W = symbol("b"), symbol("h"), symbol("w")


def binary(net: Network, draw: Draw) -> int:
    name = draw(st.sampled_from(sorted(set(BINARY) - {"power"})))
    kind = "bool" if BINARY[name][0] == "bool" else draw(st.sampled_from(("f32", "i64")))
    a = net.input("x", "b", 3, "h", dtype=kind)
    return net.add(Binary(name), a, net.input("z", *draw(st.sampled_from([(), (3, 1), ("b", 1, "h")])), dtype=kind))


def power(net: Network, draw: Draw) -> int:
    return net.add(Binary("power"), net.input("x", "b", 3, "h"), net.input("z", 3, 1))


def negation(net: Network, draw: Draw) -> int:
    return net.add(Not(), net.input("x", "b", 3, dtype="bool"))


def where(net: Network, draw: Draw) -> int:
    condition = net.input("c", *draw(st.sampled_from([("b", 1, "h"), (3, 1), ()])), dtype="bool")
    return net.add(Where(), condition, net.input("x", "b", 3, "h"), net.input("z", 3, 1))


def cast(net: Network, draw: Draw) -> int:
    kinds = ("f32", "i64", "bool", "i32")
    given, wanted = draw(st.sampled_from(kinds)), draw(st.sampled_from(kinds))
    return net.add(Cast(wanted), net.input("x", "b", "h", dtype=given))


def log_softmax(net: Network, draw: Draw) -> int:
    return net.add(LogSoftmax(draw(st.integers(0, 2))), net.input("x", "b", 4, "h"))


def attention(net: Network, draw: Draw) -> int:
    rows, columns = draw(st.sampled_from((("h", "w"), (3, 5), ("h", "h"))))
    length, width = integers(draw, 1, 6, 2)
    heads = draw(st.sampled_from(((), (2,))))
    sizes = {"q": (rows, length), "k": (columns, length), "v": (columns, width)}
    given = [net.input(name, "b", *heads, *size) for name, size in sizes.items()]
    masked = draw(st.sampled_from(("none", "mask", "causal")))
    if masked == "mask":
        given.append(net.input("mask", *draw(st.sampled_from([(rows, columns), (1, columns)]))))
    return net.add(Attention(Fraction(draw(st.integers(1, 16)), 8), masked == "causal"), *given)


def gather(net: Network, draw: Draw) -> int:
    index = net.input("i", *draw(st.sampled_from([(), ("h",), ("b", 2)])), dtype=draw(st.sampled_from(("i64", "i32"))))
    if draw(st.booleans()):
        return net.add(Gather(0), index, x=(4, 3))
    return net.add(Gather(draw(st.integers(0, 2))), net.input("x", "b", 4, "w"), index)


def small_index(net: Network, draw: Draw) -> int:
    return net.add(Gather(1), net.input("x", "b", 4), net.input("i", 3, dtype=draw(st.sampled_from(("u8", "i16")))))


def take(net: Network, draw: Draw) -> int:
    return net.add(Take(1, integers(draw, 0, 4, draw(st.integers(1, 6)))), net.input("x", "b", 5, "h"))


def order(net: Network, draw: Draw) -> int:
    axis, x = draw(st.integers(0, 2)), net.input("x", "b", 5, "h")
    count = draw(st.integers(1, 5)) if axis == 1 else draw(st.sampled_from((1, net.graph[x].type.shape[axis])))
    return net.add(Order(axis, count, draw(st.booleans())), x)


def take_along(net: Network, draw: Draw) -> int:
    """At given positions, and at those of the largest elements."""
    x = net.input("x", "b", 5, "h")
    if draw(st.booleans()):
        return net.add(TakeAlong(1), x, net.add(Order(1, draw(st.integers(2, 5))), x))
    return net.add(TakeAlong(1), x, net.input("i", "b", 5, "h", dtype=draw(st.sampled_from(("i64", "i32", "u8")))))


def roll(net: Network, draw: Draw) -> int:
    axes = draw(st.sampled_from(((1,), (2,), (1, 2), (2, 0, 1))))
    return net.add(Roll(integers(draw, -12, 12, len(axes)), axes), net.input("x", "b", 5, "h"))


def cumsum(net: Network, draw: Draw) -> int:
    return net.add(CumSum(draw(st.integers(0, 2))), net.input("x", "b", 5, "h"))


def reduction(net: Network, draw: Draw) -> int:
    kind, axes = draw(st.sampled_from(("max", "min", "var"))), draw(st.sets(st.integers(0, 2), min_size=1))
    correction = draw(st.integers(0, 1)) if kind == "var" else 0
    return net.add(Reduce(kind, tuple(sorted(axes)), draw(st.booleans()), correction), net.input("x", "b", 3, "h"))


def to_factors(net: Network, draw: Draw) -> int:
    """Only linear and cubic interpolation take any factor."""
    rank = draw(st.integers(1, 3))
    mode = draw(st.sampled_from(("nearest", "linear", "cubic") if rank == 2 else ("nearest", "linear")))
    factors = [Fraction(1, 2), Fraction(2), Fraction(3)] + (
        [] if mode == "nearest" else [Fraction(7, 4), Fraction(2, 3)]
    )
    scale = tuple(draw(st.sampled_from(factors)) for _ in range(rank))
    align = mode != "nearest" and draw(st.booleans())
    return net.add(Upsample(scale, mode, align), image(net, draw, 2, rank))


def to_sizes(net: Network, draw: Draw) -> int:
    """To known sizes, to whole multiples, and to sizes of something else."""
    rank = draw(st.integers(1, 3))
    mode = draw(st.sampled_from(("nearest", "linear", "cubic") if rank == 2 else ("nearest", "linear")))
    align = mode != "nearest" and draw(st.booleans())
    wanted: list[Dim] = []
    for name in SPATIAL[:rank]:
        free = symbol(name)
        wanted.append(draw(st.sampled_from((5, 16, free * 2, free, (free + 1) // 2, symbol("b") * 3))))
    return net.add(Upsample((), mode, align, tuple(wanted)), net.input("x", "b", 2, *SPATIAL[:rank]))


def adaptive_max_pool(net: Network, draw: Draw) -> int:
    rank = draw(st.integers(1, 3))
    x = net.input("x", "b", 2, *integers(draw, 3, 8, rank))
    return net.add(AdaptiveMaxPool(integers(draw, 1, 4, rank)), x)


def free_slice(net: Network, draw: Draw) -> int:
    """Parts of an axis whose size is free."""
    stop = draw(st.sampled_from((H * 2, H * 2 - 1, 2)))
    op = Slice(1, draw(st.integers(0, 1)), stop, draw(st.integers(1, 3)))
    net.input("z", "h")
    x = net.input("x", "b", H * 2)
    assert net.graph[net.add(op, x)].type == TensorType((B, (stop - op.start + op.step - 1) // op.step))
    return net.add(op, x)


FAMILIES = (
    binary,
    negation,
    where,
    cast,
    log_softmax,
    attention,
    gather,
    small_index,
    take,
    order,
    take_along,
    roll,
    cumsum,
    reduction,
    to_factors,
    to_sizes,
    adaptive_max_pool,
    free_slice,
)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_onnx_runtime_agrees_with_the_meaning(family: Family, data: st.DataObject) -> None:
    check(family, data.draw)


@settings(max_examples=5, deadline=None)
@given(st.data())
def test_powers(data: st.DataObject) -> None:
    check(power, data.draw, positive=True)
