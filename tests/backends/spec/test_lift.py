"""The law of lifting: elaborating the text of a graph gives the graph back."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

import repc
from repc.diagnostics import Source
from repc.ir.dims import symbol
from repc.ir.expr import Param, apply
from repc.ir.graph import Graph
from repc.ir.node import Node, Parameter
from repc.ir.paths import Pattern
from repc.ir.types import TensorType
from repc.ops import Conv, Fill, Function, Input, Reshape
from repc.semantics import FileLibrary, elaborate, load
from tests.backends.spec.networks import SPAN, ZERO, again, networks
from tests.specs.methods import CASES, spec

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUICK
@given(networks())
def test_any_network_comes_back(graph: Graph) -> None:
    again(graph)


@QUICK
@given(networks())
def test_any_network_comes_back_whatever_its_classes_are_called(graph: Graph) -> None:
    """Names of functions and of blocks of specs/std among them."""
    again(
        graph, {"a": "Conv", "a.b": "relu", "blocks.0": "Sequential", "blocks.1": "x", "s.0": "ones", "s.0.0": "Conv"}
    )


@pytest.mark.parametrize(
    ("model", "lines"),
    [
        ("repvgg/RepVGG_A0", 31),
        ("mobileone/MobileOne_S4", 96),
        ("repmlpnet/RepMLPNet_T224", 53),
        ("fastvit/FastViT_T8", 75),
        ("repghostnet/RepGhostNet_100", 105),
        ("repvit/RepViT_M0_9", 84),
        ("unireplknet/UniRepLKNet_T", 110),
        ("tuned/RepVGG_A0_tuned", 47),
    ],
)
def test_shipped_models_come_back(model: str, lines: int) -> None:
    """As short as the structure that is found again lets them be."""
    lifted = again(repc.load(f"repc:{model}").graph)
    assert lifted.lines <= lines


@pytest.mark.parametrize(
    "case", ["lokr", "boft", "randlora", "vblora", "shira", "fourierft", "lora-pissa", "lora-olora"]
)
def test_weights_that_are_computed_come_back(case: str) -> None:
    again(elaborate(load(Source("adapted.rep", spec(case)), FileLibrary()), "Adapted"))


def test_a_case_of_each_kind_of_adapter_is_tried() -> None:
    assert {"lokr", "boft", "randlora", "vblora", "shira", "fourierft", "lora-pissa", "lora-olora"} <= CASES.keys()


SMALL = """\
repc 1
import std.conv

block Branchy<co, stride>(x: [b, c, h, w]) =
  sum as folded {
      many: x >> Conv(co, 3, stride=stride, pad=1) for i in 0..3
    | one: x >> Conv(co, 1, stride=stride)
  }

block Stage<co>(x: [b, c, h, w]) =
  x >> repeat i in 0..3 { {i}: Branchy(co, stride = if i == 0 then 2 else 1) }

block Gate(x: [b, c, h, w]) = x * (x >> mean(axis=[2, 3], keep=true) >> fc: Conv(c) >> Sigmoid())

model Net(image: f32[b, 3, h, w], other: f32[b, 16]) {
  require h % 4 == 0
  weight table as "head.table": [16, 16] = normal(0, 0.02)
  let y = image >> stem: Conv(8, 7, stride=2, pad=3) >> stages.0: Stage(8) >> stages.1: Stage(16) >> gate: Gate()
  let pooled = y >> GlobalAvgPool()
  let (first, second) = split(pooled @ table, 2)
  let logits = (concat { second | first }) - 0.5 * other >> head: Linear(5, bias=false)
  return logits, y
}
"""

LIFTED = """\
repc 1
import std.conv

block Stage<co, stride = 1>(x: [b, c, h, w]) =
  sum as folded {
      many: x >> Conv(co, 3, stride=stride, pad=1) for i in 0..3
    | one: x >> Conv(co, stride=stride)
  }

block Gate(x: [b, c, h, w]) = x * (x >> mean(axis=[2, 3], keep=true) >> fc: Conv(16) >> Sigmoid())

