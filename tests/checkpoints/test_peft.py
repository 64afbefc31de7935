"""PEFT's folders: the spec text they become, where each key goes, and everything that is refused."""

import pytest
import torch
from safetensors.torch import load_file

from repc.checkpoints import match, read_peft
from tests.checkpoints.official import parameters
from tests.fixtures import adapter

PREFIX = "base_model.model."
A, B = "lora_A.weight", "lora_B.weight"

SPECS = {
    "lora": """\
adapt Mlp as Mlp_lora {
  at block.fc1.weight expect 1 use lora: LoRA(r=4, alpha=6)
  at block.fc2.weight expect 1 use lora: LoRA(r=4, alpha=6)
}
""",
    "lora-bf16": """\
adapt Mlp as Mlp_lora {
  at block.fc1.weight expect 1 use lora: LoRA(r=4, alpha=6)
  at block.fc2.weight expect 1 use lora: LoRA(r=4, alpha=6)
}
""",
    "lora-rslora": """\
adapt Mlp as Mlp_lora {
  at block.fc1.weight expect 1 use lora: LoRA(r=4, alpha=5 * sqrt(4))
  at block.fc2.weight expect 1 use lora: LoRA(r=4, alpha=5 * sqrt(4))
}
""",
    "lora-dora": """\
adapt Mlp as Mlp_lora {
  at block.fc1.weight expect 1 use lora: DoRA(r=4, alpha=6)
  at block.fc2.weight expect 1 use lora: DoRA(r=4, alpha=6)
}
""",
    "lora-bias": """\
adapt Mlp as Mlp_lora {
  at block.fc1 expect 1 use lora: LoRABias(r=4, alpha=6)
  at block.fc2 expect 1 use lora: LoRABias(r=4, alpha=6)
}
""",
    "lora-patterns": """\
adapt Deep as Deep_lora {
  at layers.0.fc1.weight expect 1 use lora: LoRA(r=3, alpha=6)
  at layers.0.fc2.weight expect 1 use lora: LoRA(r=5, alpha=4)
  at layers.1.fc1.weight expect 1 use lora: LoRA(r=2, alpha=6)
  at layers.1.fc2.weight expect 1 use lora: LoRA(r=5, alpha=4)
  at layers.2.fc1.weight expect 1 use lora: LoRA(r=3, alpha=6)
  at layers.2.fc2.weight expect 1 use lora: LoRA(r=5, alpha=9)
}
""",
    "lora-conv2d": """\
adapt Conv as Conv_lora {
  at stem.weight expect 1 use lora: LoRAConv(r=4, alpha=6)
}
""",
    "lora-dora-conv2d": """\
adapt Conv as Conv_lora {
  at stem.weight expect 1 use lora: DoRAConv(r=4, alpha=6)
}
""",
    "lora-fan-in-fan-out": """\
adapt Transposed as Transposed_lora {
  at c_attn.weight expect 1 use lora: permute([1, 0]) >> LoRA(r=4, alpha=6) >> permute([1, 0])
  at c_fc.weight expect 1 use lora: permute([1, 0]) >> LoRA(r=4, alpha=6) >> permute([1, 0])
  at c_proj.weight expect 1 use lora: permute([1, 0]) >> LoRA(r=4, alpha=6) >> permute([1, 0])
}
""",
}

OTHERS = {
    "vera": """\
repc 1
import adapters.random

adapt Mlp as Mlp_vera {
  weight vera_A: [6, 40] = zeros
  weight vera_B: [40, 6] = zeros
  at block.fc1.weight expect 1 use vera: VeRA()
  at block.fc2.weight expect 1 use vera: VeRA()
}
""",
    "ia3-feedforward": """\
repc 1
import adapters.diagonal

adapt Mlp as Mlp_ia3 {
  at block.fc1 expect 1 use ia3: IA3()
  at block.fc2.weight expect 1 use ia3: IA3Input()
}
""",
    "lora-trainable-tokens": """\
repc 1
import adapters.lora
import adapters.replaced

adapt Lm as Lm_lora {
  at block.fc1.weight expect 1 use lora: LoRA(r=4, alpha=6)
  at block.fc2.weight expect 1 use lora: LoRA(r=4, alpha=6)
  at embed.weight expect 1 use lora: Rows([3, 17, 41])
}
""",
    "ln-tuning": """\
repc 1
import adapters.replaced

adapt Lm as Lm_ln_tuning {
  at norm.bias expect 1 use ln_tuning_saved.bias: Replaced()
  at norm.weight expect 1 use ln_tuning_saved.weight: Replaced()
}
""",
    "lora-multihead-attention": """\
repc 1
import adapters.lora

adapt Attn as Attn_lora {
  at attn.out_proj.weight expect 1 use lora: LoRA(r=4, alpha=6)
  at attn.in_proj_weight expect 1 use lora: LoRA(r=4, alpha=6)
}
""",
}


@pytest.mark.parametrize("case", SPECS)
def test_the_text_of_an_imported_adapter(case: str) -> None:
    assert read_peft(adapter(case)).spec == "repc 1\nimport adapters.lora\n\n" + SPECS[case]


@pytest.mark.parametrize("case", OTHERS)
def test_the_text_of_other_methods(case: str) -> None:
    assert read_peft(adapter(case)).spec == OTHERS[case]


@pytest.mark.parametrize("case", SPECS)
def test_every_key_has_its_place_under_the_label(case: str) -> None:
    found = read_peft(adapter(case))
    stored = load_file(adapter(case) / "adapter_model.safetensors")
    assert found.key_map.keys() == stored.keys()
    for key, path in found.key_map.items():
        assert key.removeprefix("base_model.model.") == path.replace(".lora.", ".")
    shapes = {path: tuple(stored[key].shape) for key, path in found.key_map.items()}
    matched = match(found.checkpoint, parameters(shapes), [found.layout])
    assert (matched.layout, matched.share) == ("peft", 1)
    assert all(torch.equal(matched.values[path], stored[key]) for key, path in found.key_map.items())


def test_base_and_source_are_named_by_choice() -> None:
    found = read_peft(adapter("lora-conv2d"), base="Net", source="nets/net.rep")
    assert found.spec.startswith('repc 1\nimport adapters.lora\nimport "nets/net.rep"\n\nadapt Net as Net_lora {\n')
    assert found.name == "Net_lora"
    assert "\nimport models.net\n" in read_peft(adapter("lora"), source="models.net").spec


def test_what_had_no_effect_is_said() -> None:
    assert read_peft(adapter("lora-patterns")).notes == (
        "pattern layers.0 of the configuration fits no adapted module",
    )
    assert read_peft(adapter("lora-fan-in-fan-out")).notes == (
        "fan_in_fan_out: the base is taken to keep the adapted linear weights as (in, out)",
    )
