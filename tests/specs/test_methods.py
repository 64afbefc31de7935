"""Every recorded adapter on a spec of its network: its outputs are what the recorded library computed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import repc
from repc.evaluate import run
from repc.evaluate.floating import TorchField
from tests.fixtures import adapter
from tests.specs.bases import BASES

CASES = [
    "adalora", "boft", "c3a", "fourierft", "hra", "ia3", "ia3-feedforward", "ln-tuning", "loha", "loha-conv2d", "lokr",
    "lokr-conv2d", "lokr-decompose-both", "lora", "lora-bias", "lora-conv2d", "lora-dora", "lora-dora-conv2d",
    "lora-embedding", "lora-fan-in-fan-out", "lora-modules-to-save", "lora-multihead-attention", "lora-olora",
    "lora-patterns", "lora-pissa", "lora-pissa-converted", "lora-rslora", "lora-trainable-tokens", "miss", "miss-bat",
    "oft", "oft-exact", "randlora", "road-1", "shira", "trainable-tokens", "vblora", "vera",
]  # fmt: skip
DOUBLED = "lora-multihead-attention"
"""The library adds one update twice, merged and unmerged: what it recorded is not the mathematics."""


def relative(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual.detach().double() - expected.double()).abs().max() / expected.double().abs().max())


def adapted(case: str, folder: Path) -> repc.Model:
    path = folder / "base.rep"
    name = json.loads((adapter(case) / "meta.json").read_text())["base"]["name"]
    path.write_text("repc 1\n\n" + BASES[name])
    return repc.load(path, adapter=adapter(case))


@pytest.mark.parametrize("case", CASES)
def test_unmerged_and_merged_forms_agree_with_the_recorded_ones(case: str, tmp_path: Path) -> None:
    model, io = adapted(case, tmp_path), load_file(adapter(case) / "io.safetensors")
    fused = model.fuse(adapter(case) / "base.safetensors")
    (name,) = model.graph.inputs
    (unmerged,) = run(model.graph, TorchField(torch.float64), {name: io["input"]}, fused.parameters.values).values()
    with torch.no_grad():
        merged = fused.module()(io["input"])
    if case != DOUBLED:
        assert relative(unmerged, io["output_unmerged"]) < 1e-5
    assert relative(merged, unmerged) < 2e-6


@pytest.mark.parametrize("case", CASES)
def test_a_step_of_training_moves_the_adapter_alone(case: str, tmp_path: Path) -> None:
    """The training module computes the same expression, and its gradients reach every weight of the adapter."""
    model, io = adapted(case, tmp_path), load_file(adapter(case) / "io.safetensors")
    values = model.parameters(adapter(case) / "base.safetensors").values
    net = model.module()
    net.load_state_dict(dict(values), strict=True)
    out = net(io["input"])
    if case != DOUBLED:
        assert relative(out, io["output_unmerged"]) < 1e-4
    out.square().mean().backward()
    base = load_file(adapter(case) / "base.safetensors").keys()
    moved = {name for name, parameter in net.named_parameters() if parameter.grad is not None}
    assert moved == {name for name, _ in net.named_parameters()} - base
