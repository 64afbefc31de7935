"""What is said about each scale, sum and convolution that is left, where no rule resembles the place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from repc.ops import AvgPool, Divide, Multiply
from tests.passes.build import Net, folded


def image(net: Net) -> int:
    return net.input(2, 6, 13, 18)


def pool(net: Net, x: int, pad: int, *, ceil: bool = False, count: bool = True) -> int:
    return net.node(AvgPool((3, 3), (1, 1), ((pad, pad), (pad, pad)), ceil, count), "pool", x=x)


def counted_zeros(net: Net) -> int:
    return net.batch_norm(pool(net, net.conv(image(net), "conv", 6), 1), "bn")


def uncounted_branch(net: Net) -> int:
    x = image(net)
    return net.sum(pool(net, x, 1, count=False), x)


def spread_constant(net: Net) -> int:
    y = net.sum(net.conv(image(net), "conv", 6), net.param("q", 6, 11, 16), path="add")
    return net.batch_norm(y, "bn")


def spread_factor(net: Net) -> int:
    return net.node(Multiply(), "mul", a=net.conv(image(net), "conv", 6), b=net.param("q", 6, 11, 16))


def lonely_divisor(net: Net) -> int:
    return net.node(Divide(), "div", a=net.relu(image(net)), b=net.param("q", 6, 1, 1))


def divided_constant(net: Net) -> int:
    return net.batch_norm(net.node(Divide(), "div", a=net.param("q"), b=net.conv(image(net), "conv", 6)), "bn")


def biased_before_border(net: Net) -> int:
    return net.conv(net.conv(image(net), "a", 6, (1, 1)), "b", 6, padding=1)


def padded_twice(net: Net) -> int:
    return net.conv(net.conv(image(net), "a", 6, padding=1, bias=False), "b", 6, padding=1)


def dearer(net: Net) -> int:
    return net.linear(net.linear(net.input(5, 24), "a", 4, bias=False), "b", 24)


SPREAD = "the constant of {} is not one value per channel"
CASES: dict[Callable[[Net], int], list[tuple[str, str, str]]] = {
    counted_zeros: [
        (
            "F1",
            "conv -> pool/avg_pool -> bn",
            "pool/avg_pool counts its padding as zeros, to which a shift adds nothing",
        )
    ],
    uncounted_branch: [
        (
            "F3",
            "x -> pool/avg_pool -> sum",
            "pool/avg_pool averages fewer values at the border, which no convolution does",
        )
    ],
    spread_constant: [
        ("F1", "conv -> add", SPREAD.format("add")),
        ("F1", "conv -> add -> bn", SPREAD.format("add")),
    ],
    spread_factor: [("F1", "conv -> mul", SPREAD.format("mul"))],
    lonely_divisor: [("F1", "relu -> div", "no linear operator next to div can take it in")],
    divided_constant: [("F1", "conv -> div -> bn", "div divides by its input")],
    biased_before_border: [
        (
            "F5",
            "a -> b",
            "b reads zeros beyond the border, where a would have put its bias; "
            "up to 1 from the border the result would be wrong",
        ),
    ],
    padded_twice: [
        (
            "F5",
            "a -> b",
            "beyond the border b reads its padding, where a would go on reading its input; "
            "up to 1 from the border the result would be wrong",
        ),
    ],
    dearer: [
        (
            "F5",
            "a -> b",
            "a and b in one would cost 576 instead of 192 multiply-adds, 2400 instead of 864 weight bytes",
        )
    ],
}


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_it_is_said_why(make: Callable[[Net], int]) -> None:
    net = Net()
    found = folded(net.output(make(net)))
    assert [(r.rule, r.edge, r.reason) for r in found.trace.refusals] == CASES[make]
    assert all(refusal.remedy and refusal.origin for refusal in found.trace.refusals)
    assert found.trace.steps == []


def test_an_inner_convolution_that_is_read_twice_is_not_missed() -> None:
    net = Net()
    first = net.conv(image(net), "a", 6)
    assert folded(net.output(net.conv(first, "b", 6), first)).trace.refusals == []
