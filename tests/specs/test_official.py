"""Shipped specs against recorded inputs, outputs and checkpoints of the official implementations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import repc
from repc.checkpoints import OFFICIAL
from repc.evaluate import run
from repc.evaluate.floating import TorchField
from repc.ir.graph import Graph
from repc.ops.norm import BatchNorm
from tests.fixtures import structural
from tests.specs.official import CASES, CONVERTED, DYNAMIC, LAYOUTS, NAMES, spec

DOUBLE = TorchField(torch.float64)


def relative(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


def opened(case: str, folder: Path) -> repc.Model:
    path = folder / "official.rep"
    path.write_text(spec(case))
    return repc.load(path)


def given(graph: Graph, io: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The recorded inputs that a graph takes; `task` is bound in some."""
    names = [name for name in graph.inputs if name != "task"]
    return {**dict.fromkeys(names, io["input"].double()), **{name: io[name] for name in graph.inputs if name == "task"}}


def output(graph: Graph, io: dict[str, torch.Tensor], values: dict[str, torch.Tensor]) -> torch.Tensor:
    (result,) = run(graph, DOUBLE, given(graph, io), values).values()
    return result


@pytest.mark.parametrize("case", CASES)
def test_train_form(case: str, tmp_path: Path) -> None:
    """The official train checkpoint loads strictly, and the recorded output is reproduced in float64."""
    folder, model = structural(case), opened(case, tmp_path)
    state, io = load_file(folder / "train.safetensors"), load_file(folder / "io.safetensors")
    if case in LAYOUTS:
        found = model.parameters(state)
        assert (found.layout, found.share) == (LAYOUTS[case].name, 1)
        state = dict(found.values)
    net = model.module()
    net.load_state_dict(state, strict=True)
    with torch.no_grad():
        out = net.double().eval()(*(value.double() for value in given(model.graph, io).values()))
    assert relative(out, io["output"]) < 1e-12
    assert relative(output(model.graph, io, state), io["output"]) < 1e-12


@pytest.mark.parametrize("target", ["deploy", "official"])
@pytest.mark.parametrize("case", CASES)
def test_folded_form(case: str, target: str, tmp_path: Path) -> None:
    folder, model = structural(case), opened(case, tmp_path)
    io = load_file(folder / "io.safetensors")
    fused = model.fuse(folder / "train.safetensors", target, dtype="f64")
    out = output(fused.graph, io, {**fused.parameters.values})
    assert relative(out, io["output"]) < 1e-11
    with torch.no_grad():
        assert (
            relative(fused.module()(*(value.double() for value in given(fused.graph, io).values())), io["output"])
            < 1e-11
        )


@pytest.mark.parametrize("case", CONVERTED)
def test_official_keys_and_values(case: str, tmp_path: Path) -> None:
    """Target `official` gives the keys and values of the official conversion."""
    folder, model = structural(case), opened(case, tmp_path)
    right = folder / "deploy_reference.safetensors"  # where the authors' conversion is wrong
    deploy = load_file(right if right.exists() else folder / "deploy.safetensors")
    deploy = {NAMES.get(key, key): value for key, value in deploy.items()}
    ours = model.fuse(folder / "train.safetensors", "official").state_dict()
    ours = LAYOUTS.get(case, OFFICIAL).rename(ours)
    assert sorted(ours) == sorted(deploy)
    for key, theirs in deploy.items():
        assert ours[key].shape == theirs.shape, key
        assert relative(ours[key].double(), theirs.double()) < 1e-5 if theirs.abs().max() else not ours[key].any(), key


@pytest.mark.parametrize("case", CASES)
def test_no_foldable_batch_norm_remains(case: str, tmp_path: Path) -> None:
    """What is left is named: RepMLP's norm before a layer shared by channel groups, and one behind a runtime gate."""
    fused = opened(case, tmp_path).fuse(structural(case) / "train.safetensors", "deploy")
    left = [fused.graph[id].path for id in fused.graph.order() if isinstance(fused.graph[id].op, BatchNorm)]
    assert all(path.endswith("prebn1") or case in DYNAMIC for path in left)
    assert set(left) <= {refusal.path for refusal in fused.trace.refusals}


@pytest.mark.parametrize("case", CASES)
def test_verifies(case: str, tmp_path: Path) -> None:
    """Every check of the report passes, ONNX Runtime at every cut among them."""
    fused = opened(case, tmp_path).fuse(structural(case) / "train.safetensors", "deploy")
    report = fused.verify()
    assert report, str(report)


@pytest.mark.parametrize(("sample", "task"), [(0, 0), (1, 1)])
def test_a_bound_task_is_that_of_every_sample(sample: int, task: int, tmp_path: Path) -> None:
    """The authors' code takes the task of the first sample for all; here a batch of two tasks is two artifacts."""
    (case,) = DYNAMIC
    folder = structural(case)
    io = load_file(folder / "io.safetensors")
    assert io["task"].argmax(1).tolist() == [0, 1]
    model = opened(case, tmp_path).bound({"task": task})
    fused = model.fuse(folder / "train.safetensors", dtype="f64")
    assert fused.counts() == {"Conv": 1, "Relu": 1}
    with torch.no_grad():
        out = fused.module()(io["input"].double())
    assert relative(out[sample], io["output"][sample]) < 1e-11
    assert relative(out[1 - sample], io["output"][1 - sample]) > 0.1
