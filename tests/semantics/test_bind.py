"""Binding an input is the network with that input fixed, and what depends on it alone is a weight."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from repc.diagnostics import Failure, Source
from repc.evaluate import run
from repc.evaluate.floating import TorchField
from repc.ir.graph import Graph
from repc.ops.conv import Conv
from repc.passes import fold
from repc.semantics import FileLibrary, bind, elaborate, load
from tests.verify.networks import random_parameters

DOUBLE = TorchField(torch.float64)

EXPERTS = """repc 1
import std.conv
model M(x: f32[b, 4, h, w], task: f32[b, 3], gain: f32[b]) {
  let gate = task >> gate: Linear(12) >> reshape([b, 2, 6, 1, 1]) >> softmax(1)
  let y = sum {
      (x >> first: Conv(6, 3, pad=1, stride=2)) * gate[:, 0]
    | (x >> second: Conv(6, 1, stride=2)) * gate[:, 1]
  }
  return (y >> BatchNorm()) * reshape(gain, [b, 1, 1, 1])
}
"""


def network(text: str) -> Graph:
    return elaborate(load(Source("net.rep", text), FileLibrary()), "M")


@pytest.mark.parametrize("task", [2, (Fraction(1, 3), Fraction(-2), 5)])
def test_a_bound_input_is_a_weight(task: int | tuple[int | Fraction, ...]) -> None:
    graph = network(EXPERTS)
    values = random_parameters(graph, seed=1)
    row = [float(i == task) for i in range(3)] if isinstance(task, int) else [float(number) for number in task]
    inputs = {"x": torch.randn(2, 4, 9, 12, dtype=torch.float64), "gain": torch.randn(2, dtype=torch.float64)}
    given = {**inputs, "task": torch.tensor([row, row], dtype=torch.float64)}
    (expected,) = run(graph, DOUBLE, given, values).values()
    bound = bind(graph, {"task": task})
    folded, _ = fold(bound)
    for found in (bound, folded):
        (actual,) = run(found, DOUBLE, inputs, values).values()
        assert torch.allclose(actual, expected, rtol=0, atol=1e-12 * float(expected.abs().max()))
    assert sum(isinstance(folded[id].op, Conv) for id in folded) == 1
    assert sum(isinstance(graph[id].op, Conv) for id in graph) == 2
    assert list(graph.inputs) == ["x", "task", "gain"]


@pytest.mark.parametrize(
    ("values", "code", "words"),
    [
        ({"tusk": 1}, "E560", "did you mean `task`?"),
        ({"task": 3}, "E561", "takes 3"),
        ({"task": (1, 2)}, "E561", "takes 3"),
        ({"task": ((1, 2, 3),)}, "E561", "takes 3"),
        ({"gain": (1,)}, "E561", "takes one number"),
        ({"x": 1}, "E561", "pin it"),
    ],
)
def test_a_value_that_does_not_fit(values: dict[str, int], code: str, words: str) -> None:
    with pytest.raises(Failure) as failure:
        bind(network(EXPERTS), values)
    (found,) = failure.value.diagnostics
    assert found.code == code
    assert words in f"{found.title}; {found.help}"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("concat(axis=1) { x | task }", "E562"),
        ("task + 1, x", "E563"),
        ("x, task", "E563"),
    ],
)
def test_a_batch_that_is_needed(body: str, code: str) -> None:
    graph = network(f"repc 1\nmodel M(x: f32[b, 3], task: f32[b, 3]) {{\n  return {body}\n}}\n")
    with pytest.raises(Failure) as failure:
        bind(graph, {"task": 1})
    assert failure.value.diagnostics[0].code == code
