"""The model around the nodes: names, sizes, element types, provenance, and what is refused."""

from dataclasses import replace
from fractions import Fraction

import onnx
import pytest
import torch

from repc.backends.onnx import build, counts
from repc.backends.onnx.function import FORMS
from repc.backends.onnx.lowerings import LOWERINGS, WITHOUT
from repc.diagnostics import Failure
from repc.ir.dims import symbol
from repc.ops import (
    OPERATORS,
    AdaptiveAvgPool,
    Affine,
    Conv,
    Dropout,
    Expand,
    Fill,
    Function,
    GroupNorm,
    LayerNorm,
    Linear,
    Random,
    Reshape,
    RMSNorm,
    Sum,
)
from repc.ops.function import FUNCTIONS
from tests.backends.onnx.networks import Network, deviation, dims, execute, newest_runnable

NEWEST = onnx.defs.onnx_opset_version()


def repvgg(widths: tuple[int, ...], strides: tuple[int, ...], classes: int) -> Network:
    """A deployed RepVGG."""
    net = Network()
    x, before = net.input("image", "b", 3, "h", "w"), 3
    for i, (width, stride) in enumerate(zip(widths, strides, strict=True)):
        path = f"stage{i}.rbr_reparam"
        op = Conv((stride, stride), ((1, 1), (1, 1)), (1, 1))
        x = net.add_at(path, op, x, weight=(width, before, 3, 3), bias=(width,))
        x, before = net.add_at(f"stage{i}", Function("relu"), x), width
    x = net.add(AdaptiveAvgPool((1, 1)), x)
    x = net.add(Reshape((symbol("b"), before)), x)
    return net.output(net.add_at("linear", Linear(), x, weight=(classes, before), bias=(classes,)), "logits")


def repvgg_a0() -> Network:
    widths = (48, 48, 48, *[96] * 4, *[192] * 14, 1280)
    return repvgg(widths, tuple(2 if i in (0, 1, 3, 7, 21) else 1 for i in range(22)), 1000)


def small() -> Network:
    return repvgg((4, 6), (2, 1), 5)


def test_repvgg_a0_has_the_nodes_of_its_deployed_form() -> None:
    model = repvgg_a0().model()
    assert counts(model) == {"Conv": 22, "Gemm": 1, "ReduceMean": 1, "Relu": 22, "Reshape": 1}


@pytest.mark.parametrize("opset", [17, 18, newest_runnable()])
def test_free_sizes_are_free(opset: int) -> None:
    net = small()
    model = net.model(opset)
    for sizes in ({"b": 1, "h": 7, "w": 12}, {"b": 3, "h": 16, "w": 9}):
        assert deviation(net, model, net.inputs(sizes)) < 1e-5


@pytest.mark.parametrize("opset", range(13, NEWEST + 1))
def test_every_opset_passes_the_checker(opset: int) -> None:
    net = small()
    x = net.input("tokens", "b", "t", 6)
    for op in (LayerNorm(1, Fraction(1, 100)), RMSNorm(1, Fraction(1, 100))):
        x = net.add_at(op.name, op, x, weight=(6,))
    for name, attributes in FUNCTIONS.items():
        x = net.add(Function(name, tuple(map(Fraction, range(len(attributes))))), x)
    x = net.add(GroupNorm(2, Fraction(1, 100)), net.add(Reshape(dims(("b", 6, "t"))), x))
    net.output(net.add(Conv((1,), ((1, 1),), (1,), mode="circular"), x, weight=(1, 6, 3)), "z")
    model = net.model(opset)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == opset


def test_the_same_arguments_make_the_same_bytes() -> None:
    first, second = (small().model(spec="x", author="y") for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)


