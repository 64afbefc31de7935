"""Graphs and weight expressions as text."""

from fractions import Fraction

import pytest

from repc.ir.expr import Expr, apply
from repc.ir.graph import Graph
from repc.ir.printer import expression, print_graph
from repc.ops import Detach, Function, Linear, build
from tests.ir.nets import B, add_input, add_node, conv_bn_net, param

A, V, N = param("a", 2, 3), param("v", 3), param("n", 3, 3)
KERNEL = param("stage0.conv.weight", 8, 3, 3, 3)
GAMMA, MEAN, VAR = (param(f"stage0.bn.{name}", 8) for name in ("weight", "running_mean", "running_var"))
EPS = build.fill((), Fraction(1, 100000))
RATIO = build.mul(GAMMA, build.rsqrt(build.add(VAR, EPS)))
LONG = build.mul(build.add(GAMMA, MEAN), build.rsqrt(build.add(VAR, build.fill((), Fraction(1, 100000)))))


def test_a_graph_reads_line_by_line() -> None:
    assert print_graph(conv_bn_net()).splitlines() == [
        "Net(image: f32[b, 2, h, w]) -> out: f32[b, 4*h*w] = %5",
        "  %0 = input(port=image, type=f32[b, 2, h, w]): f32[b, 2, h, w]  # image",
        "  %1 = conv(%0, weight=conv.weight, stride=[1, 1], padding=[[1, 1], [1, 1]], dilation=[1, 1]):"
        " f32[b, 4, h, w]  # conv",
        "  %2 = batch_norm(%1, weight=bn.weight, bias=bn.bias, running_mean=bn.running_mean,"
        " running_var=bn.running_var, num_batches_tracked=bn.num_batches_tracked, eps=1/1000): f32[b, 4, h, w]  # bn",
        "  %3 = function(%2, function=relu): f32[b, 4, h, w]  # relu",
        "  %4 = sum(%3, %1, coefficients=[1, -2]): f32[b, 4, h, w]",
        "  %5 = reshape(%4, shape=[b, 4*h*w]): f32[b, 4*h*w]  # flat",
    ]


def test_a_long_weight_stands_below_its_node() -> None:
    graph = Graph("Long")
    x = add_input(graph, "x", B, 8)
    weight = build.mul(build.eye(8), build.along(RATIO, 0, 2))
    graph.outputs["out"] = add_node(graph, Linear(), (x,), "fc", weight=weight)
    assert print_graph(graph).splitlines()[-2:] == [
        "  %1 = linear(%0, weight): f32[b, 8]  # fc",
        "       weight = eye(size=8) * (stage0.bn.weight * rsqrt(stage0.bn.running_var + 1/100000))",
    ]


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (A, "a"),
        (
            build.mul(KERNEL, build.along(RATIO, 0, 4)),
            "stage0.conv.weight * (stage0.bn.weight * rsqrt(stage0.bn.running_var + 1/100000))",
        ),
        (build.add(A, V), "a + v"),
        (build.sub(A, build.add(V, V)), "a - (v + v)"),
        (build.mul(build.add(A, V), A), "(a + v) * a"),
        (build.add(build.mul(A, A), V), "a * a + v"),
        (build.scale(A, Fraction(-3, 2)), "-3/2*a"),
        (build.combine([(Fraction(-1), A), (Fraction(-2), V)]), "-a - 2*v"),
        (build.mul(build.scale(A, Fraction(2)), V), "(2*a) * v"),
        (build.div(A, build.mul(A, A)), "a / (a * a)"),
        (build.mul(build.div(A, V), A), "a / v * a"),
        (build.matmul(A, build.permute(A, (1, 0))), "a @ permute(a, axes=[1, 0])"),
        (build.mul(A, EPS), "a * (1/100000)"),
        (build.mul(A, build.fill((), -2)), "a * (-2)"),
        (build.mul(A, build.fill((), 2)), "a * 2"),
        (build.fill((2,), 0), "fill(shape=[2], value=0)"),
        (build.reshape(A, (6,)), "reshape(a, [6])"),
        (build.pad(A, ((0, 1), (2, 0))), "pad(a, widths=[[0, 1], [2, 0]])"),
        (apply(Detach(), x=A), "detach(a)"),
        (apply(Function("clip", (Fraction(0), Fraction(1, 2))), x=A), "clip(a, 0, 1/2)"),
    ],
)
def test_an_expression_is_short_mathematics(expr: Expr, text: str) -> None:
    assert expression(expr) == text


def test_a_long_part_that_is_used_twice_gets_a_name() -> None:
    assert expression(build.sub(build.mul(LONG, GAMMA), LONG)).splitlines() == [
        "t1 * stage0.bn.weight - t1 where",
        "  t1 = (stage0.bn.weight + stage0.bn.running_mean) * rsqrt(stage0.bn.running_var + 1/100000)",
    ]


def test_the_text_of_a_much_shared_expression_stays_short() -> None:
    expr: Expr = N
    for _ in range(200):
        expr = build.matmul(expr, expr)
    assert len(expression(expr)) < 10_000
