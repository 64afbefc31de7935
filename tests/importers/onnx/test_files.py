"""Files as they are found: their names, types, weights and versions, and what can be wrong with them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from repc.backends.onnx import counts
from repc.diagnostics import Failure
from repc.importers import import_onnx
from repc.ir.check import check
from repc.passes import fold
from tests.importers.onnx.files import distance, evaluated, execute, model, node, normal, positive
from tests.importers.onnx.test_meanings import opaque
from tests.importers.onnx.test_opaque import carried, folded

NORM = {"g": normal(4), "b": normal(4, seed=1), "m": normal(4, seed=2), "v": positive(4)}


def block(element: int = TensorProto.FLOAT, dtype: type = np.float32, **others: object) -> onnx.ModelProto:
    """Two branches of one input, which fold into one convolution; names as exporters write them."""
    weights = {"body.a.conv.weight": normal(4, 3, 3, 3), "body.b.weight": normal(4, 3, 1, 1)}
    weights |= {f"body.a.bn.{key}": value for key, value in NORM.items()}
    norm = [f"body.a.bn.{key}" for key in NORM]
    nodes = [
        node("Conv", ["input.1", "body.a.conv.weight"], ["11"], name="/body/a/conv/Conv", pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["11", *norm], ["12"], name="/body/a/bn/BatchNormalization"),
        node("Conv", ["input.1", "body.b.weight"], ["13"], name="/body/b/Conv"),
        node("Add", ["12", "13"], ["14"], name="/body/Add"),
        node("Relu", ["14"], ["15"], name="/body/act/Relu"),
        node("Sigmoid", ["15"], ["16"], name="/Sigmoid"),
    ]
    cast = {key: value.astype(dtype) for key, value in weights.items()}
    return model(
        nodes,
        {"input.1": ["batch", 3, "h", 5]},
        cast,
        ["16"],
        element=element,
        **others,  # pyright: ignore[reportArgumentType]
    )


X = {"input.1": normal(2, 3, 4, 5)}


def test_what_is_not_folded_keeps_its_name() -> None:
    imported, written = carried(block(), X)
    assert counts(written) == {"Conv": 1, "Relu": 1, "Sigmoid": 1}
    assert [value.name for value in (*written.graph.input, *written.graph.output)] == ["input.1", "16"]
    assert [list(n.output) for n in written.graph.node] == [["14"], ["15"], ["16"]]
    assert list(written.graph.node[0].input) == ["input.1", "body.a.conv.weight", "body.a.conv.bias"]
    assert written.graph.name == "net"
    assert [imported.graph[id].path for id in imported.graph] == [
        "", "body.a.conv", "body.a.bn", "body.b", "body", "body.act", "",
    ]  # fmt: skip
    assert set(imported.parameters) == {tensor.name for tensor in block().graph.initializer}


def test_a_node_points_at_its_line_in_a_listing_of_the_file() -> None:
    imported = import_onnx(block())
    (span,) = imported.graph[imported.graph.outputs["16"]].origin
    assert (str(span), span.text) == ("net:6:1", "16 = Sigmoid(15)  # /Sigmoid")


def test_the_scope_that_an_exporter_noted_is_the_path() -> None:
    made = model([node("Relu", ["x"], name="node_relu")], {"x": [2]})
    noted = {
        "pkg.torch.onnx.name_scopes": "['', 'layer1.0', 'layer1.0.act', 'relu']",
        "pkg.torch.onnx.stack_trace": 'File "a.py", line 3, in forward\nFile "net.py", line 12, in forward',
    }
    made.graph.node[0].metadata_props.extend(
        onnx.StringStringEntryProto(key=key, value=value) for key, value in noted.items()
    )
    made.ir_version = 10
    imported = import_onnx(made)
    relu = imported.graph[imported.graph.outputs["y"]]
    assert relu.path == "layer1.0.act"
    assert relu.origin[0].text == "y = Relu(x)  # node_relu net.py:12"


# ---------------------------------------------------------------- weights


def test_weights_that_a_file_computes_are_folded_with_the_rest() -> None:
    nodes = [
        node("Transpose", ["w"], ["turned"], perm=[1, 0, 2, 3]),
        node("Mul", ["turned", "s"], ["scaled"]),
        node("Constant", [], ["c"], value=numpy_helper.from_array(normal(4, 3, 1, 1), "")),
        node("Add", ["scaled", "c"], ["k"]),
        node("Conv", ["x", "k"]),
    ]
    weights = {"w": normal(3, 4, 1, 1), "s": normal(4, 1, 1, 1)}
    imported, written = carried(model(nodes, {"x": ["b", 3, 5, 4]}, weights), {"x": normal(2, 3, 5, 4)})
    assert counts(written) == {"Conv": 1}
    assert imported.constants == {"c"}


def test_what_is_constant_is_computed_while_reading() -> None:
    nodes = [
        node("Constant", [], ["n"], value_int=16),
        node("Cast", ["n"], ["r"], to=TensorProto.FLOAT),
        node("Sqrt", ["r"], ["root"]),
        node("Range", ["zero", "n", "one"], ["places"]),
        node("Div", ["x", "root"], ["d"]),
        node("Gather", ["d", "places"], axis=1),
    ]
    made = model(nodes, {"x": ["b", 16]}, {"zero": np.array(0), "one": np.array(1)})
    imported, written = carried(made, {"x": normal(2, 16)})
    assert counts(written) == {"Div": 1}
    assert not imported.parameters


def test_a_file_whose_exporter_has_folded_the_norms() -> None:
    nodes = [node("Conv", ["x", "onnx::Conv_1", "onnx::Conv_2"], ["a"]), node("Conv", ["x", "onnx::Conv_3"], ["b"]),
             node("Add", ["a", "b"])]  # fmt: skip
    weights = {
        "onnx::Conv_1": normal(4, 3, 1, 1),
        "onnx::Conv_2": normal(4),
        "onnx::Conv_3": normal(4, 3, 1, 1, seed=1),
    }
    _, written = carried(model(nodes, {"x": ["b", 3, 5, 4]}, weights), {"x": normal(2, 3, 5, 4)})
    assert counts(written) == {"Conv": 1}


def test_a_vector_that_an_exporter_stored_once_is_no_tie() -> None:
    """torch.onnx stores equal tensors once, such as two biases of zeros."""
    nodes = [
        node("Gemm", ["x", "w", "c"], ["a"], transB=1),
        node("BatchNormalization", ["a", "g", "b", "m", "v"], ["n"]),
        node("Gemm", ["x", "u", "c"], ["d"], transB=1),
    ]
    weights = NORM | {"w": normal(4, 6), "u": normal(4, 6, seed=1), "c": normal(4, seed=5)}
    _, written = carried(model(nodes, {"x": ["b", 6]}, weights, ["n", "d"]), {"x": normal(3, 6)})
    assert counts(written) == {"Gemm": 2}
    assert {tensor.name for tensor in written.graph.initializer} > {"u", "c"}


def test_a_weight_among_the_inputs_is_a_weight() -> None:
    made = block()
    made.graph.input.extend(helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in made.graph.initializer)
    made.ir_version = 3
    assert list(import_onnx(made).graph.inputs) == ["input.1"]


def test_an_output_that_is_an_input_or_a_weight() -> None:
    made = model([node("Identity", ["x"], ["same"])], {"x": [2, 3]}, {"w": normal(3)}, ["same", "w", "x"])
    imported = import_onnx(made)
    check(imported.graph)
    written = folded(imported)
    x = normal(2, 3)
    for ours, theirs in zip(execute(written, {"x": x}), (x, normal(3), x), strict=True):
        assert np.array_equal(ours, theirs)


# ---------------------------------------------------------------- types and versions


@pytest.mark.parametrize(
    ("element", "dtype", "name"), [(TensorProto.FLOAT16, np.float16, "f16"), (TensorProto.DOUBLE, np.float64, "f64")]
)
def test_a_file_of_another_type_computes_and_folds_in_it(element: int, dtype: type, name: str) -> None:
    made = block(element, dtype)
    imported = import_onnx(made)
    assert imported.dtype == name
    from repc.backends.onnx import build
    from repc.evaluate.stored import deployed

    graph, _ = fold(imported.graph)
    written = build(graph, deployed(graph, imported.parameters, torch.from_numpy(np.zeros(1, dtype)).dtype), dtype=name)
    assert counts(written) == {"Conv": 1, "Relu": 1, "Sigmoid": 1}
    assert {tensor.data_type for tensor in written.graph.initializer} == {element}
    if name == "f64":
        return  # ONNX Runtime convolves in no such type
    given = {"input.1": X["input.1"].astype(dtype)}
    (exact,) = evaluated(imported, given)
    assert distance(exact, execute(written, given)[0]) < 5e-3


def test_a_file_that_mixes_types_keeps_them() -> None:
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Cast", ["a"], ["h"], to=TensorProto.FLOAT16),
        node("Mul", ["h", "s"], ["m"]),
        node("Cast", ["m"], ["y"], to=TensorProto.FLOAT),
    ]
    made = model(nodes, {"x": ["b", 3, 5, 4]}, {"w": normal(4, 3, 1, 1), "s": normal(4, 1, 1, dtype=np.float16)})
    imported = import_onnx(made)
    assert (imported.dtype, opaque(imported)) == ("f32", [])
    written = folded(imported)
    assert counts(written) == {"Cast": 2, "Conv": 1, "Mul": 1}
    x = {"x": normal(2, 3, 5, 4)}
    assert distance(torch.as_tensor(execute(written, x)[0]), execute(made, x)[0]) == 0


def test_functions_of_the_file_are_inlined() -> None:
    function = helper.make_function(
        "mine", "Square", ["a"], ["b"], [node("Mul", ["a", "a"], ["b"])], [helper.make_opsetid("", 18)]
    )
    made = model([node("Square", ["x"], domain="mine")], {"x": [2, 3]}, functions=[function], domains={"mine": 1})
    imported, written = carried(made, {"x": normal(2, 3)})
    assert not opaque(imported)
    assert counts(written) == {"Mul": 1}


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 17, 21])
def test_opsets(opset: int) -> None:
    imported = import_onnx(block(opset=opset))
    assert (imported.opset, opaque(imported)) == (opset, [])


# ---------------------------------------------------------------- disk


def test_tensors_beside_the_file_are_read(tmp_path: Path) -> None:
    made = block()
    onnx.save_model(made, str(tmp_path / "net.onnx"), save_as_external_data=True, location="net.data", size_threshold=0)
    imported = import_onnx(tmp_path / "net.onnx")
    assert torch.equal(imported.parameters["body.b.weight"], torch.as_tensor(normal(4, 3, 1, 1)))
    (tmp_path / "net.data").unlink()
    with pytest.raises(Failure, match=r"E542 .*refers to tensors that cannot be read"):
        import_onnx(tmp_path / "net.onnx")


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def invalid(data: bytes) -> bytes:
    made = onnx.ModelProto.FromString(data)
    made.graph.node[0].input[0] = "nowhere"
    return made.SerializeToString()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (truncated, "E541 .*: it is no protocol buffer, or not a whole one"),
        (lambda _: b"", "E541 .*: it has no graph"),
        (lambda _: b"version https://git-lfs.github.com/spec/v1\n", "E541 .*git-lfs"),
        (lambda _: b"<html>", "E541 "),
        (invalid, "E543 .*not a valid ONNX model"),
    ],
)
def test_files_that_are_no_models(tmp_path: Path, change: Callable[[bytes], bytes], message: str) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(change(block().SerializeToString()))
    with pytest.raises(Failure, match=message):
        import_onnx(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"E540 cannot read .*: no such file or directory; check the path"):
        import_onnx(tmp_path / "gone.onnx")


@pytest.mark.parametrize("what", ["no shape", "strings"])
def test_an_input_without_a_type_that_repc_has_is_refused(what: str) -> None:
    made = model([node("Identity", ["x"])], {"x": [2]})
    given = made.graph.input[0].type.tensor_type
    if what == "strings":
        given.elem_type = TensorProto.STRING
    else:
        given.ClearField("shape")
    with pytest.raises(Failure, match="E544 the type of x is not known"):
        import_onnx(made)
