"""Files that something else made: proved where their weights and values can be told, else compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import Tensor

from repc.backends.onnx import build
from repc.diagnostics import Failure
from repc.ir.graph import Graph
from repc.ir.storage import storage
from repc.passes import fold
from repc.verify import Options, Report, verify_file
from tests.verify.networks import random_parameters, stored, tiny

ALGEBRA, MATCHED, RUNTIME = "algebra (train = file)", "weights (matched)", "ONNX Runtime CPU float32"


@dataclass(frozen=True, eq=False)
class Case:
    train: Graph
    fused: Graph
    given: dict[str, Tensor]

    def model(self) -> onnx.ModelProto:
        return build(self.fused, stored(self.fused, self.given))

    def report(self, model: onnx.ModelProto, folder: Path, options: Options | None = None) -> Report:
        onnx.save(model, folder / "other.onnx")
        return verify_file(self.train, [self.fused], self.given, folder / "other.onnx", options=options)


@cache
def case() -> Case:
    train = tiny()
    return Case(train, fold(train)[0], random_parameters(train))


def rows(report: Report) -> dict[str, bool]:
    return {check.name: check.passed for check in report.checks}


def anonymous(model: onnx.ModelProto) -> None:
    """Other names for everything, free sizes too, and no types inside."""
    names = {
        name: f"v{i}"
        for i, name in enumerate(dict.fromkeys(n for node in model.graph.node for n in (*node.input, *node.output)))
    }
    for node in model.graph.node:
        node.name = ""
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    for value in (*model.graph.initializer, *model.graph.input, *model.graph.output):
        value.name = names[value.name]
    for i, dim in enumerate(model.graph.input[0].type.tensor_type.shape.dim):
        if not dim.dim_value:
            dim.dim_param = f"size{i}"
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]


def rounded(model: onnx.ModelProto) -> None:
    """Folded in float32, perhaps: a few units in the last place off."""
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(array * np.float32(1 + 3e-7), tensor.name))


def transposed(model: onnx.ModelProto) -> None:
    """A matrix product with the transposed weight, and a sum."""
    gemm = next(node for node in model.graph.node if node.op_type == "Gemm")
    x, weight, bias = gemm.input
    tensor = next(t for t in model.graph.initializer if t.name == weight)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(numpy_helper.to_array(tensor).T), weight))
    product = helper.make_node("MatMul", [x, weight], ["product"])
    added = helper.make_node("Add", ["product", bias], [gemm.output[0]])
    place = list(model.graph.node).index(gemm)
    nodes = [*model.graph.node[:place], product, added, *model.graph.node[place + 1 :]]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


@pytest.mark.parametrize("change", [anonymous, rounded, transposed], ids=lambda change: change.__name__)
def test_a_right_file_is_proved(change: Callable[[onnx.ModelProto], None], tmp_path: Path) -> None:
    model = case().model()
    change(model)
    report = case().report(model, tmp_path)
    assert rows(report) == {ALGEBRA: True, MATCHED: True, RUNTIME: True}, str(report)


def test_a_wrong_weight_stands_for_nothing_and_the_sample_shows_it(tmp_path: Path) -> None:
    model = case().model()
    tensor = next(t for t in model.graph.initializer if t.name == "stage3.0.rbr_reparam.weight")
    array = numpy_helper.to_array(tensor).copy()
    array[0, 0, 1, 1] += 1
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    report = case().report(model, tmp_path)
    assert rows(report) == {MATCHED: True, RUNTIME: False}
    assert any("1 initializers stand for no weight of the network: stage3.0" in text for text in report.not_covered)


def test_a_wrong_graph_is_not_proved(tmp_path: Path) -> None:
    model = case().model()
    conv = [node for node in model.graph.node if node.op_type == "Conv"][2]
    next(a for a in conv.attribute if a.name == "pads").ints[:] = [0, 1, 2, 1]
    report = case().report(model, tmp_path)
    assert rows(report) == {MATCHED: True, RUNTIME: False}
    assert any("not those of the network on a small input" in text for text in report.not_covered)


def test_on_a_sample_alone_nothing_is_read(tmp_path: Path) -> None:
    report = case().report(case().model(), tmp_path, Options(level="sample"))
    assert rows(report) == {RUNTIME: True}


def test_other_inputs_and_sizes_are_refused(tmp_path: Path) -> None:
    model = case().model()
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 64
    with pytest.raises(Failure, match=r"E814 the file takes .* of size 64, and the network h"):
        case().report(model, tmp_path)
    model = case().model()
    model.graph.output.append(helper.make_tensor_value_info("stage0.rbr_reparam/conv", onnx.TensorProto.FLOAT, None))
    with pytest.raises(Failure, match="E815"):
        case().report(model, tmp_path, Options(samples=1))


def test_every_stored_tensor_is_recognised(tmp_path: Path) -> None:
    (matched,) = (check for check in case().report(case().model(), tmp_path).checks if check.name == MATCHED)
    assert matched.detail.startswith(f"{len(storage(case().fused).tensors)} initializers")
    assert torch.finfo(torch.float32).eps > matched.figures[0].error > 0
