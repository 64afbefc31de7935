"""Tensors that have other names in memory, where an adapter was trained, than in the file of the base."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from repc.checkpoints.peft.names import find_names
from repc.diagnostics import Failure
from repc.ir.types import TensorType
from repc.merging import Merged, merge


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape) + len(shape)), dtype=torch.float64)


def typed(*keys: str) -> dict[str, TensorType]:
    return {key: TensorType((4, 3), "f32") for key in keys}


def saved(folder: Path, tensors: Mapping[str, Tensor], **config: Any) -> Path:
    save_file(
        {f"base_model.model.{key}": t.clone() for key, t in tensors.items()}, folder / "adapter_model.safetensors"
    )
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 3, **config}))
    return folder


def close(actual: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(actual, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("memory", "file"),
    [
        ("vit.layers.0.attention.q_proj", "vit.encoder.layer.0.attention.attention.query"),
        ("vit.layers.3.attention.o_proj", "vit.encoder.layer.3.attention.output.dense"),
        ("vit.layers.0.mlp.fc2", "vit.encoder.layer.0.output.dense"),
        ("dinov2.encoder.layer.0.attention.k_proj", "dinov2.encoder.layer.0.attention.attention.key"),
        ("swin.encoder.layers.0.blocks.1.attention.v_proj", "swin.encoder.layers.0.blocks.1.attention.self.value"),
        ("model.layers.0.mlp.gate", "model.layers.0.block_sparse_moe.gate"),
        ("model.layers.0.mlp.router", "model.layers.0.block_sparse_moe.gate"),
        ("model.language_model.layers.0.self_attn.q_proj", "language_model.model.layers.0.self_attn.q_proj"),
        ("model.vision_tower.layers.0.fc1", "vision_tower.layers.0.fc1"),
        ("model.language_model.layers.0.mlp.up_proj", "model.layers.0.mlp.up_proj"),
        ("decoder.layers.0.self_attn.o_proj", "decoder.layers.0.self_attn.out_proj"),
        ("lm_head", "embed_out"),
        ("model.layers.0.q", "model.layers.0.q"),
    ],
)
def test_modules_by_their_names_in_memory(memory: str, file: str) -> None:
    names = find_names(typed(f"{file}.weight", f"{file}.bias", "other.weight"), [memory])
    assert names.stored(memory) == file
    assert names.stored(f"{memory}.bias") == f"{file}.bias"
    assert names.stored(f"{memory}.new") == f"{file}.new"


def test_a_renaming_must_have_every_module() -> None:
    types = typed("encoder.layer.0.attention.attention.query.weight", "x.out_proj.weight")
    assert find_names(types, ["layers.0.attention.q_proj"]).types != types
    for modules in (["layers.0.attention.q_proj", "x.o_proj"], ["layers.0.attention.q_proj", "z"]):
        assert find_names(types, modules).types == types


def test_a_doubt_is_no_answer() -> None:
    """Two renamings that mean different tensors, and one that gives two tensors one name."""
    types = typed("language_model.model.q.weight", "model.q.weight")
    assert find_names(types, ["model.language_model.q"]).types == types
    assert find_names(typed("model.q.weight"), ["model.language_model.q"]).stored("model.language_model.q") == "model.q"
    types = typed("encoder.layer.0.fc.weight", "layers.0.fc.weight", "layers.0.intermediate.dense.weight")
    assert find_names(types, ["layers.0.fc", "layers.0.mlp.fc1"]).stored("layers.0.fc") == "layers.0.fc"


def experts(count: int = 3) -> dict[str, Tensor]:
    shapes = {"w1": (5, 4), "w2": (4, 5), "w3": (5, 4)}
    weights = {
        f"m.block_sparse_moe.experts.{e}.{w}.weight": random(*s) + e for e in range(count) for w, s in shapes.items()
    }
    return {**weights, "m.block_sparse_moe.gate.weight": random(count, 4)}


def lora(folder: Path, count: int = 3, **config: Any) -> Path:
    inner = {"m.mlp.experts.base_layer.lora_A.weight": random(3 * count, 4)}
    inner["m.mlp.experts.base_layer.lora_B.weight"] = random(10, 3 * count)
    outer = {"m.mlp.experts.lora_A.weight": random(2 * count, 5), "m.mlp.experts.lora_B.weight": random(4, 2 * count)}
    targets = ["experts.gate_up_proj", "experts.down_proj"]
    return saved(
        folder, {**inner, **outer}, target_parameters=targets, rank_pattern={"experts.gate_up_proj": 3}, **config
    )


@pytest.mark.parametrize("names", [("w1", "w2", "w3"), ("gate_proj", "down_proj", "up_proj")])
def test_experts_that_are_stacked_in_memory(names: tuple[str, ...], tmp_path: Path) -> None:
    new: dict[str, str] = dict(zip(["w1", "w2", "w3"], names, strict=True))
    root = "m.block_sparse_moe" if names[0] == "w1" else "m.mlp"
    base = {
        ".".join(new.get(s, s) for s in k.split(".")).replace("m.block_sparse_moe", root): t
        for k, t in experts().items()
    }
    found: Merged = merge(base, [lora(tmp_path)])
    assert len(found.changed) == 9
    assert any("other names" in note for note in found.notes)
    for e in range(3):
        up = random(10, 9)[:, e::3] @ random(9, 4)[3 * e : 3 * e + 3]
        down = random(4, 6)[:, e::3] @ random(6, 5)[2 * e : 2 * e + 2]
        keys = [f"{root}.experts.{e}.{name}.weight" for name in names]
        for key, scale, delta in zip(keys, (1, 1.5, 1), (up[:5], down, up[5:]), strict=True):
            close(found.tensors[key], base[key] + scale * delta)


def test_experts_that_keep_weights_as_in_out(tmp_path: Path) -> None:
    """Then the factors are the other way round."""
    base = {f"e.experts.{n}.up_proj.weight": random(7, 4) + n for n in range(3)}
    a, b = random(6, 7), random(4, 6)
    folder = saved(
        tmp_path, {"e.experts.lora_A.weight": a, "e.experts.lora_B.weight": b}, target_parameters=["experts.up_proj"]
    )
    found = merge(base, [folder])
    for n, (key, weight) in enumerate(base.items()):
        close(found.tensors[key], weight + 1.5 * (b[:, n::3] @ a[2 * n : 2 * n + 2]).T)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"m.block_sparse_moe.experts.1.w3.weight": random(5, 3)}, "none of these sizes"),
        ({"m.block_sparse_moe.experts.4.w1.weight": random(5, 4)}, "the base has none of this module"),
    ],
)
def test_experts_that_are_no_stack_are_refused(changed: dict[str, Tensor], reason: str, tmp_path: Path) -> None:
    with pytest.raises(Failure) as failure:
        merge(experts() | changed, [lora(tmp_path)])
    (found,) = failure.value.diagnostics
    assert found.code == "E626"
    assert reason in found.notes[0]


def test_settings_by_the_names_in_memory(tmp_path: Path) -> None:
    file, memory = "encoder.layer.0.attention.attention.query", "layers.0.attention.q_proj"
    base = {f"{file}.weight": random(4, 5), f"{file}.bias": random(4), "classifier.weight": random(2, 4)}
    a, b, bias, head = random(3, 5), random(4, 3), random(4) + 1, random(2, 4) + 1
    tensors = {f"{memory}.lora_A.weight": a, f"{memory}.lora_B.weight": b, "classifier.weight": head}
    tensors[f"{memory}.base_layer.bias"] = bias
    config = {"rank_pattern": {"layers.0.*q_proj": 3}, "modules_to_save": ["classifier"], "bias": "lora_only"}
    found = merge(base, [saved(tmp_path, tensors, **config)]).tensors
    close(found[f"{file}.weight"], base[f"{file}.weight"] + b @ a)
    close(found[f"{file}.bias"], bias)
    close(found["classifier.weight"], head)
