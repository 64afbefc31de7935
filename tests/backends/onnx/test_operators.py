"""Every operator with random attributes, in ONNX Runtime against its meaning in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repc.backends.onnx.emitter import Emitter, Value
from repc.backends.onnx.lowerings import LOWERINGS
from repc.ir.dims import symbol, volume
from repc.ops import (
    AdaptiveAvgPool,
    Affine,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    ConvTranspose,
    Detach,
    Divide,
    Dropout,
    Einsum,
    Expand,
    Function,
    GroupNorm,
    LayerNorm,
    Linear,
    MatMul,
    MaxPool,
    Multiply,
    Pad,
    Permute,
    PRelu,
    Reduce,
    Reshape,
    RMSNorm,
    Slice,
    Softmax,
    Sum,
    Upsample,
)
from repc.ops.function import FUNCTIONS
from repc.ops.padding import MODES
from tests.backends.onnx.families import OPSETS, SPATIAL, TOLERANCE, Draw, Family, check, image, integers, pairs, some
from tests.backends.onnx.networks import Network, deviation, execute

POSITIVE = ("log", "sqrt", "rsqrt")


def conv(net: Network, draw: Draw) -> int:
    rank, groups = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    per_group, out = draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    mode = draw(st.sampled_from(MODES))
    op = Conv(integers(draw, 1, 3, rank), pairs(draw, 2, rank), integers(draw, 1, 2, rank), groups, mode)
    weight = (out, per_group, *integers(draw, 1, 3, rank))
    return net.add(op, image(net, draw, groups * per_group, rank), weight=weight, **some(draw, bias=(out,)))


def conv_transpose(net: Network, draw: Draw) -> int:
    rank, groups = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    channels, per_group = groups * draw(st.integers(1, 2)), draw(st.integers(1, 2))
    stride, dilation = integers(draw, 1, 3, rank), integers(draw, 1, 3, rank)
    extra = tuple(draw(st.integers(0, max(steps) - 1)) for steps in zip(stride, dilation, strict=True))
    op = ConvTranspose(stride, pairs(draw, 2, rank), dilation, groups, extra)
    weight = (channels, per_group, *integers(draw, 1, 3, rank))
    bias = some(draw, bias=(groups * per_group,))
    return net.add(op, image(net, draw, channels, rank), weight=weight, **bias)


def linear(net: Network, draw: Draw) -> int:
    width, out = integers(draw, 1, 5, 2)
    x = net.input("x", *draw(st.sampled_from([(), ("b",), ("b", "h"), ("b", 2, "h")])), width)
    if draw(st.booleans()):
        return net.add(Linear(), x, net.input("weights", out, width), **some(draw, bias=(out,)))
    return net.add(Linear(), x, weight=(out, width), **some(draw, bias=(out,)))


def matmul(net: Network, draw: Draw) -> int:
    a = net.input("x", *draw(st.sampled_from([(), (1,), ("b", 1, 3)])), "h", 4)
    return net.add(MatMul(), a, net.input("z", *draw(st.sampled_from([(), (3,), ("b", 1, 1)])), 4, 2))


def einsum(net: Network, draw: Draw) -> int:
    equation, left, right = draw(
        st.sampled_from(
            [
                ("bqd,bkd->bqk", ("b", "h", 3), ("b", "w", 3)),
                ("bchw, c -> bhw", ("b", 3, "h", "w"), (3,)),
                ("ij,kl->kijl", ("b", 2), ("h", 3)),
                ("abc,cb->a", ("b", 3, 2), (2, 3)),
            ]
        )
    )
    return net.add(Einsum(equation), net.input("x", *left), net.input("z", *right))


def eps(draw: Draw) -> Fraction:
    return Fraction(draw(st.integers(1, 100)), 1000)


def batch_norm(net: Network, draw: Draw) -> int:
    c = draw(st.integers(1, 4))
    statistics = {"running_mean": (c,), "running_var": (c,)} if draw(st.booleans()) else {}
    x = image(net, draw, c, draw(st.integers(0, 3)))
    return net.add(BatchNorm(eps(draw)), x, **some(draw, weight=(c,), bias=(c,)), **statistics)


def layer_norm(net: Network, draw: Draw) -> int:
    axes = draw(st.integers(1, 2))
    shape = (4, 5)[-axes:]
    x = net.input("x", "b", "h", 4, 5)
    return net.add(LayerNorm(axes, eps(draw)), x, **some(draw, weight=shape, bias=shape))


def group_norm(net: Network, draw: Draw) -> int:
    groups = draw(st.integers(1, 3))
    c = groups * draw(st.integers(1, 3))
    x = image(net, draw, c, draw(st.integers(1, 2)))
    return net.add(GroupNorm(groups, eps(draw)), x, **some(draw, weight=(c,), bias=(c,)))


def rms_norm(net: Network, draw: Draw) -> int:
    axes = draw(st.integers(1, 2))
    return net.add(RMSNorm(axes, eps(draw)), net.input("x", "b", "h", 4, 5), **some(draw, weight=(4, 5)[-axes:]))


def function(net: Network, draw: Draw) -> int:
    name = draw(st.sampled_from([name for name in FUNCTIONS if name not in POSITIVE]))
    return apply_function(net, draw, name)


def positive_function(net: Network, draw: Draw) -> int:
    return apply_function(net, draw, draw(st.sampled_from(POSITIVE)))


def apply_function(net: Network, draw: Draw, name: str) -> int:
    low = Fraction(draw(st.integers(-20, 5)), 10)
    bounds = {"low": low, "high": low + 1, "slope": abs(low), "alpha": abs(low) + 1, "exponent": Fraction(3)}
    attributes = tuple(bounds[attribute] for attribute in FUNCTIONS[name])
    return net.add(Function(name, attributes), net.input("x", "b", 3, "h"))


def prelu(net: Network, draw: Draw) -> int:
    c, rank = draw(st.integers(2, 4)), draw(st.integers(0, 2))
    return net.add(PRelu(), image(net, draw, c, rank), weight=draw(st.sampled_from([(1,), (c,)])))


def softmax(net: Network, draw: Draw) -> int:
    return net.add(Softmax(draw(st.integers(0, 2))), net.input("x", "b", 4, "h"))


def sum_of(net: Network, draw: Draw) -> int:
    shapes = draw(st.lists(st.sampled_from([("b", 3, "h"), (3, 1), ("h",), ()]), min_size=1, max_size=4))
    known = st.sampled_from([1, 1, -1, -1, Fraction(1, 3), Fraction(-5, 2)])
    coefficients = tuple(Fraction(draw(known)) for _ in shapes)
    return net.add(Sum(coefficients), *(net.input(f"x{i}", *shape) for i, shape in enumerate(shapes)))


def product(net: Network, draw: Draw) -> int:
    op = draw(st.sampled_from([Multiply(), Divide()]))
    return net.add(op, net.input("x", "b", 3, "h"), b=draw(st.sampled_from([(), (3, 1), (1, 3, 1)])))


def affine(net: Network, draw: Draw) -> int:
    axis = draw(st.integers(0, 2))
    size = (4, 3, 5)[axis]
    op = Affine(axis)
    return net.add(op, net.input("x", 4, 3, 5), **some(draw, weight=(size,), bias=(size,)))


def nothing(net: Network, draw: Draw) -> int:
    return net.add(draw(st.sampled_from([Detach(), Dropout(0.3)])), net.input("x", "b", 3))


def reshape(net: Network, draw: Draw) -> int:
    b, h, w = symbol("b"), symbol("h"), symbol("w")
    x = net.input("x", "b", 6, "h", "w")
    shapes = [
        (b, 6 * h * w),
        (b, 6, h * w),
        (b * 6, h, w),
        (b, 2, 3, h, w),
        (b * h, 3, 2 * w),
        (h, b * 3, 2, w),
        (volume((b, 6, h, w)),),
        (b, 6, h, w),
        (w, h, 6, b),
        (3 * h * w, 2 * b),
    ]
    return net.add(Reshape(draw(st.sampled_from(shapes))), x)


def permute(net: Network, draw: Draw) -> int:
    return net.add(Permute(tuple(draw(st.permutations(range(4))))), net.input("x", "b", 3, "h", 2))


def expand(net: Network, draw: Draw) -> int:
    x, b, h = net.input("x", "b", 1, "h", 1), symbol("b"), symbol("h")
    return net.add(Expand(draw(st.sampled_from([(b, 4, h, 1), (b, b, h, h), (2, b, 1, h, 3), (h, b, 1, h, b)]))), x)


def slice_of(net: Network, draw: Draw) -> int:
    start = draw(st.integers(0, 5))
    return net.add(Slice(2, start, draw(st.integers(start + 1, 7)), draw(st.integers(1, 3))), net.input("x", "b", 2, 7))


def concat(net: Network, draw: Draw) -> int:
    widths = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    return net.add(Concat(1), *(net.input(f"x{i}", "b", width, "h") for i, width in enumerate(widths)))


def pad(net: Network, draw: Draw) -> int:
    x, mode = image(net, draw, 3, 2), draw(st.sampled_from(MODES))
    inner = pairs(draw, 2, 2)
    value = draw(st.sampled_from([{}, {"value": ()}, {"value": (3,)}])) if mode == "constant" else {}
    outer = ((1, 0), (0, 0)) if mode == "constant" else ((0, 0), (0, 0))
    return net.add(Pad((*outer, *inner), mode), x, **value)


def upsample(net: Network, draw: Draw) -> int:
    rank = draw(st.integers(1, 3))
    mode, align = draw(st.sampled_from([("nearest", False), ("linear", False), ("linear", True)]))
    return net.add(Upsample(tuple(map(Fraction, integers(draw, 1, 4, rank))), mode, align), image(net, draw, 2, rank))


def max_pool(net: Network, draw: Draw) -> int:
    rank = draw(st.integers(1, 3))
    kernel, dilation = integers(draw, 2, 3, rank), integers(draw, 1, 2, rank)
    padding = tuple(tuple(integers(draw, 0, size // 2, 2)) for size in kernel)
    op = MaxPool(kernel, integers(draw, 1, 3, rank), padding, dilation, draw(st.booleans()))  # type: ignore[arg-type]
    return net.add(op, image(net, draw, 2, rank))


def avg_pool(net: Network, draw: Draw) -> int:
    rank = draw(st.integers(1, 3))
    kernel = integers(draw, 2, 3, rank)
    padding = tuple(tuple(integers(draw, 0, size // 2, 2)) for size in kernel)
    op = AvgPool(kernel, integers(draw, 1, 3, rank), padding, draw(st.booleans()), draw(st.booleans()))  # type: ignore[arg-type]
    return net.add(op, image(net, draw, 2, rank))


def adaptive_avg_pool(net: Network, draw: Draw) -> int:
    rank = draw(st.integers(1, 3))
    x = net.input("x", "b", 2, *integers(draw, 3, 8, rank))
    return net.add(AdaptiveAvgPool(integers(draw, 1, 4, rank)), x)


def global_avg_pool(net: Network, draw: Draw) -> int:
    rank = draw(st.integers(1, 3))
    mixed = st.just((1,) * rank) | st.permutations([1, 2, 3]).map(lambda sizes: tuple(sizes[:rank]))
    output = draw(mixed)
    sizes = [name if count == 1 else 5 for name, count in zip(SPATIAL, output, strict=False)]
    return net.add(AdaptiveAvgPool(output), net.input("x", "b", 2, *sizes))


def reduce(net: Network, draw: Draw) -> int:
    axes = tuple(sorted(draw(st.sets(st.integers(0, 2)))))
    x = net.input("x", "b", 3, "h")
    if len(axes) == 3:  # one sum may be next to nothing, beside which its rounding is large
        x = net.add(Function("abs"), x)
    return net.add(Reduce(draw(st.sampled_from(["sum", "mean", "norm"])), axes, draw(st.booleans())), x)


def chain(net: Network, draw: Draw) -> int:
    """Sizes that only values inside the graph have, read where they are needed."""
    x = net.input("x", "b", 2, "h", "w")
    y = net.add(Conv((2, 3), ((1, 1), (0, 1)), (1, 1)), x, weight=(4, 2, 3, 2))
    b, c, h, w = net.graph[y].type.shape
    shape = draw(st.sampled_from([(b * h, w, c), (b, c, h * w), (w, h * b, c), (b, h * c, w, 1)]))
    z = net.add(Reshape(shape), net.add(Permute((0, 2, 3, 1)), net.add(Function("relu"), y)))
    return net.add(Sum((Fraction(1), Fraction(1))), z, net.add(Function("tanh"), z))


def sequence(net: Network, draw: Draw) -> int:
    """Several operators one after another, with a skip connection around them."""
    x = start = net.input("x", "b", 4, "h", "w")
    ones, border = (1, 1), ((1, 1), (1, 1))
    choices: dict[str, Callable[[], int]] = {
        "conv": lambda: net.add_at("conv", Conv(ones, border, ones, 2), x, weight=(4, 2, 3, 3)),
        "norm": lambda: net.add_at("norm", GroupNorm(2, eps(draw)), x, weight=(4,), bias=(4,)),
        "pool": lambda: net.add(AvgPool((3, 3), ones, border), x),
        "scale": lambda: net.add_at("scale", Affine(1), x, weight=(4,)),
        "gate": lambda: net.add(Multiply(), x, net.add(Function("sigmoid"), net.add(AdaptiveAvgPool(ones), x))),
        "identity": lambda: net.add(Dropout(0.1), x),
    }
    for name in draw(st.lists(st.sampled_from(sorted(choices)), min_size=1, max_size=4)):
        x = choices[name]()
    return net.add(Sum((Fraction(1), Fraction(-1))), x, start)


FAMILIES = (
    conv,
    conv_transpose,
    linear,
    matmul,
    einsum,
    batch_norm,
    layer_norm,
    group_norm,
    rms_norm,
    function,
    positive_function,
    prelu,
    softmax,
    sum_of,
    product,
    affine,
    nothing,
    reshape,
    permute,
    expand,
    slice_of,
    concat,
    pad,
    upsample,
    max_pool,
    avg_pool,
    adaptive_avg_pool,
    global_avg_pool,
    reduce,
    chain,
    sequence,
)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_onnx_runtime_agrees_with_the_meaning(family: Family, data: st.DataObject) -> None:
    check(family, data.draw, positive=family is positive_function)


def test_the_comparison_sees_a_wrong_lowering(monkeypatch: pytest.MonkeyPatch) -> None:
    """AveragePool with ONNX's own default for the padding."""
    net = Network()
    net.output(net.add(AvgPool((3,), (1,), ((1, 1),)), net.input("x", "b", 2, "h")))

    def defaulted(e: Emitter, op: AvgPool, operands: Mapping[str, Value]) -> str:
        return e.add("AveragePool", operands["x"].name, kernel_shape=op.kernel, pads=[1, 1])

    inputs = net.inputs({"b": 2, "h": 8})
    assert deviation(net, net.model(), inputs) <= TOLERANCE
    monkeypatch.setitem(LOWERINGS, AvgPool, defaulted)
    assert deviation(net, net.model(), inputs) > 1000 * TOLERANCE


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize(
    "pool",
    [
        MaxPool((3, 3), (1, 1), ((0, 0),) * 2, (1, 1)),
        MaxPool((1, 1), (1, 1), ((0, 0),) * 2, (1, 1)),
        AvgPool((1, 1), (1, 1), ((0, 0),) * 2),
        AvgPool((3, 3), (2, 2), ((1, 1),) * 2, ceil=True, count_include_pad=False),
        AvgPool((3, 3), (2, 2), ((1, 1),) * 2, ceil=True),
    ],
    ids=str,
)
def test_zeros_before_a_pool_are_not_lost(opset: int, pool: MaxPool | AvgPool) -> None:
    """ONNX Runtime's optimizer takes a Pad of zeros for the pool's own padding, which is another thing."""
    net = Network()
    x = net.add(Pad(((0, 0), (0, 0), (1, 1), (1, 1))), net.input("x", "b", 2, "h", "w"))
    net.output(net.add(pool, x))
    below = {"x": -1 - torch.rand(1, 2, 4, 5)}
    found = execute(net.model(opset), below, optimized=True)["y"]
    np.testing.assert_allclose(found, net.reference(below)["y"].numpy(), rtol=1e-5)
