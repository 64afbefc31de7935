"""A checkpoint of a given size for `benchmarks.merge`: Llama-shaped, sharded, bfloat16, with a LoRA adapter."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

WIDTH, INNER, VOCABULARY, KEYS = 2048, 5632, 32000, 256
SHARD = 500_000_000
LINEARS = {
    "self_attn.q_proj": (WIDTH, WIDTH),
    "self_attn.k_proj": (KEYS, WIDTH),
    "self_attn.v_proj": (KEYS, WIDTH),
    "self_attn.o_proj": (WIDTH, WIDTH),
    "mlp.gate_proj": (INNER, WIDTH),
    "mlp.up_proj": (INNER, WIDTH),
    "mlp.down_proj": (WIDTH, INNER),
}
"""The shapes of TinyLlama 1.1B: 22 layers are 2.2 GB."""


def make_base(folder: Path, layers: int, seed: int = 0) -> int:
    """Write the shards and their index; the bytes of all tensors."""
    random = torch.Generator().manual_seed(seed)
    folder.mkdir(parents=True)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": layers,
        "num_attention_heads": WIDTH // 64,
        "num_key_value_heads": KEYS // 64,
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": False,
        "dtype": "bfloat16",
    }
    (folder / "config.json").write_text(json.dumps(config))
    shards: list[dict[str, Tensor]] = [{}]
    homes: dict[str, int] = {}
    used = total = 0

    def flush(last: bool) -> None:
        save_file(shards[-1], folder / f"model-{len(shards):05}.safetensors", {"format": "pt"})
        shards[-1] = {}
        if not last:
            shards.append({})

    for key, shape in _shapes(layers).items():
        tensor = torch.ones(shape) if len(shape) == 1 else torch.randn(shape, generator=random) * shape[1] ** -0.5
        size = tensor.numel() * 2
        if used and used + size > SHARD:
            flush(last=False)
            used = 0
        shards[-1][key] = tensor.bfloat16()
        homes[key] = len(shards)
        used, total = used + size, total + size
    flush(last=True)
    index = {
        "metadata": {"total_size": total},
        "weight_map": {key: f"model-{number:05}.safetensors" for key, number in homes.items()},
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return total


def make_adapter(folder: Path, layers: int, rank: int = 16, seed: int = 1) -> None:
    """Write a LoRA adapter of every linear layer, as PEFT does."""
    random = torch.Generator().manual_seed(seed)
    folder.mkdir(parents=True)
    tensors: dict[str, Tensor] = {}
    for layer in range(layers):
        for name, (out, width) in LINEARS.items():
            module = f"base_model.model.model.layers.{layer}.{name}"
            tensors[f"{module}.lora_A.weight"] = torch.randn(rank, width, generator=random) * 0.02
            tensors[f"{module}.lora_B.weight"] = torch.randn(out, rank, generator=random) * 0.02
    save_file(tensors, folder / "adapter_model.safetensors")
    names = sorted({name.rpartition(".")[2] for name in LINEARS})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": 2 * rank,
        "target_modules": names,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))


def _shapes(layers: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCABULARY, WIDTH)}
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        shapes |= {f"{prefix}.{name}.weight": shape for name, shape in LINEARS.items()}
        shapes |= {f"{prefix}.{name}.weight": (WIDTH,) for name in ("input_layernorm", "post_attention_layernorm")}
    return {**shapes, "model.norm.weight": (WIDTH,), "lm_head.weight": (VOCABULARY, WIDTH)}
