"""Segments, tiles and verdicts, on graphs that are folded by hand."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from repc.evaluate.degree import degree
from repc.evaluate.proof import SIGNED, Verdict, prove
from repc.evaluate.segments import segments, tile
from repc.ir.dims import evaluate
from repc.ir.expr import Expr, Param
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ir.operator import Operator
from repc.ir.trace import Fact
from repc.ir.types import TensorType
from repc.ops import (
    AdaptiveAvgPool,
    Affine,
    Binary,
    Concat,
    Conv,
    Divide,
    Function,
    Gather,
    Linear,
    MaxPool,
    Multiply,
    Reshape,
    Softmax,
    Sum,
    build,
)
from tests.backends.onnx.networks import Network

ONE = Fraction(1)


def conv(kernel: int, stride: int = 1, dilation: int = 1, groups: int = 1) -> Conv:
    pad = dilation * (kernel - 1) // 2
    return Conv((stride, stride), ((pad, pad), (pad, pad)), (dilation, dilation), groups)


def param(path: str, *shape: int) -> Param:
    return Param(path, TensorType(shape))


def pair() -> tuple[Network, Network]:
    """Two graphs whose first node is the input x."""
    nets = Network(), Network()
    for net in nets:
        net.input("x", "b", 4, "h", "w")
    return nets


def verdicts(train: Network, fused: Network, same: dict[NodeId, NodeId] | None = None, **more: object) -> list[Verdict]:
    (result,), (twin,) = train.graph.outputs.values(), fused.graph.outputs.values()
    return prove(train.graph, fused.graph, {**(same or {}), result: twin}, **more)  # type: ignore[arg-type]


def scaled_conv(scale: Expr, kernel: Expr, stride: int = 1) -> tuple[Network, Network]:
    """A convolution and a scale, and both in one."""
    train, fused = pair()
    y = train.add_at("conv", conv(3, stride), 0, weight=kernel)
    train.output(train.add_at("scale", Affine(1), y, weight=scale))
    fused.output(fused.add_at("conv", conv(3, stride), 0, weight=build.mul(kernel, build.along(scale, 0, 4))))
    return train, fused


# ------------------------------------------------------------------------------------------------ verdicts


def test_a_fold_is_proved_and_a_wrong_one_refuted() -> None:
    scale, kernel = param("s", 4), param("k", 4, 4, 3, 3)
    (verdict,) = verdicts(*scaled_conv(scale, kernel))
    assert verdict.equal
    assert verdict.local
    assert (verdict.degree, verdict.trials) == (3, 2)
    assert verdict.miss < 1e-9
    train, _ = scaled_conv(scale, kernel)
    _, wrong = pair()
    wrong.output(wrong.add_at("conv", conv(3), 0, weight=build.mul(kernel, build.along(scale, 1, 4))))
    (verdict,) = verdicts(train, wrong)
    assert verdict.reason == "160 of 160 elements differ at b = 2, h = 4, w = 5"


@pytest.mark.parametrize("row", range(3))
@pytest.mark.parametrize("column", range(3))
def test_every_tap_counts(row: int, column: int) -> None:
    """Also in the last of many strided stages, where the whole network on a small input would read one tap alone."""
    train, fused = pair()
    kernels = [param(f"k{i}", 4, 4, 3, 3) for i in range(6)]
    for net in (train, fused):
        x = 0
        for kernel in kernels[:5]:
            x = net.add(conv(3, stride=2), x, weight=kernel)
    mask = torch.ones(3, 3)
    mask[row, column] = 0
    holes = build.pad(build.fill([1, 1, 1, 1], 1), ((0, 0), (0, 0), (row, 2 - row), (column, 2 - column)))
    train.output(train.add(conv(3), 5, weight=kernels[5]))
    fused.output(fused.add(conv(3), 5, weight=build.sub(kernels[5], build.mul(kernels[5], holes))))
    found = verdicts(train, fused, {i: i for i in range(6)})
    assert [verdict.equal for verdict in found] == [False]


def test_a_dropped_eps_is_refuted() -> None:
    variance = param("v", 4)
    scales = [build.rsqrt(build.add(variance, build.fill([4], value))) for value in (Fraction("1e-5"), 0)]
    graphs = pair()
    for net, scale in zip(graphs, scales, strict=True):
        net.output(net.add(Affine(1), 0, weight=scale))
    (verdict,) = verdicts(*graphs)
    assert not verdict.equal


def test_a_comparison_is_tried_as_often_as_a_sign() -> None:
    """One element alone shows a comparison that is turned around in every second trial only."""
    scale, threshold = param("s", 1), param("t", 1)
    graphs = Network(), Network()
    for net in graphs:
        net.input("x", 1)
    train, wrong = graphs
    scaled = train.add(Affine(0), 0, weight=scale)
    train.output(train.add(Binary("greater"), scaled, b=threshold))
    wrong.output(wrong.add(Binary("greater"), 0, b=build.div(threshold, scale)))
    (verdict,) = verdicts(train, train)
    assert (verdict.equal, verdict.trials) == (True, SIGNED)
    assert 1e-13 < verdict.miss < 1e-9
    (verdict,) = verdicts(train, wrong)
    assert not verdict.equal


def test_another_type_is_named() -> None:
    train, fused = pair()
    train.output(train.add(conv(3, stride=2), 0, weight=param("k", 4, 4, 3, 3)))
    fused.output(fused.add(conv(3), 0, weight=param("k", 4, 4, 3, 3)))
    (verdict,) = verdicts(train, fused)
    assert verdict.reason == "it is f32[b, 4, h, w] instead of f32[b, 4, ((h + 1)//2), ((w + 1)//2)]"


def test_a_drawn_divisor_of_zero_is_drawn_again() -> None:
    """Among 60,000 divisors one is zero in every eighth draw: x / y · y is x, except there."""
    train, fused = pair()
    y = param("y", 4, 2**14)
    for net in (train, fused):
        net.input("z", "b", 4, 2**14)
    train.output(train.add(Multiply(), train.add(Divide(), 1, b=y), b=y))
    fused.output(fused.add(Affine(1), 1))
    for seed in range(20):
        (verdict,) = verdicts(train, fused, seed=seed)
        assert verdict.equal, verdict.reason


# ------------------------------------------------------------------------------------------------ segments


def test_what_both_graphs_compute_alike_is_no_segment() -> None:
    kernel = param("k", 4, 4, 3, 3)
    train, fused = scaled_conv(param("s", 4), kernel)
    train.output(train.add(Function("relu"), 2))
    fused.output(fused.add(Function("relu"), 1))
    same = {2: 1, 3: 2}
    assert [segment.result for segment in segments(train.graph, fused.graph, same)] == [2]
    fused.graph.replace(2, replace(fused.graph[2], op=Function("tanh")))
    assert [verdict.equal for verdict in verdicts(train, fused, same)] == [True, False]


def test_a_value_that_one_side_alone_starts_from_is_computed() -> None:
    """relu(x) is in both graphs, and the fused one computes the sum without reading it."""
    train, fused = pair()
    first = {net: net.add(Affine(1), 0, weight=param("s", 4)) for net in (train, fused)}
    for net in (train, fused):
        net.output(net.add(Function("relu"), first[net]), "z")
    train.output(train.add(Sum((ONE, ONE)), first[train], first[train]), "y")
    fused.output(fused.add(Affine(1), 0, weight=build.scale(param("s", 4), Fraction(2))), "y")
    same = {1: 1, 2: 2, 3: 3}
    (segment,) = segments(train.graph, fused.graph, same)
    assert (segment.train, segment.given) == ((1, 3), {0: 0})
    assert all(verdict.equal for verdict in prove(train.graph, fused.graph, same))


def test_values_that_depend_on_one_another_are_not_drawn_independently() -> None:
    """The train side reads two shapes of one value, the fused side one of them."""
    train, fused = pair()
    for net in (train, fused):
        net.input("p", "b", 8)
        for shape in ((2, 4), (4, 2)):
            net.add(Reshape((net.graph[1].type.shape[0], *shape)), 1)
    turned = train.add(Reshape((train.graph[1].type.shape[0], 2, 4)), 3)
    train.output(train.add(Sum((ONE, ONE)), 2, turned))
    fused.output(fused.add(Sum((Fraction(2),)), 2))
    assert all(verdict.equal for verdict in verdicts(train, fused, {1: 1, 2: 2, 3: 3}))


# ------------------------------------------------------------------------------------------------ tiles


@pytest.mark.parametrize(
    ("op", "kernel", "least"),
    [
        (conv(3), (4, 4, 3, 3), 4),
        (conv(5, dilation=2), (4, 4, 5, 5), 10),
        (conv(3, stride=2), (4, 4, 3, 3), 5),
        (MaxPool((3, 3), (2, 2), ((0, 0), (0, 0)), (1, 1)), None, 5),
    ],
)
def test_a_tile_has_a_window_and_a_stride_more_and_is_even_and_odd(
    op: Operator, kernel: tuple[int, ...] | None, least: int
) -> None:
    train, fused = pair()
    for net in (train, fused):
        x = net.add(op, 0, weight=kernel) if kernel else net.add(op, 0)
        net.output(net.add(Affine(1), x, weight=param("s", 4)))
    (segment,) = segments(train.graph, fused.graph, {2: 2})
    sizes = [tile(train.graph, fused.graph, segment, shift) for shift in (0, 1)]
    assert sizes == [{"b": 2, "h": least, "w": least + 1}, {"b": 2, "h": least + 1, "w": least}]


def test_a_tile_deep_inside_is_as_large_as_in_front() -> None:
    train, fused = pair()
    for net in (train, fused):
        x = 0
        for i in range(5):
            x = net.add(conv(3, stride=2), x, weight=param(f"k{i}", 4, 4, 3, 3))
    train.output(train.add(conv(3), 5, weight=param("a", 4, 4, 3, 3)))
    fused.output(fused.add(conv(3), 5, weight=param("b", 4, 4, 3, 3)))
    (segment,) = segments(train.graph, fused.graph, {i: i for i in range(7)})
    sizes = tile(train.graph, fused.graph, segment, 0)
    assert [evaluate(size, sizes) for size in train.graph[5].type.shape] == [2, 4, 4, 5]


def test_what_looks_at_all_of_an_axis_is_not_for_all_sizes() -> None:
    train, fused = pair()
    train.output(train.add(Affine(1), train.add(AdaptiveAvgPool((1, 1)), 0), weight=param("s", 4)))
    fused.output(fused.add(AdaptiveAvgPool((1, 1)), fused.add(Affine(1), 0, weight=param("s", 4))))
    (verdict,) = verdicts(train, fused)
    assert verdict.equal
    assert not verdict.local


def test_whole_numbers_are_drawn_as_valid_positions() -> None:
    graphs = pair()
    for net in graphs:
        net.input("index", "b", 3, dtype="i64")
    table, scale = param("t", 5, 4), param("s", 4)
    train, fused = graphs
    train.output(train.add(Affine(2), train.add(Gather(0), 1, x=table), weight=scale))
    fused.output(fused.add(Gather(0), 1, x=build.mul(table, scale)))
    (verdict,) = verdicts(train, fused)
    assert verdict.equal, verdict.reason


# ------------------------------------------------------------------------------------------------ facts


def through_relu(kind: str) -> tuple[Network, Network, Fact]:
    """A scale that moves through relu, which it may where it is not negative, or where it is zero."""
    train, fused = pair()
    scale = build.mul(param("s", 4), build.rsqrt(param("v", 4)))
    train.output(train.add(Affine(1), train.add(Function("relu"), 0), weight=scale))
    if kind == "zero":
        fused.output(fused.add(Affine(1), 0, weight=build.fill([4], 0)))
    else:
        fused.output(fused.add(Function("relu"), fused.add(Affine(1), 0, weight=scale)))
    return train, fused, Fact(kind, scale)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["nonnegative", "zero"])
def test_a_fact_is_imposed_where_it_is_needed(kind: str) -> None:
    train, fused, fact = through_relu(kind)
    (verdict,) = verdicts(train, fused)
    assert not verdict.equal
    (verdict,) = verdicts(train, fused, facts=[fact])
    assert verdict.equal, verdict.reason
    assert (verdict.trials, verdict.facts) == (SIGNED, 1)
    assert verdict.miss < 1e-9


def test_a_fact_about_something_else_does_not_help() -> None:
    train, fused, _ = through_relu("nonnegative")
    (verdict,) = verdicts(train, fused, facts=[Fact("nonnegative", param("v", 4))])
    assert not verdict.equal


def test_a_fact_about_some_channels_is_imposed_on_them() -> None:
    train, fused = pair()
    scale = param("s", 4)
    train.output(train.add(Affine(1), 0, weight=scale))
    fused.output(fused.add(Affine(1), 0, weight=build.concat([build.take(scale, 0, 0, 3), build.fill([1], 0)], 0)))
    (verdict,) = verdicts(train, fused, facts=[Fact("zero", build.take(scale, 0, 3, 4))])
    assert verdict.equal
    (verdict,) = verdicts(train, fused, facts=[Fact("zero", build.take(scale, 0, 2, 3))])
    assert not verdict.equal


# ------------------------------------------------------------------------------------------------ degrees


def test_the_degree_counts_products_and_tables() -> None:
    graph = Graph("g")
    net = Network()
    net.graph = graph
    x = net.input("x", "b", 4)
    kernel = build.mul(param("k", 4, 4), build.along(build.rsqrt(param("v", 4)), 0, 2))
    y = net.add(Linear(), x, weight=kernel, bias=param("c", 4))
    assert degree(graph, [y]) == 1 + (1 + 4) + 1
    both = net.add(Concat(1), y, x)
    assert degree(graph, [y, both]) == 7
    assert degree(graph, [net.add(Softmax(1), x)]) == 4
