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


def test_what_a_merge_destroys_is_told(tmp_path: Path) -> None:
    """A pruned base, with an update that keeps the zeros and one that does not; a tied weight changes at both ends."""
    (tmp_path / "net.rep").write_text(
        "repc 1\n\nimport adapters.lora\nimport adapters.products\nimport std.linear\n\n"
        'block Ends(x: [b, n]) {\n  weight W as "weight": [n, n] = normal(0, 1)\n'
        '  alias "again" = W\n  return linear(tanh(linear(x, W)), W)\n}\n\n'
        "model Net(x: f32[b, 12]) = x >> fc: Linear(12) >> ends: Ends()\n\n"
        "adapt Net as Kept {\n  at fc.weight expect 1 use own: MaskLoRA(r=2)\n}\n\n"
        "adapt Net as Tuned {\n  at **.weight expect 2 use own: LoRA(r=2)\n}\n"
    )
    for name, told in {
        "Kept": (),
        "Tuned": ("fc.weight: 50% of it was zero, 0% is", "ends.weight: it is tied to ends.again, and both change"),
    }.items():
        model = repc.load(tmp_path / "net.rep", name)
        torch.manual_seed(0)
        state = {key: torch.randn(p.type.concrete()) for key, p in model.graph.parameters.items()}
        state["ends.again"] = state["ends.weight"]
        state["fc.weight"][::2] = 0
        assert model.fuse(state).lost == told


def test_several_adapters_on_one_weight_apply_in_order(tmp_path: Path) -> None:
    """Differences add up, whatever their order; what scales comes before or behind them."""
    head = (
        "repc 1\n\nimport adapters.diagonal\nimport adapters.lora\nimport std.linear\n\n"
        "model Net(x: f32[b, 5]) = x >> layers: repeat 4 { Linear(5) >> tanh }\n\n"
    )
    lines = {
        "one": "at layers.2.weight expect 1 use one: LoRA(r=2, alpha=2)",
        "two": "at layers.*.weight where ci == 5 expect 4 use two: LoRA(r=1, alpha=3)",
        "last": "at **.3.weight expect 1 use last: IA3Input()",
    }
    for order in (["one", "two", "last"], ["last", "two", "one"]):
        text = "".join(f"  {lines[name]}\n" for name in order)
        (tmp_path / "net.rep").write_text(f"{head}adapt Net as Tuned {{\n{text}}}\n")
        model = repc.load(tmp_path / "net.rep", "Tuned")
        torch.manual_seed(0)
        state = {path: torch.randn(p.type.concrete()) for path, p in sorted(model.graph.parameters.items())}

        def low(k: int, name: str, scale: float, state: dict[str, torch.Tensor] = state) -> torch.Tensor:
            part = f"layers.{k}.{name}.lora_"
            return scale * state[f"{part}B.weight"] @ state[f"{part}A.weight"]

        ours = model.fuse(state, dtype="f64").values
        wanted = state["layers.2.weight"] + low(2, "one", 1) + low(2, "two", 3)
        assert relative(ours["layers.2.weight"], wanted) < 1e-6
        scale, w, two = state["layers.3.last.ia3_l"], state["layers.3.weight"], low(3, "two", 3)
        wanted = (w + two) * scale if order[-1] == "last" else w * scale + two
        assert relative(ours["layers.3.weight"], wanted) < 1e-6
