"""Adapters: PEFT's folders merge to the recorded weights, and attached ones fold away."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import repc
from repc.evaluate import run
from repc.evaluate.floating import TorchField
from tests.fixtures import adapter

LINEAR = ["lora", "lora-rslora", "lora-dora", "lora-bias"]


def relative(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual.double() - expected.double()).abs().max() / expected.double().abs().max())


@pytest.mark.parametrize("case", LINEAR)
def test_peft_folders_merge_to_the_recorded_weights(case: str) -> None:
    folder = adapter(case)
    merged, io = load_file(folder / "merged.safetensors"), load_file(folder / "io.safetensors")
    model = repc.load("repc:mlp/MLP", adapter=folder)
    fused = model.fuse(folder / "base.safetensors", "official")
    ours = fused.state_dict()
    assert sorted(ours) == sorted(merged)
    assert max(relative(ours[key], merged[key]) for key in merged) < 1e-6
    base = load_file(folder / "base.safetensors")
    untouched = [key for key in merged if torch.equal(base[key], merged[key])]
    assert all(torch.equal(ours[key], base[key]) for key in untouched)
    # the unmerged form, with the adapter beside the weight, gives what the library's own did
    (out,) = run(model.graph, TorchField(torch.float64), {"x": io["input"]}, fused.parameters.values).values()
    assert relative(out, io["output_unmerged"]) < 1e-5
    with torch.no_grad():
        assert relative(fused.module()(io["input"]), io["output_merged"]) < 1e-5


@pytest.mark.parametrize(
    ("name", "case"), [("MLP_lora", "lora"), ("MLP_rslora", "lora-rslora"), ("MLP_dora", "lora-dora")]
)
def test_shipped_adapted_models_are_the_same_as_imported_ones(name: str, case: str) -> None:
    folder = adapter(case)
    state = load_file(folder / "base.safetensors")
    for key, tensor in load_file(folder / "adapter_model.safetensors").items():
        path = key.removeprefix("base_model.model.")
        state[path.replace(".lora_", ".lora.lora_")] = tensor
    ours = repc.load(f"repc:tuned/{name}").fuse(state, "official").state_dict()
    merged = load_file(folder / "merged.safetensors")
    assert max(relative(ours[key], merged[key]) for key in merged) < 1e-6


def test_adapters_on_every_branch_fold_away() -> None:
    model = repc.load("repc:tuned/RepVGG_A0_tuned", classes=10)
    torch.manual_seed(0)
    state = model.module(seed=0).state_dict()
    for key, tensor in state.items():
        if tensor.is_floating_point():
            noise = torch.rand_like(tensor) if key.endswith("running_var") else torch.randn_like(tensor)
            state[key] = tensor + 0.3 * noise
    fused = model.fuse(state)
    counts = fused.counts()
    assert (counts["Conv"], counts["Gemm"]) == (22, 1)
    assert not fused.missed()
    image = torch.randn(2, 3, 65, 97, dtype=torch.float64)
    double = TorchField(torch.float64)
    (before,) = run(model.graph, double, {"image": image}, state).values()
    (after,) = run(fused.graph, double, {"image": image}, state).values()
    assert relative(after, before) < 1e-11


@pytest.mark.parametrize("block", ["IA3()", "LoRABias(r=2)"])
def test_a_layer_without_a_bias_takes_an_adapter_that_has_one(block: str, tmp_path: Path) -> None:
    path = tmp_path / "net.rep"
    path.write_text(
        "repc 1\n\nimport adapters.diagonal\nimport adapters.lora\nimport std.linear\n\n"
        "model Net(x: f32[b, 5]) = x >> fc: Linear(3, bias=false)\n\n"
        f"adapt Net as Adapted {{\n  at fc expect 1 use own: {block}\n}}\n"
    )
    model = repc.load(path, "Adapted")
    torch.manual_seed(0)
    state = {key: torch.randn(p.type.concrete()) for key, p in model.graph.parameters.items()}
    x = torch.randn(4, 5)
    wanted = x @ state["fc.weight"].T
    if block == "IA3()":
        wanted = wanted * state["fc.own.ia3_l"].T
    else:
        low = x @ state["fc.own.lora_A.weight"].T @ state["fc.own.lora_B.weight"].T
        wanted = wanted + 8 * (low + state["fc.own.lora_B.bias"])
    with torch.no_grad():
        torch.testing.assert_close(model.fuse(state).module()(x), wanted, rtol=1e-5, atol=1e-5)
