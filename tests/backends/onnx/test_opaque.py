"""Nodes of other ONNX models: carried through under new names."""

import onnx
import pytest
import torch
from onnx import TensorProto, helper

from repc.backends.onnx import operators, value_names
from repc.diagnostics import Failure
from repc.ir.dims import symbol
from repc.ir.expr import Param
from repc.ir.foreign import Hole, OnnxCall, TorchCall
from repc.ir.types import TensorType
from repc.ops import Function, Opaque
from tests.backends.onnx.networks import Network, deviation, execute

B = symbol("b")
VALUES, PLACES = TensorType((B, 3)), TensorType((B, 3), "i64")


def topk(opset: int = 13, domain: str = "") -> OnnxCall:
    node = helper.make_node("TopK", ["data", "k"], ["values", "places"], "original", axis=-1, domain=domain)
    return OnnxCall("TopK", domain, opset, node.SerializeToString(), ("data", "k"), ("f32", "i64"), (VALUES, PLACES))


def count(net: Network) -> Param:
    net.parameters["k"] = torch.tensor([3])
    return Param("k", TensorType((1,), "i64"))


def test_a_node_is_written_once_and_its_results_are_read_by_name() -> None:
    net = Network()
    call, k, x = topk(), count(net), net.input("x", "b", 7)
    places, values = (net.add_at("head", Opaque(call, i), x, **{"1": k}) for i in (1, 0))
    net.output(net.add(Function("relu"), values))
    net.output(places, "places")
    model = net.model()
    assert [node.op_type for node in model.graph.node] == ["TopK", "Relu"]
    assert model.graph.node[0].input == ["x", "k"]
    assert model.graph.node[0].output[1] == "places"
    assert "net.rep:2" in model.graph.node[0].doc_string
    assert deviation(net, model, net.inputs({"b": 4})) < 1e-6


def branch(net: Network) -> Network:
    """An If whose graphs read a value and a stored tensor from outside, and which call a value like one there."""
    inner = [helper.make_node("Mul", ["data", "factor"], ["x"]), helper.make_node("Neg", ["x"], ["result"])]
    outputs = [helper.make_tensor_value_info("result", TensorProto.FLOAT, None)]
    then = helper.make_graph(inner, "then", [], outputs)
    other = helper.make_graph([helper.make_node("Identity", ["data"], ["result"])], "else", [], outputs)
    node = helper.make_node("If", ["flag"], ["y"], then_branch=then, else_branch=other)
    names, kinds = ("flag", "data", "factor"), ("bool", "f32", "f32")
    call = OnnxCall("If", "", 16, node.SerializeToString(), names, kinds, (TensorType((B, 3)),))
    flag, x = net.input("flag", dtype="bool"), net.add(Function("tanh"), net.input("x", "b", 3))
    return net.output(net.add_at("cond", Opaque(call), flag, x, **{"2": net.weight("factor", 3)}))


def test_the_graphs_inside_a_node_read_the_new_names() -> None:
    net = branch(Network())
    model = net.model()
    assert [tensor.name for tensor in model.graph.initializer] == ["factor"]
    for flag in (True, False):
        inputs = net.inputs({"b": 2}) | {"flag": torch.tensor(flag)}
        x = torch.tanh(inputs["x"])
        expected = -x * net.values()["factor"] if flag else x
        assert torch.allclose(torch.from_numpy(execute(model, inputs)["y"]), expected, atol=1e-6)


def test_another_domain_is_imported() -> None:
    node = helper.make_node("QuickGelu", ["x"], ["y"], domain="com.microsoft", alpha=1.5)
    kind = TensorType((B, 3))
    call = OnnxCall("QuickGelu", "com.microsoft", 1, node.SerializeToString(), ("x",), ("f32",), (kind,))
    net = Network()
    model = net.output(net.add(Opaque(call), net.input("x", "b", 3))).model()
    assert {opset.domain: opset.version for opset in model.opset_import} == {"": 18, "com.microsoft": 1}
    onnx.checker.check_model(model)
    assert deviation(net, model, net.inputs({"b": 2})) < 1e-6


def test_an_operator_that_an_opset_has_changed_is_refused() -> None:
    """ReduceMax takes its axes as an attribute before opset 18, and as an input from there on."""
    node = helper.make_node("ReduceMax", ["x"], ["y"], axes=[1], keepdims=0)
    call = OnnxCall("ReduceMax", "", 13, node.SerializeToString(), ("x",), ("f32",), (TensorType((B,)),))
    net = Network()
    net.output(net.add(Opaque(call), net.input("x", "b", 3)))
    assert deviation(net, net.model(17), net.inputs({"b": 2})) < 1e-6
    with pytest.raises(Failure, match="E715 the opaque operator ReduceMax is of opset 13, and opset 18 has another"):
        net.model(18)
    assert operators(net.graph) == {"ReduceMax": 1}
    assert list(value_names(net.graph).values()) == ["x", "y"]


def test_all_calls_of_torch_are_refused_at_once() -> None:
    net = Network()
    x = net.input("x", "b", 3)
    for i, (target, path) in enumerate((("aten.erfinv.default", "a"), ("aten.sinc.default", ""))):
        call = TorchCall(target, (Hole(0),), ("f32",), (TensorType((B, 3)),))
        net.output(net.add_at(path, Opaque(call), x), f"y{i}")
    with pytest.raises(Failure, match=r"E714 ONNX has no form .* aten.erfinv.default, aten.sinc.default") as failure:
        net.model()
    (diagnostic,) = failure.value.diagnostics
    assert diagnostic.notes == (
        "opaque operator aten.erfinv.default at a",
        "opaque operator aten.sinc.default at the top",
    )
    assert operators(net.graph) == {"aten.erfinv.default": 1, "aten.sinc.default": 1}
