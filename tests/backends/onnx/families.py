"""Graphs with random attributes around one operator, and what ONNX Runtime has to make of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from hypothesis import strategies as st

from tests.backends.onnx.networks import Network, deviation, newest_runnable

Draw: TypeAlias = Callable[..., Any]
Family: TypeAlias = Callable[[Network, Draw], int]
TOLERANCE = 1e-5
OPSETS = (17, 18, 21, newest_runnable())
SPATIAL = ("h", "w", "d")


def check(family: Family, draw: Draw, positive: bool = False) -> None:
    """In two sizes, at a random opset, ONNX Runtime computes what the operators mean."""
    net = Network(draw(st.integers(0, 2**31)))
    net.output(family(net, draw))
    model = net.model(draw(st.sampled_from(OPSETS), label="opset"))
    for sizes in ({"b": 2, "h": 8, "w": 7, "d": 9}, {"b": 3, "h": 11, "w": 10, "d": 7}):
        inputs = net.inputs(sizes)
        if positive:
            inputs = {name: value.abs() + 0.1 for name, value in inputs.items()}
        assert deviation(net, model, inputs) <= TOLERANCE


def integers(draw: Draw, low: int, high: int, count: int) -> tuple[int, ...]:
    return tuple(draw(st.integers(low, high)) for _ in range(count))


def pairs(draw: Draw, high: int, count: int) -> tuple[tuple[int, int], ...]:
    width = st.integers(0, high)
    return tuple((draw(width), draw(width)) for _ in range(count))


def some(draw: Draw, **shapes: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Optional operands."""
    return {name: shape for name, shape in shapes.items() if draw(st.booleans())}


def image(net: Network, draw: Draw, channels: int, rank: int) -> int:
    """An input (b, channels, spatial…), with free sizes or with known ones."""
    if draw(st.booleans()):
        return net.input("x", "b", channels, *SPATIAL[:rank])
    return net.input("x", "b", channels, *integers(draw, 7, 9, rank))
