"""PEFT's folders: the spec text they become, where each key goes, and everything that is refused."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from repc.checkpoints import match, read_peft
from repc.diagnostics import Diagnostic, Failure
from tests.checkpoints.official import parameters
from tests.fixtures import adapter

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
  at c_attn.weight expect 1 use lora: LoRATransposed(r=4, alpha=6)
  at c_fc.weight expect 1 use lora: LoRATransposed(r=4, alpha=6)
  at c_proj.weight expect 1 use lora: LoRATransposed(r=4, alpha=6)
}
""",
}


@pytest.mark.parametrize("case", SPECS)
def test_the_text_of_an_imported_adapter(case: str) -> None:
    assert read_peft(adapter(case)).spec == "repc 1\nimport adapters.lora\n\n" + SPECS[case]


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


LINE = re.compile(r"  at (\S+) expect 1 use lora: (\w+)\(r=(\d+), alpha=(\d+)( \* sqrt\(\d+\))?\)")


def adapted(block: str, scale: float, weight: torch.Tensor, factors: dict[str, torch.Tensor]) -> torch.Tensor:
    """A weight as the blocks of adapters.lora define it."""
    update = scale * factors[B].flatten(1) @ factors[A].flatten(1)
    new = weight + (update.T if "Transposed" in block else update.reshape(weight.shape))
    if "DoRA" in block:
        rows = new.flatten(1)
        rows = factors["lora_magnitude_vector"].reshape(-1, 1) * rows / rows.norm(dim=1, keepdim=True)
        new = rows.reshape(weight.shape)
    return new


@pytest.mark.parametrize("case", [case for case in SPECS if case != "lora-bf16"])
def test_the_text_means_what_the_library_merged(case: str) -> None:
    found = read_peft(adapter(case))
    expected, merged = (load_file(adapter(case) / f"{name}.safetensors") for name in ("base", "merged"))
    stored = {path: found.checkpoint[key].double() for key, path in found.key_map.items()}
    for line in found.spec.splitlines()[4:-1]:
        parts = LINE.fullmatch(line)
        assert parts
        place, block, r, alpha, stabilised = parts.groups()
        module = place.removesuffix(".weight")
        scale = int(alpha) / int(r) * (int(r) ** 0.5 if stabilised else 1)
        home = f"{module}.lora."
        factors = {path.removeprefix(home): t for path, t in stored.items() if path.startswith(home)}
        expected[f"{module}.weight"] = adapted(block, scale, expected[f"{module}.weight"].double(), factors)
        if "Bias" in block:
            expected[f"{module}.bias"] = expected[f"{module}.bias"].double() + scale * factors["lora_B.bias"]
    for key, tensor in merged.items():
        torch.testing.assert_close(tensor.to(expected[key].dtype), expected[key], rtol=1e-6, atol=1e-6)


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


# ------------------------------------------------------------------------------------------------ refusals


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copyfile(adapter("lora") / name, tmp_path / name)
    return tmp_path


def configure(folder: Path, **settings: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def store(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    path = folder / "adapter_model.safetensors"
    tensors = {key.removeprefix("base_model.model."): t.clone() for key, t in load_file(path).items()}
    change(tensors)
    save_file({f"base_model.model.{key}": t.contiguous() for key, t in tensors.items()}, path)


def faults(folder: Path) -> tuple[Diagnostic, ...]:
    with pytest.raises(Failure) as failure:
        read_peft(folder)
    assert all(d.help for d in failure.value.diagnostics)
    return failure.value.diagnostics


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("bias", "lora_only"),
        ("modules_to_save", ["head"]),
        ("trainable_token_indices", {"embed": [3]}),
        ("target_parameters", ["experts.weight"]),
        ("layer_replication", [[0, 2]]),
        ("alora_invocation_tokens", [1]),
        ("use_qalora", True),
        ("loftq_config", {"bits": 4}),
        ("init_lora_weights", "pissa"),
        ("init_lora_weights", "pissa_niter_4"),
        ("init_lora_weights", "olora"),
        ("a_setting_of_tomorrow", 1),
    ],
)
def test_a_setting_that_changes_the_meaning_is_refused(setting: str, value: object, folder: Path) -> None:
    configure(folder, **{setting: value})
    (found,) = faults(folder)
    assert found.code == "E623"
    assert f"{setting} = {json.dumps(value)}: " in found.title


def test_all_refused_settings_come_at_once(folder: Path) -> None:
    configure(folder, bias="all", layer_replication=[[0, 1]], use_dora=True, lora_bias=True)
    assert [d.title.split(": ")[1].split(" =")[0] for d in faults(folder)] == ["bias", "layer_replication", "lora_bias"]


@pytest.mark.parametrize("value", [True, False, "gaussian", "orthogonal", "eva"])
def test_initial_values_do_not_matter(value: object, folder: Path) -> None:
    configure(folder, init_lora_weights=value, lora_dropout=0.5, layers_to_transform=[0])
    assert read_peft(folder).spec == read_peft(adapter("lora")).spec


