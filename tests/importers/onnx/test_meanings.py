"""Every operator of the table, in every form: the graph means what ONNX Runtime computes, and is written as such."""

import numpy as np
import pytest
import torch

from repc.backends.onnx import build
from repc.evaluate.stored import deployed
from repc.importers import Imported, import_onnx
from repc.importers.onnx.table import MEANINGS
from repc.ir.check import check
from repc.ops import Opaque
from tests.importers.onnx.cases import CASES, Case
from tests.importers.onnx.files import distance, evaluated, execute

SEQUENCES = {"SplitToSequence", "SequenceAt"}  # tested together, where their values are tensors


def opaque(imported: Imported) -> list[str]:
    ops = [imported.graph[id].op for id in imported.graph]
    return [op.call.target for op in ops if isinstance(op, Opaque)]


@pytest.mark.parametrize("case", CASES, ids=[f"{index}-{case}" for index, case in enumerate(CASES)])
def test_meaning(case: Case) -> None:
    made = case.model()
    imported = import_onnx(made)
    check(imported.graph)
    assert not opaque(imported), imported.notes
    wanted = execute(made, case.inputs)
    for ours, theirs in zip(evaluated(imported, case.inputs), wanted, strict=True):
        assert distance(ours, theirs) < 3e-6
    values = deployed(imported.graph, imported.parameters, torch.float32)
    again = execute(build(imported.graph, values, opset=max(case.opset, 13)), case.inputs)
    for ours, theirs in zip(again, wanted, strict=True):
        assert distance(torch.as_tensor(np.asarray(ours)), theirs) < 3e-6


def test_every_operator_has_a_case() -> None:
    assert {case.op_type for case in CASES} | SEQUENCES == set(MEANINGS)
