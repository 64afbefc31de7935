"""PEFT's folders that would be merged wrongly, each refused for its own reason."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from repc.checkpoints import read_peft
from repc.checkpoints.peft.config import read_config
from repc.checkpoints.peft.methods import METHODS, UNMERGEABLE
from repc.checkpoints.peft.methods import REFUSED as REFUSED_BY_ALL
from repc.diagnostics import Diagnostic, Failure
from tests.fixtures import adapter

PREFIX = "base_model.model."
A, B = "lora_A.weight", "lora_B.weight"


def copied(case: str, folder: Path) -> Path:
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copyfile(adapter(case) / name, folder / name)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copied("lora", tmp_path)


def configure(folder: Path, **settings: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def store(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    path = folder / "adapter_model.safetensors"
    shared = {key: t for key, t in load_file(path).items() if not key.startswith(PREFIX)}
    tensors = {key.removeprefix(PREFIX): t for key, t in load_file(path).items() if key not in shared}
    change(tensors)
    save_file({**{f"{PREFIX}{key}": t.contiguous() for key, t in tensors.items()}, **shared}, path)


def faults(folder: Path) -> tuple[Diagnostic, ...]:
    with pytest.raises(Failure) as failure:
        read_peft(folder)
    assert all(d.help for d in failure.value.diagnostics)
    return failure.value.diagnostics


REFUSED = [
    ("lora", "layer_replication", [[0, 2]]),
    ("lora", "megatron_config", {"a": 1}),
    ("lora", "alora_invocation_tokens", [1]),
    ("lora", "arrow_config", {"a": 1}),
    ("lora", "monteclora_config", {"a": 1}),
    ("lora", "use_qalora", True),
    ("lora", "loftq_config", {"bits": 4}),
    ("lora", "corda_config", {"a": 1}),
    ("lora", "lora_ga_config", {"a": 1}),
    ("lora", "init_lora_weights", "pissa_niter_4"),
    ("lora", "init_lora_weights", "corda"),
    ("lora", "a_setting_of_tomorrow", 1),
    ("adalora", "use_dora", True),
    ("adalora", "lora_bias", True),
    ("adalora", "use_rslora", True),
    ("oft", "num_cayley_neumann_terms", 2),
    ("road-1", "variant", "road_3"),
    ("miss", "init_weights", "maxi"),
]
"""A setting for each way in which repc would merge wrongly."""

REFUSED_OF_OTHERS = [
    ("PVERA", "sample_at_inference", True),
    ("UNILORA", "save_indices", False),
    ("WAVEFT", "wavelet_family", "db2"),
    ("SUPERTUNING", "save_precomputed_indices", False),
    ("DEFT", "decomposition_method", "svd"),
    ("PEANUT", "depth", 9),
    ("PEANUT", "act_fn", "gelu_new"),
]
"""The same for methods that no recorded case has."""


@pytest.mark.parametrize(("case", "setting", "value"), REFUSED)
def test_a_setting_that_changes_the_meaning_is_refused(case: str, setting: str, value: object, tmp_path: Path) -> None:
    copied(case, tmp_path)
    configure(tmp_path, **{setting: value})
    (found,) = faults(tmp_path)
    assert found.code == "E623"
    assert f"{setting} = {json.dumps(value)}: " in found.title


@pytest.mark.parametrize(("method", "setting", "value"), REFUSED_OF_OTHERS)
def test_a_setting_of_another_method_is_refused(method: str, setting: str, value: object, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": method, setting: value}))
    (found,) = faults(tmp_path)
    assert found.code == "E623"
    assert f"{setting} = {json.dumps(value)}: " in found.title


def test_every_refusal_of_the_table_is_tested() -> None:
    named = {name for method in METHODS for name in (*REFUSED_BY_ALL, *method.refused)}
    named |= {name for method in METHODS for name, setting in method.settings.items() if setting.meaning}
    assert named <= {setting for _, setting, _ in (*REFUSED, *REFUSED_OF_OTHERS)}


def test_all_refused_settings_come_at_once(folder: Path) -> None:
    configure(folder, loftq_config={"bits": 4}, megatron_config={"a": 1}, use_qalora=True)
    names = [d.title.split(": ")[1].split(" =")[0] for d in faults(folder)]
    assert sorted(names) == ["loftq_config", "megatron_config", "use_qalora"]


@pytest.mark.parametrize("value", [True, False, "gaussian", "orthogonal", "eva"])
def test_initial_values_do_not_matter(value: object, folder: Path) -> None:
    configure(folder, init_lora_weights=value, lora_dropout=0.5, layers_to_transform=[0])
    assert read_peft(folder).spec == read_peft(adapter("lora")).spec


def test_dropout_of_other_methods_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({"peft_type": "RANDLORA", "randlora_dropout": 0.1}))
    assert read_config(path).method.kind == "RANDLORA"


@pytest.mark.parametrize("method", ["NEW", None])
def test_another_method(method: object, folder: Path) -> None:
    configure(folder, peft_type=method)
    (found,) = faults(folder)
    assert (found.code, found.title.split(": ")[1]) == ("E622", f"adapters of type {method} cannot be imported")


@pytest.mark.parametrize("method", UNMERGEABLE)
def test_a_method_that_cannot_be_merged_is_refused_with_the_reason(method: str, folder: Path) -> None:
    configure(folder, peft_type=method)
    (found,) = faults(folder)
    assert found.code == "E622"
    assert found.title.endswith(f"adapters of type {method} cannot be imported: {UNMERGEABLE[method]}")


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
        ("layer_replication", [[0, 2], [3]]),
        ("layer_replication", [[2, 2]]),
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
            "base_model.model.head.weight [5, 16]: nothing that the configuration calls for",
        ),
        (
            fc1("lora_magnitude_vector", torch.ones(40)),
            "E624",
            "base_model.model.block.fc1.lora_magnitude_vector [40]: nothing that the configuration calls for",
        ),
        (lambda t: t.update({"embed.lora_embedding_A": torch.ones(4, 9)}), "E625", "embed.lora_embedding_B"),
        (
            lambda t: t.update({f"attn.base_layer.inner.{A}": torch.ones(4, 9)}),
            "E624",
            "base_model.model.attn.base_layer.inner.lora_A.weight [4, 9]: "
            "a layer inside an adapted layer, which is not known",
        ),
        (
            lambda t: t.update({f"block.fc1.{A}": torch.zeros(4, 8, 3), f"block.fc1.{B}": torch.zeros(8, 4, 2)}),
            "E626",
            "block.fc1: lora_B.weight is [8, 4, 2], which is not [o, r, ...1] with r = 4",
        ),
        (
            fc1(B, torch.zeros(40, 3)),
            "E626",
            "block.fc1: lora_B.weight is [40, 3], which is not [o, r] with r = 4",
        ),
        (
            lambda t: t.update({f"block.fc1.{A}": torch.zeros(2, 24), f"block.fc1.{B}": torch.zeros(40, 2)}),
            "E626",
            "block.fc1: lora_A.weight is [2, 24], which is not [r, i] with r = 4",
        ),
        (
            lambda t: t.update({f"block.fc1.{A}": torch.zeros(4, 8, 3, 3), f"block.fc1.{B}": torch.zeros(8, 2, 1, 1)}),
            "E626",
            "block.fc1: a convolution with groups, of which each reads all inputs by its factors: "
            "no kernel with groups does that",
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
    assert faults(folder)[0].notes == (f"block.fc2: {part} is [3], which is not [o] with o = 16",)


def test_settings_for_which_there_is_no_block(folder: Path) -> None:
    configure(folder, use_dora=True, lora_bias=True)
    (found,) = faults(folder)
    reason = "repc has no block for these tensors under these settings"
    assert (found.code, found.notes) == ("E626", (f"block.fc1: {reason}", f"block.fc2: {reason}"))


def test_copies_of_a_shared_tensor(tmp_path: Path) -> None:
    copied("randlora", tmp_path)
    copy = "block.fc1.randlora_A"
    assert f"base_model.model.{copy}" not in read_peft(tmp_path).key_map
    store(tmp_path, lambda t: t.update({copy: t[copy] + 1}))
    (found,) = faults(tmp_path)
    assert found.code == "E627"
    assert found.notes == (f"base_model.model.{copy} differs from base_model.randlora_A",)


def test_a_shared_tensor_that_is_missing(tmp_path: Path) -> None:
    copied("vera", tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    tensors = load_file(path)
    del tensors["base_model.vera_B"]
    save_file(tensors, path)
    (found,) = faults(tmp_path)
    assert (found.code, found.notes) == ("E625", ("base_model.vera_B",))