model Net(image: f32[b, 3, h, w], other: f32[b, 16]) {
  require h % 4 == 0
  weight head_table as "head.table": [16, 16] = normal(0, 0.02)
  let gate = image
    >> stem: Conv(8, 7, stride=2, pad=3)
    >> stages.0: repeat i in 0..3 { Stage(8, stride = if i == 0 then 2 else 1) }
    >> stages.1: repeat i in 0..3 { Stage(16, stride = if i == 0 then 2 else 1) }
    >> gate: Gate()
  let (y2, y3) = (gate >> GlobalAvgPool()) @ head_table >> split(2)
  let logits = concat { y3 | y2 } - other * 0.5 >> head: Linear(5, bias=false)
  let y = gate
  return logits, y
}
"""


def test_the_text_is_what_a_person_would_write() -> None:
    graph = elaborate(load(Source("net.rep", SMALL), FileLibrary()), "Net")
    lifted = again(graph)
    assert (lifted.blocks, lifted.repeats, lifted.opaque) == (2, 3, 0)
    assert lifted.text == LIFTED


def test_importers_may_call_things_as_they_like() -> None:
    """What no spec can say is replaced; keys of parameters stay."""
    graph = Graph("main graph/1")
    n, x = symbol("N + 1"), symbol("x")
    type = TensorType((n, 4, x))
    graph.inputs["x"] = graph.add(Node(Input("x", type), (), {}, type, "", (SPAN,)))
    weight, bias = Param("onnx::Conv_12", TensorType((4, 4, 1))), Param("a-b.bias", TensorType((4,)))
    for param in (weight, bias):
        init = apply(Fill(param.type.concrete(), ZERO))
        graph.parameters[param.path] = Parameter(param.path, param.type, init, False, True, SPAN)
    op = Conv((1,), ((0, 0),), (1,))
    conv = graph.add(
        Node(
            op,
            (0,),
            {"weight": weight, "bias": bias},
            op.infer({"x": type, "weight": weight.type, "bias": bias.type}),
            "/a-b/Conv",
            (SPAN,),
        )
    )
    graph.outputs["12"] = graph.add(Node(Function("relu"), (conv,), {}, graph[conv].type, "if", (SPAN,)))
    graph.outputs["relu"] = graph.add(Node(Reshape((n * 4 * x,)), (conv,), {}, TensorType((n * 4 * x,)), "", (SPAN,)))
    lifted = again(graph)
    assert list(lifted.graph.inputs) == ["x"]
    assert list(lifted.graph.outputs) == ["_12", "relu"]
    assert list(lifted.graph.parameters) == ["onnx::Conv_12", "a-b.bias"]
    assert "model MainGraph1(x: f32[N___1, 4, x2])" in lifted.text
    assert 'weight onnx__Conv_12 as "onnx::Conv_12"' in lifted.text


def test_blocks_are_named_after_classes() -> None:
    graph = elaborate(load(Source("net.rep", SMALL), FileLibrary()), "Net")
    classes = {"gate": "SqueezeExcite", "stages.0": "ModuleList", "stages.1": "ModuleList"}
    classes |= {f"stages.{i}.{j}": "RepBlock" if i else "my_block" for i in range(2) for j in range(3)}
    text = again(graph, classes).text
    names = [line.split()[1] for line in text.splitlines() if line.startswith("block")]
    assert [name.partition("<")[0].partition("(")[0] for name in names] == ["MyBlock", "RepBlock", "SqueezeExcite"]


def test_patterns_of_the_original_match_the_lifted_spec() -> None:
    """Labels are the keys, so that what attaches to a model attaches to its spec."""
    graph = elaborate(load(Source("net.rep", SMALL), FileLibrary()), "Net")
    lifted = again(graph)
    module = load(Source("lifted.rep", lifted.text), FileLibrary())
    pattern = Pattern("stages.*.*.many.*.weight")
    found = [path for path in elaborate(module, "Net").parameters if pattern.matches(path)]
    assert len(found) == 18