@pytest.mark.parametrize("method", ["LOHA", "IA3", None])
def test_another_method(method: object, folder: Path) -> None:
    configure(folder, peft_type=method)
    (found,) = faults(folder)
    assert (found.code, found.title.split(": ")[1]) == (
        "E622",
        f"adapters of type {method} cannot be imported, only LORA",
    )


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("r", 0),
        ("r", "4"),
        ("r", True),
        ("lora_alpha", None),
        ("lora_alpha", float("nan")),
        ("rank_pattern", {"(": 4}),
        ("rank_pattern", {"fc1": 2.5}),
        ("alpha_pattern", ["fc1"]),
        ("use_dora", "yes"),
    ],
)
def test_a_setting_without_sense(setting: str, value: object, folder: Path) -> None:
    configure(folder, **{setting: value})
    (found,) = faults(folder)
    assert found.code == "E621"
    assert f"{setting} = " in found.title


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_configuration_that_is_none(content: bytes, folder: Path) -> None:
    (folder / "adapter_config.json").write_bytes(content)
    assert faults(folder)[0].code == "E621"


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_folder_without_the_files(name: str, folder: Path) -> None:
    (folder / name).unlink()
    (found,) = faults(folder)
    assert (found.code, found.title) == ("E620", f"{folder} has no {name}")


def fc1(part: str, value: torch.Tensor) -> Callable[[dict[str, torch.Tensor]], object]:
    return lambda tensors: tensors.update({f"block.fc1.{part}": value})


@pytest.mark.parametrize(
    ("change", "code", "note"),
    [
        (lambda t: t.pop(f"block.fc2.{B}"), "E625", "block.fc2.lora_B.weight"),
        (
            lambda t: t.update({"head.weight": torch.zeros(5, 16)}),
            "E624",
            "base_model.model.head.weight [5, 16]: no factor that the configuration calls for",
        ),
        (
            fc1("lora_magnitude_vector", torch.ones(40)),
            "E624",
            "base_model.model.block.fc1.lora_magnitude_vector [40]: no factor that the configuration calls for",
        ),
        (
            lambda t: t.update({"embed.lora_embedding_A": torch.ones(4, 9)}),
            "E624",
            "base_model.model.embed.lora_embedding_A [4, 9]: an adapter on an embedding",
        ),
        (
            lambda t: t.update({f"attn.base_layer.out_proj.{A}": torch.ones(4, 9)}),
            "E624",
            "base_model.model.attn.base_layer.out_proj.lora_A.weight [4, 9]: "
            "an adapter on a layer inside an adapted layer, such as multi-head attention",
        ),
        (
            lambda t: t.update({f"block.fc1.{A}": torch.zeros(4, 8, 3), f"block.fc1.{B}": torch.zeros(8, 4, 2)}),
            "E626",
            "block.fc1: A is [4, 8, 3] and B [8, 4, 2], which is neither of a linear layer nor of a 2-d convolution",
        ),
        (
            fc1(B, torch.zeros(40, 3)),
            "E626",
            "block.fc1: A is [4, 24] and B [40, 3], which do not compose",
        ),
        (
            lambda t: t.update({f"block.fc1.{A}": torch.zeros(2, 24), f"block.fc1.{B}": torch.zeros(40, 2)}),
            "E626",
            "block.fc1: A is [2, 24], of rank 2, and the configuration says 4",
        ),
        (
            lambda t: t.update({f"block.fc1.{A}": torch.zeros(4, 8, 3), f"block.fc1.{B}": torch.zeros(40, 4, 1)}),
            "E626",
            "block.fc1: A is [4, 8, 3] and B [40, 4, 1], which is neither of a linear layer nor of a 2-d convolution",
        ),
        (
            lambda t: t.update({f"block.fc1.{A}": torch.zeros(4, 8, 3, 3), f"block.fc1.{B}": torch.zeros(8, 2, 1, 1)}),
            "E626",
            "block.fc1: A is [4, 8, 3, 3] and B [8, 2, 1, 1], which do not compose unless the convolution has groups",
        ),
    ],
)
def test_factors_that_do_not_fit(
    change: Callable[[dict[str, torch.Tensor]], object], code: str, note: str, folder: Path
) -> None:
    store(folder, change)
    (found,) = faults(folder)
    assert (found.code, found.notes) == (code, (note,))


@pytest.mark.parametrize(
    ("settings", "part", "shape"),
    [({"use_dora": True}, "lora_magnitude_vector", (40,)), ({"lora_bias": True}, "lora_B.bias", (40,))],
)
def test_the_configuration_says_which_parts_there_are(
    settings: dict[str, bool], part: str, shape: tuple[int, ...], folder: Path
) -> None:
    configure(folder, **settings)
    assert faults(folder)[0].notes == (f"block.fc1.{part}", f"block.fc2.{part}")
    store(folder, fc1(part, torch.ones(shape)))
    assert faults(folder)[0].notes == (f"block.fc2.{part}",)
    store(folder, lambda t: t.update({f"block.fc2.{part}": torch.ones(3)}))
    assert faults(folder)[0].notes == (f"block.fc2: {part} is [3] for 16 outputs",)


def test_a_block_that_is_not_shipped_is_not_named(folder: Path) -> None:
    configure(folder, use_dora=True, fan_in_fan_out=True)
    store(folder, fc1("lora_magnitude_vector", torch.ones(40)))
    store(folder, lambda t: t.update({"block.fc2.lora_magnitude_vector": torch.ones(16)}))
    (found,) = faults(folder)
    reason = "it would need a block DoRATransposed, which adapters.lora does not have"
    assert (found.code, found.notes) == ("E626", (f"block.fc1: {reason}", f"block.fc2: {reason}"))


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("lora-pissa", "E623"),
        ("lora-olora", "E623"),
        ("lora-modules-to-save", "E623"),
        ("lora-trainable-tokens", "E623"),
        ("lora-embedding", "E624"),
        ("lora-multihead-attention", "E624"),
        ("ia3", "E622"),
        ("oft", "E622"),
    ],
)
def test_recorded_adapters_that_would_merge_wrongly(case: str, code: str) -> None:
    assert {d.code for d in faults(adapter(case))} == {code}