def test_values_and_nodes_are_called_as_in_the_spec() -> None:
    model = small().model()
    assert [node.name for node in model.graph.node] == [
        "stage0.rbr_reparam/conv",
        "stage0/relu",
        "stage1.rbr_reparam/conv",
        "stage1/relu",
        "adaptive_avg_pool",
        "reshape",
        "linear/linear",
    ]
    stored = small().values()
    assert [tensor.name for tensor in model.graph.initializer if tensor.name in stored] == [
        "stage0.rbr_reparam.weight",
        "stage0.rbr_reparam.bias",
        "stage1.rbr_reparam.weight",
        "stage1.rbr_reparam.bias",
        "linear.weight",
        "linear.bias",
    ]
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["image", "logits"]


def shape_text(value: onnx.ValueInfoProto) -> str:
    return " ".join(str(dim.dim_param or dim.dim_value) for dim in value.type.tensor_type.shape.dim)


def test_every_value_has_its_symbolic_type() -> None:
    graph = small().model().graph
    shapes = {value.name: shape_text(value) for value in (*graph.input, *graph.value_info, *graph.output)}
    h, w = symbol("h"), symbol("w")
    assert shapes["image"] == "b 3 h w"
    assert shapes["stage1/relu"] == f"b 6 {(h + 1) // 2} {(w + 1) // 2}"
    assert shapes["logits"] == "b 5"
    assert {name for node in graph.node for name in node.output} <= shapes.keys()


def test_the_checker_compares_the_types_with_its_own() -> None:
    """A shape that repc infers wrongly must not get out."""
    net = small()
    (id,) = net.graph.outputs.values()
    node = net.graph[id]
    net.graph.replace(id, replace(node, type=node.type.with_shape(dims(("b", 6)))))
    with pytest.raises(onnx.shape_inference.InferenceError, match="differ"):
        net.model()


def test_provenance_is_in_the_model_and_in_every_node() -> None:
    given = {"spec": "repvgg.rep", "weights_sha256": "9f3c"}
    model = build(small().graph, small().values(), metadata=given)
    assert model.producer_name == "repc"
    assert model.graph.name == "net"
    assert {entry.key: entry.value for entry in model.metadata_props} == {
        "spec": "repvgg.rep",
        "weights_sha256": "9f3c",
    }
    assert {node.doc_string for node in model.graph.node} == {"net.rep:2, net.rep:3"}


def test_integer_like_and_colliding_names_give_way_to_stored_tensors() -> None:
    net = Network()
    x = net.add(Affine(1), net.input("0", "b", 3), weight=(3,))
    y = net.add_at("weight/affine", Affine(1), net.input("weight", "b", 3), weight=(3,))
    net.output(x, "1").output(y, "2")
    model = net.model()
    assert [value.name for value in model.graph.input] == ["value_0", "weight.1"]
    assert [value.name for value in model.graph.output] == ["value_1", "value_2"]
    assert [tensor.name for tensor in model.graph.initializer] == ["weight", "weight/affine.weight"]


def test_outputs_without_a_node_of_their_own_are_copies() -> None:
    net = Network()
    x = net.input("x", "b", 3)
    y = net.add(Function("relu"), x)
    net.output(net.add(Dropout(0.5), x), "same").output(y, "a").output(net.add(Dropout(0.5), y), "b")
    net.output(net.add(Fill((2,), Fraction(1, 2))), "half")
    model = net.model()
    assert counts(model) == {"Identity": 3, "Relu": 1}
    found = execute(model, {"x": torch.tensor([[-1.0, 0.0, 2.0]])})
    assert {name: value.tolist() for name, value in found.items()} == {
        "same": [[-1, 0, 2]],
        "a": [[0, 0, 2]],
        "b": [[0, 0, 2]],
        "half": [0.5, 0.5],
    }


def test_a_dropped_identity_does_not_cost_its_output_a_copy() -> None:
    net = Network()
    y = net.add(Function("relu"), net.input("x", "b", 3))
    assert counts(net.output(net.add(Dropout(0.5), y)).model()) == {"Relu": 1}


