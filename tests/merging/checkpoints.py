"""Small checkpoints and adapters for the tests of merging."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from xxhash import xxh3_128


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def write_folder(folder: Path, shards: list[dict[str, Tensor]], **config: Any) -> Path:
    """A folder as the transformers library writes it."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    names = [f"model-{number + 1:05}-of-{len(shards):05}.safetensors" for number in range(len(shards))]
    for name, tensors in zip(names, shards, strict=True):
        save_file(tensors, folder / name, {"format": "pt"})
    homes = {key: name for name, tensors in zip(names, shards, strict=True) for key in tensors}
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": 1}, "weight_map": homes})
    )
    return folder


def write_lora(
    folder: Path, shapes: Mapping[str, tuple[int, int]], rank: int = 2, experts: int = 1, **config: Any
) -> Path:
    """A LoRA adapter with random factors; shapes are (out, in), the same for each of several experts."""
    folder.mkdir(parents=True)
    parts: dict[str, Tensor] = {}
    for number, (module, (out, width)) in enumerate(shapes.items()):
        embedding = "lora_embedding_" if config.get("embedding") else ""
        a, b = (f"{embedding}A", f"{embedding}B") if embedding else ("lora_A.weight", "lora_B.weight")
        parts[f"base_model.model.{module}.{a}"] = 0.1 * draw(experts * rank, width, seed=number)
        parts[f"base_model.model.{module}.{b}"] = 0.1 * draw(out, experts * rank, seed=number + 100)
    config.pop("embedding", None)
    save_file(parts, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": rank, "lora_alpha": 3, **config}))
    return folder


SHAPES = {f"layers.{i}.{name}": shape for i in range(3) for name, shape in (("q", (48, 32)), ("v", (16, 32)))}


def sharded(folder: Path, dtype: torch.dtype = torch.bfloat16) -> Path:
    """Three shards of six linear layers, with an embedding and norms that nothing changes."""
    shards: list[dict[str, Tensor]] = []
    for i in range(3):
        modules = {name: shape for name, shape in SHAPES.items() if name.startswith(f"layers.{i}.")}
        shards.append({f"{name}.weight": draw(*shape, seed=i).to(dtype) for name, shape in modules.items()})
        shards[-1][f"layers.{i}.norm.weight"] = draw(32, seed=i).to(dtype)
    shards[0]["embed.weight"] = draw(50, 32).to(dtype)
    return write_folder(folder, shards, model_type="none")


def hashes(folder: Path) -> dict[str, str]:
    """Every file of a folder by its hash."""
    return {file.name: xxh3_128(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}
