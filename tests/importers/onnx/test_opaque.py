"""What repc has no meaning for is carried through: whole, with its names, and written as it was."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from repc.backends.onnx import build, counts
from repc.diagnostics import Failure
from repc.evaluate.stored import deployed
from repc.importers import Imported, import_onnx
from repc.ir.check import check
from repc.passes import fold
from tests.importers.onnx.files import distance, evaluated, execute, model, node, normal, positive
from tests.importers.onnx.test_meanings import opaque

Array = np.ndarray


def folded(imported: Imported, opset: int = 18) -> onnx.ModelProto:
    """The file that comes of a fold."""
    graph, _ = fold(imported.graph)
    return build(graph, deployed(graph, imported.parameters, torch.float32), opset=opset, dtype=imported.dtype)


def carried(made: onnx.ModelProto, inputs: Mapping[str, Array], *, opset: int = 18) -> tuple[Imported, onnx.ModelProto]:
    """The graph and the folded file of a model, which give what the model gives."""
    imported = import_onnx(made)
    check(imported.graph)
    written = folded(imported, opset)
    wanted = execute(made, inputs)
    for ours, theirs, again in zip(evaluated(imported, inputs), wanted, execute(written, inputs), strict=True):
        assert distance(ours, theirs) < 1e-5
        assert distance(torch.as_tensor(again), theirs) < 1e-5
    return imported, written


def conv(x: str, y: str, w: str = "w") -> onnx.NodeProto:
    return node("Conv", [x, w], [y], name=f"/{y}/Conv")


WEIGHTS = {"w": normal(3, 3, 1, 1)}
X = {"x": normal(2, 3, 5, 4)}


# ---------------------------------------------------------------- reasons


@pytest.mark.parametrize(
    ("op_type", "inputs", "attributes", "opset", "reason"),
    [
        ("LRN", ["x"], {"size": 3}, 18, "repc does not have this operator"),
        ("MaxPool", ["x"], {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER", "strides": [2, 2]}, 18, "auto_pad"),
        ("AveragePool", ["x"], {"kernel_shape": [2, 2], "dilations": [2, 1]}, 19, "dilations is [2, 1]"),
        (
            "AveragePool",
            ["x"],
            {"kernel_shape": [3, 3], "pads": [1] * 4, "count_include_pad": 1, "ceil_mode": 1},
            18,
            "two ways",
        ),
        ("HardSigmoid", ["x"], {"alpha": 0.25}, 18, "alpha is 0.25"),
        ("Selu", ["x"], {"alpha": 1.5}, 18, "self-normalizing"),
        ("Softmax", ["x"], {"axis": 1}, 11, "several axes at once"),
        ("CumSum", ["x", "one"], {"reverse": 1}, 18, "reverse is 1"),
        ("Slice", ["x", "last", "first", "one", "minus"], {}, 18, "by -1"),
        (
            "Resize",
            ["x", "", "scales"],
            {"mode": "linear", "coordinate_transformation_mode": "asymmetric"},
            18,
            "asymmetric",
        ),
        ("Resize", ["x", "", "odd"], {}, 18, "factors are not whole"),
        ("Clip", ["x", "low"], {}, 18, "input 1 is computed at run time"),
        ("Dropout", ["x"], {"seed": 1}, 12, None),
    ],
)
def test_a_form_that_repc_does_not_express_stays_opaque(
    op_type: str, inputs: Sequence[str], attributes: dict[str, Any], opset: int, reason: str | None
) -> None:
    constants = {
        "one": np.array([1]),
        "minus": np.array([-1]),
        "last": np.array([4]),
        "first": np.array([0]),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "odd": np.array([1, 1, 1.5, 1.5], np.float32),
    }
    if op_type == "CumSum":
        constants["one"] = np.array(1)
    read = {name: value for name, value in constants.items() if name in inputs}
    free = {"x": ["b", 3, "h", 4]} | ({"low": []} if "low" in inputs else {})
    made = model(
        [conv("x", "a"), node(op_type, ["a", *inputs[1:]], ["y"], **attributes)], free, WEIGHTS | read, opset=opset
    )
    given = X | ({"low": np.array(-0.1, np.float32)} if "low" in inputs else {})
    imported, written = carried(made, given, opset=max(opset, 13)) if opset >= 13 else (import_onnx(made), None)
    assert opaque(imported) == ([op_type] if reason else [])
    if reason:
        (note,) = imported.notes
        assert note.startswith(f"1 {op_type} stays opaque: ")
        assert reason in note
        if written is not None:
            assert counts(written)[op_type] == 1


def test_a_result_that_is_read_beyond_the_first() -> None:
    made = model(
        [node("MaxPool", ["x"], ["y", "at"], kernel_shape=[2, 2])],
        {"x": ["b", 3, 5, 4]},
        {},
        ["y", "at"],
        elements={"at": TensorProto.INT64},
    )
    imported, written = carried(made, X)
    assert opaque(imported) == ["MaxPool", "MaxPool"]
    assert counts(written) == {"MaxPool": 1}
    assert list(written.graph.node[0].output) == ["y", "at"]


def test_an_operator_of_another_domain_is_written_in_it() -> None:
    made = model(
        [conv("x", "a"), node("BiasGelu", ["a", "b"], domain="com.microsoft", name="mine")],
        {"x": ["b", 3, 5, 4]},
        WEIGHTS | {"b": normal(4)},
        domains={"com.microsoft": 1},
    )
    imported, written = carried(made, X)
    assert imported.graph[imported.graph.outputs["y"]].type.shape[1:] == (3, 5, 4)
    last = written.graph.node[-1]
    assert (last.op_type, last.domain, last.name, list(last.input)) == ("BiasGelu", "com.microsoft", "mine", ["a", "b"])
    assert {opset.domain: opset.version for opset in written.opset_import} == {"": 18, "com.microsoft": 1}


def test_a_value_of_unknown_type_is_refused_with_its_node() -> None:
    made = model([node("Odd", ["x"], ["a"], domain="mine"), node("Relu", ["a"])], {"x": [2, 3]}, domains={"mine": 1})
    with pytest.raises(Failure) as refused:
        import_onnx(made)
    (diagnostic,) = refused.value.diagnostics
    assert diagnostic.code == "E544"
    assert diagnostic.title == "the type of a is not known: it is a result of Odd"
    assert diagnostic.primary is not None
    assert diagnostic.primary.span.text == "a = Odd(x)"


# ---------------------------------------------------------------- quantised, random, several results


def test_quantised_nodes_are_opaque_and_nothing_is_folded_across_them() -> None:
    scale, zero = np.array(0.05, np.float32), np.array(128, np.uint8)
    nodes = [
        conv("x", "a"),
        node("QuantizeLinear", ["a", "scale", "zero"], ["q"]),
        node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        node("BatchNormalization", ["d", "g", "b", "m", "v"]),
    ]
    norm = {"g": normal(3), "b": normal(3, seed=1), "m": normal(3, seed=2), "v": positive(3)}
    made = model(nodes, {"x": ["b", 3, 5, 4]}, WEIGHTS | norm | {"scale": scale, "zero": zero})
    imported, written = carried(made, X)
    assert opaque(imported) == ["QuantizeLinear", "DequantizeLinear"]
    assert counts(written) == {"BatchNormalization": 1, "Conv": 1, "DequantizeLinear": 1, "QuantizeLinear": 1}
    kept = {tensor.name: numpy_helper.to_array(tensor) for tensor in written.graph.initializer}
    assert (kept["scale"], kept["zero"]) == (scale, zero)


def test_two_random_nodes_stay_two() -> None:
    nodes = [
        node("RandomUniformLike", ["x"], ["a"]),
        node("RandomUniformLike", ["x"], ["b"]),
        node("Sub", ["a", "b"]),
    ]
    imported = import_onnx(model(nodes, {"x": [2, 3]}))
    assert counts(folded(imported)) == {"RandomUniformLike": 2, "Sub": 1}


def test_further_results_keep_their_names() -> None:
    nodes = [
        node("TopK", ["x", "k"], ["top", "places"], name="best", axis=1, sorted=0),
        node("Relu", ["top"]),
        node("Identity", ["places"], ["at"]),
    ]
    made = model(nodes, {"x": ["b", 6]}, {"k": np.array([2])}, ["y", "at"], elements={"at": TensorProto.INT64})
    _, written = carried(made, {"x": normal(3, 6)})
    (topk,) = (n for n in written.graph.node if n.op_type == "TopK")
    assert (topk.name, list(topk.input), list(topk.output)) == ("best", ["x", "k"], ["top", "at"])


# ---------------------------------------------------------------- control flow


def branch(name: str, op_type: str, reads: Sequence[str]) -> onnx.GraphProto:
    result = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    return helper.make_graph([node(op_type, reads, [name])], name, [], [result])


def test_a_choice_is_carried_with_both_branches() -> None:
    nodes = [
        conv("x", "a"),
        node("ReduceMax", ["a"], ["m"], keepdims=0),
        node("Greater", ["m", "limit"], ["c"]),
        node(
            "If", ["c"], ["i"], then_branch=branch("t", "Mul", ["a", "s"]), else_branch=branch("e", "Sub", ["a", "x"])
        ),
        node("Relu", ["i"]),
    ]
    made = model(nodes, {"x": ["b", 3, 5, 4]}, WEIGHTS | {"s": normal(3, 1, 1), "limit": np.array(0.5, np.float32)})
    for factor in (0.01, 10):
        imported, written = carried(made, {"x": factor * X["x"]})
    assert opaque(imported) == ["If"]
    assert imported.graph[imported.graph.outputs["y"]].type.shape[1:] == (3, 5, 4)
    assert counts(written)["If"] == 1


def test_a_loop_is_carried_with_its_body() -> None:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Add", ["v", "a"], ["w2"]), node("Identity", ["go"], ["on"])],
        "body",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("v", TensorProto.FLOAT, None)],
        [value("on", TensorProto.BOOL, []), value("w2", TensorProto.FLOAT, None)],
    )
    nodes = [conv("x", "a"), node("Loop", ["n", "yes", "a"], ["l"], body=body), node("Relu", ["l"])]
    made = model(nodes, {"x": [2, 3, 5, 4]}, WEIGHTS | {"n": np.array(3), "yes": np.array(True)})
    made.graph.value_info.append(value("l", TensorProto.FLOAT, [2, 3, 5, 4]))
    imported, _ = carried(made, X)
    assert opaque(imported) == ["Loop"]


# ---------------------------------------------------------------- opsets


def test_an_opset_that_changed_a_carried_operator_is_refused() -> None:
    made = model([node("DFT", ["x"], axis=1)], {"x": [2, 8, 1]}, opset=17)
    imported = import_onnx(made)
    assert counts(folded(imported, 17)) == {"DFT": 1}
    assert counts(folded(imported, 19)) == {"DFT": 1}
    with pytest.raises(Failure, match="E715 the opaque operator DFT is of opset 17, and opset 20 has another one"):
        folded(imported, 20)
