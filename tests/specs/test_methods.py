"""Adapters as short specs: merged and unmerged forms are what the recorded library computed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import repc
from repc.evaluate import run
from repc.evaluate.floating import TorchField
from tests.fixtures import adapter
from tests.specs.methods import CASES, spec

PREFIX = "base_model.model."


def relative(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual.detach().double() - expected.double()).abs().max() / expected.double().abs().max())


def parameters(model: repc.Model, folder: Path) -> dict[str, torch.Tensor]:
    """The base and the adapter's tensors, by the paths of the spec."""
    state = load_file(folder / "base.safetensors")
    for key, tensor in load_file(folder / "adapter_model.safetensors").items():
        path = key.removeprefix(PREFIX).removeprefix("base_model.")
        module = next((name for name in ("block.fc1", "block.fc2") if path.startswith(name)), "")
        path = path.replace(module, f"{module}.m") if module else path
        if path in model.graph.parameters:  # a copy of a shared factor is stored under every module
            state[path] = tensor
    return state


@pytest.mark.parametrize("case", CASES)
def test_a_method_merges_to_the_recorded_weights(case: str, tmp_path: Path) -> None:
    folder, path = adapter(case), tmp_path / "method.rep"
    path.write_text(spec(case))
    merged, io = load_file(folder / "merged.safetensors"), load_file(folder / "io.safetensors")
    model = repc.load(path, "Adapted")
    fused = model.fuse(parameters(model, folder))
    ours = fused.state_dict()
    assert sorted(ours) == sorted(merged)
    assert max(relative(ours[key], merged[key]) for key in merged) < 2e-6
    base = load_file(folder / "base.safetensors")
    assert all(torch.equal(ours[key], base[key]) for key in merged if torch.equal(base[key], merged[key]))
    (out,) = run(model.graph, TorchField(torch.float64), {"x": io["input"]}, fused.parameters.values).values()
    assert relative(out, io["output_merged"]) < 1e-5


@pytest.mark.parametrize("case", CASES)
def test_a_step_of_training_moves_the_adapter_alone(case: str, tmp_path: Path) -> None:
    """The training module computes the same expression, and its gradients reach every weight of the adapter."""
    folder, path = adapter(case), tmp_path / "method.rep"
    path.write_text(spec(case))
    model = repc.load(path, "Adapted")
    state = parameters(model, folder)
    net = model.module()
    net.load_state_dict(state, strict=True)
    io = load_file(folder / "io.safetensors")
    out = net(io["input"])
    assert relative(out, io["output_merged"]) < 1e-4
    out.square().mean().backward()
    base = load_file(folder / "base.safetensors").keys()
    moved = {name for name, parameter in net.named_parameters() if parameter.grad is not None}
    assert moved == {name for name, _ in net.named_parameters()} - base