def test_tied_weights_are_stored_once() -> None:
    net = Network()
    shared, x = net.weight("shared", 4, 4), net.input("x", "b", 4)
    net.output(net.add(Linear(), net.add(Linear(), x, weight=shared), weight=shared))
    assert [tensor.name for tensor in net.model().graph.initializer] == ["shared"]


def test_a_size_may_come_from_arithmetic_over_the_inputs() -> None:
    net = Network()
    net.output(net.input("x", "b", "t"), "same")
    b, t = symbol("b"), symbol("t")
    net.output(net.add(Expand((3 * b * ((t + 1) // 2) - t + 1, 2)), net.input("z", 1, 2)))
    model = net.model()
    for sizes in ({"b": 3, "t": 5}, {"b": 1, "t": 2}):
        assert deviation(net, model, net.inputs(sizes)) == 0


@pytest.mark.parametrize(("dtype", "limit"), [("f16", 1e-2), ("f32", 1e-6), ("f64", 1e-13)])
def test_the_compute_type_is_that_of_all_weights_and_constants(dtype: str, limit: float) -> None:
    net = Network()
    x = net.add_at("a", Linear(), net.input("x", "b", 4), weight=(4, 4), bias=(4,))
    x = net.add(LayerNorm(1, Fraction(1, 7)), x, weight=(4,))
    net.output(net.add(Sum((Fraction(1, 3), Fraction(2))), x, x))
    assert deviation(net, net.model(21, dtype), net.inputs({"b": 3}, dtype), dtype) < limit


def test_bfloat16_is_stored_as_it_is() -> None:
    net = small()
    model = net.model(22, "bf16")
    values = net.values("bf16")
    for tensor in (t for t in model.graph.initializer if t.name in values):
        assert tensor.data_type == onnx.TensorProto.BFLOAT16
        assert tensor.raw_data == values[tensor.name].view(torch.int16).numpy().tobytes()


def test_numpy_arrays_and_torch_tensors_make_the_same_model() -> None:
    net = small()
    arrays = {name: value.numpy() for name, value in net.values().items()}
    assert build(net.graph, arrays) == net.model()


def code_of(net: Network, **options: int | str) -> tuple[list[str], str]:
    with pytest.raises(Failure) as raised:
        net.model(**options)  # type: ignore[arg-type]
    return [diagnostic.code for diagnostic in raised.value.diagnostics], str(raised.value)


@pytest.mark.parametrize("opset", [12, NEWEST + 1])
def test_an_opset_out_of_range_is_refused(opset: int) -> None:
    assert code_of(small(), opset=opset) == (
        ["E710"],
        f"E710 no ONNX opset {opset} here; choose an opset from 13 to {NEWEST}",
    )


def test_a_type_that_the_opset_does_not_take_is_refused() -> None:
    codes, text = code_of(small(), dtype="bf16")
    assert codes == ["E711"]
    assert "opset 18 cannot express this model in bf16; choose a newer opset, or f32" in text


def test_all_operators_without_a_form_are_named_with_their_places() -> None:
    net = Network()
    for name in ("p", "q"):
        net.output(net.add(Random("uniform", (2,), 0, 1)), name)
    codes, text = code_of(net)
    assert codes == ["E712", "E712"]
    assert text.splitlines()[0].startswith("net.rep:2:1: E712 random has no ONNX form")


def test_a_size_that_no_value_shows_is_refused() -> None:
    net = Network()
    b = symbol("b")
    net.output(net.input("x", 2 * b), "same")
    net.output(net.add(Expand((3 * b, 2)), net.input("y", 1, 2)))
    codes, text = code_of(net)
    assert codes == ["E713"]
    assert "the size b cannot be computed at run time" in text


def test_every_operator_has_a_lowering_or_a_reason() -> None:
    without = [operator for operator, reason in WITHOUT if reason]
    assert sorted([*LOWERINGS, *without], key=lambda op: op.name) == sorted(OPERATORS, key=lambda op: op.name)


def test_every_function_has_a_form() -> None:
    assert FORMS.keys() == FUNCTIONS.keys()
