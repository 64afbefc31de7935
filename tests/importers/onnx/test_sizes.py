"""Sizes that files compute at run time are known while reading, and what was free stays free."""

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from repc.backends.onnx import counts
from repc.diagnostics import Failure
from repc.importers import import_onnx
from repc.ir.types import TensorType
from tests.importers.onnx.files import distance, evaluated, execute, model, node, normal
from tests.importers.onnx.test_meanings import opaque
from tests.importers.onnx.test_opaque import carried, folded

INDICES = {
    "zero": np.array(0),
    "one": np.array([1]),
    "two": np.array(2),
    "minus": np.array([-1]),
    "axis": np.array([0]),
}


def type_of(made: onnx.ModelProto, name: str = "y") -> TensorType:
    imported = import_onnx(made)
    assert not opaque(imported), imported.notes
    return imported.graph[imported.graph.outputs[name]].type


def chain(*nodes: onnx.NodeProto, shape: Sequence[int | str] = ("b", 6, "h", "w"), opset: int = 18) -> onnx.ModelProto:
    return model([node("Shape", ["x"], ["s"]), *nodes], {"x": shape}, INDICES, opset=opset)


def test_a_batch_that_is_read_off_and_put_back() -> None:
    made = chain(
        node("Gather", ["s", "zero"], ["b0"]),
        node("Unsqueeze", ["b0", "axis"], ["b1"]),
        node("Concat", ["b1", "minus"], ["wanted"], axis=0),
        node("Reshape", ["x", "wanted"]),
    )
    assert str(type_of(made)) == "f32[b, 6*h*w]"
    _, written = carried(made, {"x": normal(2, 6, 3, 5)})
    assert counts(written) == {"Reshape": 1}


@pytest.mark.parametrize(
    ("op_type", "wanted"),
    [("Add", "h + w"), ("Sub", "h - w"), ("Mul", "h*w")],
)
def test_arithmetic_on_free_sizes(op_type: str, wanted: str) -> None:
    made = chain(
        node("Gather", ["s", "two"], ["h0"]),
        node("Gather", ["s", "three"], ["w0"]),
        node(op_type, ["h0", "w0"], ["n"]),
        node("Unsqueeze", ["n", "axis"], ["n1"]),
        node("Concat", ["n1", "six"], ["wanted"], axis=0),
        node("Expand", ["k", "wanted"]),
    )
    made.graph.initializer.extend(
        [
            onnx.numpy_helper.from_array(np.array(3), "three"),
            onnx.numpy_helper.from_array(np.array([6]), "six"),
            onnx.numpy_helper.from_array(normal(1, 6), "k"),
        ]
    )
    assert str(type_of(made)) == f"f32[{wanted}, 6]"


def test_windows_of_a_free_size() -> None:
    """As a window attention cuts its input up: h = 4·(h/4)."""
    made = chain(
        node("Slice", ["s", "two1", "three1"], ["h0"]),
        node("Div", ["h0", "four"], ["n"]),
        node("Concat", ["first", "n", "four", "last"], ["wanted"], axis=0),
        node("Reshape", ["x", "wanted"]),
        shape=("b", 6, 8, "w"),
    )
    constants = {"two1": [2], "three1": [3], "four": [4], "first": [0, 0], "last": [-1]}
    made.graph.initializer.extend(onnx.numpy_helper.from_array(np.array(v), k) for k, v in constants.items())
    assert str(type_of(made)) == "f32[b, 6, 2, 4, w]"


def test_a_choice_between_sizes_that_is_the_same_for_all_inputs() -> None:
    """As exporters write expand(-1, ...): where the wanted size is -1, one."""
    made = chain(
        node("Gather", ["s", "zero"], ["b0"]),
        node("Unsqueeze", ["b0", "axis"], ["b1"]),
        node("Concat", ["b1", "minus"], ["given"], axis=0),
        node("Equal", ["given", "minus"], ["open"]),
        node("Where", ["open", "one", "given"], ["wanted"]),
        node("Expand", ["k", "wanted"]),
    )
    made.graph.initializer.append(onnx.numpy_helper.from_array(normal(1, 6), "k"))
    assert str(type_of(made)) == "f32[b, 6]"


def test_a_size_that_is_needed_as_a_value_is_computed_as_before() -> None:
    made = chain(
        node("Gather", ["s", "two"], ["h0"]),
        node("Cast", ["h0"], ["height"], to=TensorProto.FLOAT),
        node("Div", ["x", "height"]),
    )
    imported, written = carried(made, {"x": normal(2, 6, 3, 5)})
    assert opaque(imported) == ["Shape", "Gather"]
    assert counts(written) == {"Cast": 1, "Div": 1, "Gather": 1, "Shape": 1}


def test_sizes_that_only_the_data_decide() -> None:
    made = model(
        [
            node("NonZero", ["x"], ["places"]),
            node("Transpose", ["places"], ["rows"]),
            node("Cast", ["rows"], ["real"], to=TensorProto.FLOAT),
            node("Reshape", ["real", "flat"]),
        ],
        {"x": ["b", 4]},
        {"flat": np.array([-1])},
    )
    x = np.maximum(normal(3, 4), 0)
    imported, _ = carried(made, {"x": x})
    assert str(imported.graph[imported.graph.outputs["y"]].type) == "f32[2*places_1]"


def test_free_sizes_keep_their_names_and_what_has_none_gets_one() -> None:
    made = model([node("Relu", ["x"])], {"x": ["batch_size", None, 4]})
    imported = import_onnx(made)
    assert str(imported.graph[imported.graph.inputs["x"]].type) == "f32[batch_size, x_1, 4]"
    dims = folded(imported).graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == ["batch_size", "x_1", 4]


def test_a_size_is_pinned_by_its_name() -> None:
    made = model([node("Squeeze", ["x"])], {"x": ["b", 3]})
    assert opaque(import_onnx(made)) == ["Squeeze"]
    imported = import_onnx(made, {"b": 1})
    assert str(imported.graph[imported.graph.outputs["y"]].type) == "f32[3]"
    with pytest.raises(Failure, match="E545 no input has a free size batch; the free sizes are b"):
        import_onnx(made, {"batch": 1})


def test_a_sequence_is_the_tensors_that_were_put_in() -> None:
    nodes = [
        node("SplitToSequence", ["x", "sizes"], ["parts"], axis=1),
        node("SequenceAt", ["parts", "zero"], ["a"]),
        node("SequenceAt", ["parts", "last"], ["c"]),
        node("Mul", ["a", "c"]),
    ]
    weights = {"sizes": np.array([2, 3, 2]), "zero": np.array(0), "last": np.array(-1)}
    made = model(nodes, {"x": ["b", 7]}, weights)
    x = {"x": normal(3, 7)}
    imported = import_onnx(made)
    assert not opaque(imported)
    (ours,), (theirs,) = evaluated(imported, x), execute(made, x)
    assert distance(ours, theirs) < 1e-6


def test_a_size_beyond_repcs_algebra_leaves_the_node_opaque() -> None:
    nodes = [node("Reshape", ["x", "a"], ["r"]), node("Relu", ["r"])]
    made = model(nodes, {"x": ["b", 3]}, {"a": np.array([-1, 2])})
    made.graph.value_info.append(helper.make_tensor_value_info("r", TensorProto.FLOAT, ["n", 2]))
    imported, _ = carried(made, {"x": normal(4, 3)})
    assert imported.notes == (
        "1 Reshape stays opaque: the size left open is not known to be whole: f32[b, 3] as ['-1', '2']",
    )
    assert str(imported.graph[imported.graph.outputs["y"]].type) == "f32[n, 2]"
