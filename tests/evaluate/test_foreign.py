"""Calls that repc does not know are made where they come from."""

import torch
from onnx import TensorProto, helper

from repc.evaluate.floating import TorchField
from repc.evaluate.foreign import results
from repc.ir.foreign import DEVICE, Dtype, Hole, Named, OnnxCall, TorchCall
from repc.ir.types import TensorType

X = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
REAL, WHOLE = TensorType((3, 2)), TensorType((3, 2), "i64")


def test_the_compute_type_stands_for_f32_in_operands_arguments_and_results() -> None:
    zeros = TorchCall("aten.zeros.default", ((2,),), (), (REAL,), {"dtype": Dtype("f32"), "device": DEVICE})
    whole = TorchCall("torch.full", ((2,), 3), (), (WHOLE,), {"dtype": Dtype("i64"), "layout": Named("torch.strided")})
    for compute in (torch.float64, torch.float16):
        assert results(zeros, [], compute)[0].dtype == compute
        assert results(whole, [], compute)[0].dtype == torch.int64
    given = TorchCall("torch.take", (Hole(0), Hole(1)), ("f32", "i64"), (REAL,))
    (taken,) = results(given, [X, torch.tensor([1.0, 0.0]).double()], torch.float32)
    assert taken.dtype == torch.float32
    assert torch.equal(taken, X.float().flatten()[[1, 0]])


def test_a_call_with_several_results_is_made_once_for_all_of_them() -> None:
    """A random one would not fit together otherwise."""
    call = TorchCall("aten.native_dropout.default", (Hole(0), 0.5, True), ("f32",), (REAL, TensorType((3, 2), "bool")))
    field = TorchField()
    kept, mask = (field.opaque(call, i, [X]) for i in (0, 1))
    assert torch.equal(kept != 0, mask)
    other = X + 1
    assert not torch.equal(field.opaque(call, 0, [other]), kept)


def onnx_call(op_type: str, domain: str, opset: int, operands: tuple[str, ...], types: tuple, **attributes) -> OnnxCall:
    names = tuple("abc"[: len(operands)])
    node = helper.make_node(op_type, names, [f"y{i}" for i in range(len(types))], domain=domain, **attributes)
    return OnnxCall(op_type, domain, opset, node.SerializeToString(), names, operands, types)


def test_an_onnx_node_is_computed_in_the_type_of_its_operands() -> None:
    call = onnx_call("TopK", "", 13, ("f32", "i64"), (REAL, WHOLE), axis=-1)
    values, places = results(call, [X, torch.tensor([2])], torch.float64)
    expected = X.topk(2, -1)
    assert torch.equal(values, expected.values)
    assert torch.equal(places, expected.indices)


def test_what_the_reference_does_not_know_is_left_to_the_runtime() -> None:
    call = onnx_call("QuickGelu", "com.microsoft", 1, ("f32",), (REAL,), alpha=1.5)
    (found,) = results(call, [X], torch.float64)
    assert found.dtype == torch.float64
    assert torch.allclose(found, X * torch.sigmoid(1.5 * X), rtol=1e-5, atol=1e-6)


def test_missing_inputs_and_outputs_have_no_place() -> None:
    node = helper.make_node("Clip", ["x", "", "top"], ["y"])
    call = OnnxCall("Clip", "", 13, node.SerializeToString(), ("x", "top"), ("f32", "f32"), (REAL,))
    (found,) = results(call, [X, torch.tensor(0.25, dtype=torch.float64)], torch.float64)
    assert torch.equal(found, X.clamp(max=0.25))


def test_an_onnx_node_may_read_from_outside_of_its_graphs() -> None:
    add = helper.make_graph(
        [helper.make_node("Add", ["data", "data"], ["sum"])],
        "then",
        [],
        [helper.make_tensor_value_info("sum", TensorProto.DOUBLE, None)],
    )
    same = helper.make_graph(
        [helper.make_node("Identity", ["data"], ["same"])],
        "else",
        [],
        [helper.make_tensor_value_info("same", TensorProto.DOUBLE, None)],
    )
    node = helper.make_node("If", ["flag"], ["y"], then_branch=add, else_branch=same)
    call = OnnxCall("If", "", 13, node.SerializeToString(), ("flag", "data"), ("bool", "f32"), (REAL,))
    for flag in (True, False):
        assert torch.equal(results(call, [torch.tensor(flag), X], torch.float64)[0], X * (2 if flag else 1))
