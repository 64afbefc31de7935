"""Opaque calls in the language: what is written is what is called."""

from __future__ import annotations

from base64 import b64encode

import pytest

from repc.diagnostics import Failure, Source
from repc.ir.dims import symbol
from repc.ir.foreign import Dtype, Hole, Named, OnnxCall, TorchCall
from repc.ir.graph import Graph
from repc.ir.types import TensorType
from repc.ops import Opaque
from repc.semantics import FileLibrary, elaborate, load
from repc.syntax.printer import format_text

B = symbol("b")


def network(body: str) -> Graph:
    source = Source("m.rep", f"repc 1\n\nmodel M(x: f32[b, 8], y: i64[b]) {{\n{body}\n}}\n")
    assert format_text(source) == source.text
    return elaborate(load(source, FileLibrary()), "M")


def calls(graph: Graph) -> list[Opaque]:
    return [op for op in (graph[id].op for id in graph) if isinstance(op, Opaque)]


def test_arguments_are_plain_data_with_holes_for_tensors() -> None:
    graph = network(
        """\
  weight w: [8] = zeros
  let z = opaque(
    "aten.thing.default",
    [x, w, x],
    5,
    2.0,
    -0.5,
    1 / 4,
    b // 2,
    true,
    none,
    "inf",
    "mode",
    "f16",
    "torch.strided",
    "like.device",
    [[1], y],
    alpha=[b],
  ) -> f32[b, 8]
  return z"""
    )
    (op,) = calls(graph)
    call = op.call
    assert isinstance(call, TorchCall)
    assert call.target == "aten.thing.default"
    expected = (
        (Hole(0), Hole(1), Hole(0)),
        *(5, 2.0, -0.5, 0.25, B // 2, True, None, float("inf"), "mode"),
        *(Dtype("f16"), Named("torch.strided"), Named("like.device"), ((1,), Hole(2))),
    )
    assert call.args == expected
    assert [type(value) for value in call.args] == [type(value) for value in expected]
    assert call.keywords == {"alpha": (B,)}
    assert (call.operands, call.types) == (("f32", "f32", "i64"), (TensorType((B, 8)),))
    (id,) = graph.outputs.values()
    assert list(graph[id].weights) == ["1"]


def test_a_call_with_several_results_is_one() -> None:
    graph = network('  return opaque("aten.topk.default", x, 3) -> (f32[b, 3], i64[b, 3])')
    first, second = calls(graph)
    assert first.call is second.call
    assert [str(graph[id].type) for id in graph.outputs.values()] == ["f32[b, 3]", "i64[b, 3]"]


def test_a_node_of_onnx() -> None:
    node = b64encode(bytes([0, 255, 7])).decode()
    graph = network(
        f"""\
  let z = opaque("com.me.Thing", y, x, node="{node}", opset=3, names=["idx", "data"]) -> f32[]
  return z"""
    )
    (op,) = calls(graph)
    call = op.call
    assert isinstance(call, OnnxCall)
    assert (call.op_type, call.domain, call.opset, call.node) == ("Thing", "com.me", 3, bytes([0, 255, 7]))
    assert (call.names, call.operands, call.target) == (("idx", "data"), ("i64", "f32"), "com.me.Thing")


def test_a_label_is_the_path() -> None:
    graph = network('  return (head: opaque("aten.erf.default", x) -> f32[b, 8])')
    (id,) = graph.outputs.values()
    assert graph[id].path == "head"


@pytest.mark.parametrize(
    "target",
    ["torch.load", "torch.hub.load", "load_library", "torch.ops.load_library", "os.system", "torch.jit.load", ""],
)
def test_a_spec_runs_no_functions_of_python(target: str) -> None:
    with pytest.raises(Failure, match="E277"):
        network(f'  return opaque("{target}", x) -> f32[b, 8]')


@pytest.mark.parametrize("target", ["aten.erf.default", "torchvision.nms.default", "torch.nn.functional.grid_sample"])
def test_operators_of_torch_may_be_named(target: str) -> None:
    (op,) = calls(network(f'  return opaque("{target}", x) -> f32[b, 8]'))
    assert op.call.target == target


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("  return opaque", "E275"),
        ("  return x >> opaque", "E275"),
        ('  return opaque("aten.erf.default", x)', "E275"),
        ("  return relu(x) -> f32[b, 8]", "E276"),
        ("  return opaque(x) -> f32[b, 8]", "E277"),
        ('  return opaque("aten.erf.default", x, zeros) -> f32[b, 8]', "E251|E24"),
        ('  return opaque("aten.erf.default", x) -> f33[b, 8]', "unknown element type|E3"),
        ('  return opaque("aten.erf.default", x) -> f32[q, 8]', "E201"),
        ('  return opaque("aten.erf.default", q) -> f32[b, 8]', "E201"),
        ('  return opaque("A", x, node="?", opset=1, names=["x"]) -> f32[b, 8]', "E278"),
        ('  return opaque("A", x, node="AA==", opset=1, names=[]) -> f32[b, 8]', "E278"),
        ('  return opaque("A", x, node="AA==", names=["x"]) -> f32[b, 8]', "E278"),
    ],
)
def test_what_does_not_say_enough_is_refused(body: str, code: str) -> None:
    with pytest.raises(Failure, match=code):
        network(body)
