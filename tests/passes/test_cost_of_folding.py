"""Folding costs about as many steps as there are nodes, and weights share their parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from repc.evaluate.expressions import evaluate
from repc.evaluate.floating import TorchField
from repc.ir.expr import walk
from repc.ir.storage import storage
from repc.passes import chains
from repc.passes.rules import RULES
from tests.passes.build import EXACT, Folded, Net, folded


def blocks(count: int) -> Net:
    """RepVGG's block, `count` times."""
    net = Net()
    x = net.input(1, 2, 5, 5)
    for i in range(count):
        dense = net.batch_norm(net.conv(x, f"{i}.dense", 2, padding=1, bias=False), f"{i}.dense.bn")
        point = net.batch_norm(net.conv(x, f"{i}.point", 2, (1, 1), bias=False), f"{i}.point.bn")
        x = net.relu(net.sum(dense, point, net.batch_norm(x, f"{i}.bn"), path=f"{i}"), f"{i}.act")
    return net.output(x)


def residual(count: int) -> Net:
    """A stream that every block adds to."""
    net = Net()
    x = net.input(1, 2, 5)
    for i in range(count):
        y = net.relu(net.batch_norm(net.conv(x, f"{i}.a", 2, (1,), bias=False), f"{i}.bn"), f"{i}.act")
        x = net.sum(x, net.affine(net.conv(y, f"{i}.b", 2, (1,)), f"{i}.scale", shift=False), path=f"{i}")
    return net.output(x)


def wide(count: int) -> Net:
    """One sum of many branches."""
    net = Net()
    x = net.input(1, 2, 5)
    return net.output(net.sum(*(net.batch_norm(net.conv(x, f"{i}", 2, (1,)), f"{i}.bn") for i in range(count))))


def unlabelled(count: int) -> Net:
    """Many nodes on one path."""
    net = Net()
    x = net.input(1, 2, 5)
    for i in range(count):
        x = net.relu(net.sum(x, net.relu(net.conv(x, f"{i}", 2, (1,)), "net"), path="net"), "net")
    return net.output(x)


def in_a_row(count: int) -> Net:
    """Layers that become one."""
    net = Net()
    x = net.input(2, 4)
    for i in range(count):
        x = net.linear(x, f"{i}", 4)
    return net.output(x)


def apart(count: int) -> Net:
    """Rows and columns, of which no two are cheaper as one."""
    net = Net()
    x = net.input(1, 2, 2 * count + 2, 2 * count + 2)
    for i in range(count):
        x = net.conv(x, f"{i}", 2, (1, 5) if i % 2 else (5, 1), groups=2)
    return net.output(x)


def tried(make: Callable[[int], Net], count: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, Folded]:
    """How often a rule was tried at a node."""
    calls = 0

    def counted(match: Callable[[Any, int], Any]) -> Callable[[Any, int], Any]:
        def call(work: Any, id: int) -> Any:
            nonlocal calls
            calls += 1
            return match(work, id)

        return call

    with monkeypatch.context() as patch:
        for rule in RULES:
            patch.setattr(rule, "match", counted(rule.match))
        found = folded(make(count))
    return calls, found


@pytest.mark.parametrize("make", [blocks, residual, wide, unlabelled, in_a_row, apart])
def test_steps_grow_with_the_nodes(make: Callable[[int], Net], monkeypatch: pytest.MonkeyPatch) -> None:
    small, _ = tried(make, 10, monkeypatch)
    large, found = tried(make, 100, monkeypatch)
    assert large <= 12 * small
    assert large <= 4 * len(RULES) * len(found.net.graph)


def test_a_chain_is_looked_at_a_few_operators_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []
    right = chains.outline
    monkeypatch.setattr(chains, "outline", lambda *pair: found.append(1) or right(*pair))
    assert folded(apart(50)).count() == {"conv": 50}
    assert len(found) <= 2 * chains.REACH * 50


def test_weights_do_not_blow_up() -> None:
    """A hundred scales and shifts on one convolution: the expressions grow with their number, not with its square."""

    def parts(count: int) -> int:
        net = Net()
        y = net.conv(net.input(2, 4, 6), "conv", 4, (3,))
        for i in range(count):
            y = net.batch_norm(y, f"bn{i}")
        found = folded(net.output(y))
        assert found.count() == {"conv": 1}
        return sum(1 for _ in walk(storage(found.graph).tensors.values()))

    assert parts(100) <= 12 * parts(10)


def test_a_stored_weight_is_computed_once() -> None:
    found = folded(blocks(3))
    tensors = storage(found.graph).tensors
    assert len(tensors) == 6
    values = evaluate(tensors, TorchField(), found.net.values)
    assert values["0.dense.weight"].shape == (2, 2, 3, 3)
    assert found.error() < EXACT
