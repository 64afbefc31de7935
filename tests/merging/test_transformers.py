"""What is merged loads with the transformers library, and computes what the unmerged model with its adapter does."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from repc.merging import merge
from tests.merging.checkpoints import write_lora

transformers: Any = pytest.importorskip("transformers")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

IDS = torch.randint(0, 50, (2, 7), generator=torch.Generator().manual_seed(5))
SCALE = 1.5


def llama(folder: Path) -> Any:
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, tie_word_embeddings=False,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config).eval()
    model.save_pretrained(folder, max_shard_size="20KB")
    return model


def gpt2(folder: Path) -> Any:
    torch.manual_seed(2)
    config = transformers.GPT2Config(
        vocab_size=50, n_embd=32, n_layer=2, n_head=2, n_positions=16, bos_token_id=1, eos_token_id=2
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    model.save_pretrained(folder)
    return model


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        return model(IDS).logits


def loaded(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, told = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(told.values()), told
    return model.eval()


def hooked(model: nn.Module, lora: Path) -> list[Any]:
    """Let every adapted layer add what its factors make of its input."""
    factors = load_file(lora / "adapter_model.safetensors")

    def adding(a: Tensor, b: Tensor) -> Callable[..., Tensor]:
        return lambda module, args, result: result + SCALE * (args[0] @ a.T) @ b.T

    hooks = [
        module.register_forward_hook(adding(factors[f"base_model.model.{name}.lora_A.weight"], factors[b]))
        for name, module in model.named_modules()
        if (b := f"base_model.model.{name}.lora_B.weight") in factors
    ]
    assert 2 * len(hooks) == len(factors)
    return hooks


def adapted(model: nn.Module, lora: Path) -> Tensor:
    """The logits of the unmerged model."""
    hooks = hooked(model, lora)
    found = logits(model)
    for hook in hooks:
        hook.remove()
    return found


def test_a_sharded_llama(tmp_path: Path) -> None:
    model = llama(tmp_path / "base")
    shapes = {
        name: (module.out_features, module.in_features)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }
    assert len(shapes) == 15
    lora = write_lora(tmp_path / "lora", shapes)
    assert len(list((tmp_path / "base").glob("*.safetensors"))) > 2
    merge(tmp_path / "base", [lora], tmp_path / "out")
    wanted = adapted(model, lora)
    torch.testing.assert_close(logits(loaded(tmp_path / "out")), wanted, rtol=1e-4, atol=1e-5)
    assert float((wanted - logits(model)).abs().max()) > 1e-2


def test_a_llama_whose_layers_are_taken_anew(tmp_path: Path) -> None:
    base = llama(tmp_path / "base").state_dict()
    sizes = {"q_proj": 32, "v_proj": 16}
    shapes = {f"model.layers.{i}.self_attn.{name}": (size, 32) for i in range(3) for name, size in sizes.items()}
    lora = write_lora(tmp_path / "lora", shapes, layer_replication=[[0, 2], [0, 1]])
    merge(tmp_path / "base", [lora], tmp_path / "out")
    merged = loaded(tmp_path / "out")
    assert len(merged.model.layers) == 3
    unmerged = transformers.LlamaForCausalLM(merged.config).eval()
    again = {key.replace("layers.0.", "layers.2."): tensor for key, tensor in base.items()}
    unmerged.load_state_dict({**again, **base})
    wanted = adapted(unmerged, lora)
    torch.testing.assert_close(logits(merged), wanted, rtol=1e-4, atol=1e-5)
    assert float((wanted - logits(unmerged)).abs().max()) > 1e-2


def test_a_tied_gpt2_with_weights_of_the_other_way_round(tmp_path: Path) -> None:
    model = gpt2(tmp_path / "base")
    shapes = {
        name: (module.weight.shape[1], module.weight.shape[0])
        for name, module in model.named_modules()
        if type(module).__name__ == "Conv1D"
    }
    assert len(shapes) == 8
    lora = write_lora(tmp_path / "lora", shapes, fan_in_fan_out=True)
    merge(tmp_path / "base", [lora], tmp_path / "out")
    wanted, merged = adapted(model, lora), loaded(tmp_path / "out")
    torch.testing.assert_close(logits(merged), wanted, rtol=1e-4, atol=1e-5)
    assert merged.lm_head.weight is merged.transformer.wte.weight
    assert float((wanted - logits(model)).abs().max()) > 1e-2


def test_a_gpt2_whose_embedding_and_head_part(tmp_path: Path) -> None:
    model = gpt2(tmp_path / "base")
    lora = write_lora(tmp_path / "lora", {"transformer.wte": (32, 50)}, embedding=True)
    merge(tmp_path / "base", [lora], tmp_path / "out", tied="untie")
    factors = load_file(lora / "adapter_model.safetensors")
    a, b = (factors[f"base_model.model.transformer.wte.lora_embedding_{x}"] for x in "AB")
    hook = model.transformer.wte.register_forward_hook(lambda module, args, result: result + SCALE * a.T[args[0]] @ b.T)
    wanted = logits(model)
    hook.remove()
    torch.testing.assert_close(logits(loaded(tmp_path / "out")), wanted, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------------ other names in memory


def test_a_vit_whose_layers_have_other_names_on_disk(tmp_path: Path) -> None:
    torch.manual_seed(3)
    config = transformers.ViTConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=8,
        num_labels=3,
    )  # fmt: skip
    model = transformers.ViTForImageClassification(config).eval()
    model.save_pretrained(tmp_path / "base")
    shapes = {
        name: (module.out_features, module.in_features)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }
    lora = write_lora(tmp_path / "lora", shapes)
    merge(tmp_path / "base", [lora], tmp_path / "out")
    pixels = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        plain = model(pixels).logits
        hooked(model, lora)
        wanted = model(pixels).logits
        merged = transformers.ViTForImageClassification.from_pretrained(tmp_path / "out").eval()
        torch.testing.assert_close(merged(pixels).logits, wanted, rtol=1e-4, atol=1e-5)
    assert float((wanted - plain).abs().max()) > 1e-2


def test_a_mixtral_whose_experts_are_apart_on_disk(tmp_path: Path) -> None:
    torch.manual_seed(4)
    config = transformers.MixtralConfig(
        vocab_size=50, hidden_size=32, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, num_local_experts=3, tie_word_embeddings=False,
    )  # fmt: skip
    model = transformers.MixtralForCausalLM(config).eval()
    model.save_pretrained(tmp_path / "base")
    stacks = [name for name, parameter in model.named_parameters() if parameter.dim() == 3]
    if len(stacks) != 4:
        pytest.skip("this version keeps experts apart in memory too")
    layers = [f"model.layers.{i}.mlp.experts" for i in range(2)]
    shapes = {f"{layer}.base_layer": (48, 32) for layer in layers} | dict.fromkeys(layers, (32, 24))
    targets = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    lora = write_lora(tmp_path / "lora", shapes, 2, experts=3, target_parameters=targets)
    merge(tmp_path / "base", [lora], tmp_path / "out")
    plain = logits(model)
    factors = load_file(lora / "adapter_model.safetensors")
    for layer in layers:
        for stack, module in (("gate_up_proj", f"{layer}.base_layer"), ("down_proj", layer)):
            a, b = (factors[f"base_model.model.{module}.lora_{x}.weight"] for x in "AB")
            delta = torch.stack([b[:, e::3] @ a[2 * e : 2 * e + 2] for e in range(3)])
            model.get_parameter(f"{layer}.{stack}").data += SCALE * delta
    torch.testing.assert_close(logits(loaded(tmp_path / "out")), logits(model), rtol=1e-4, atol=1e-5)
    assert float((logits(model) - plain).abs().max()) > 1e-2
