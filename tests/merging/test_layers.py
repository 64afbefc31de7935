"""Layers that PEFT took anew from ranges of the base's: what becomes of tensors, shards and configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from repc.checkpoints import open_stored, read_peft
from repc.diagnostics import Diagnostic, Failure
from repc.merging import merge, run
from tests.merging.checkpoints import draw, hashes, write_folder, write_lora

RANGES = [[0, 2], [1, 3]]
ORDER = (0, 1, 1, 2)


def stack(folder: Path, root: str = "model.layers", count: int = 4, **config: Any) -> Path:
    """A shard for each layer, the first with an embedding, of which the type is another one."""
    shards = [
        {
            f"{root}.{i}.q.weight": draw(6, 4, seed=i),
            f"{root}.{i}.q.bias": draw(6, seed=i),
            f"{root}.{i}.norm.weight": draw(4, seed=i).half(),
        }
        for i in range(count)
    ]
    shards[0]["embed.weight"] = draw(9, 4)
    return write_folder(folder, shards, **{"num_hidden_layers": count, "hidden_size": count, **config})


def lora(folder: Path, root: str = "model.layers", ranges: object = RANGES, **config: Any) -> Path:
    """An adapter of all layers of the result but the last."""
    return write_lora(folder, {f"{root}.{i}.q": (6, 4) for i in range(3)}, layer_replication=ranges, **config)


def tensors(folder: Path) -> dict[str, Tensor]:
    stored = open_stored(folder)
    return {key: tensor for name in stored.files for key, tensor in load_file(folder / name).items()}


def fault(base: Path, adapters: list[Path], out: Path | None) -> Diagnostic:
    with pytest.raises(Failure) as failure:
        merge(base, adapters, *([] if out is None else [out]))
    (found,) = failure.value.diagnostics
    return found


@pytest.mark.parametrize("root", ["model.layers", "layers", "bert.encoder.layer", "encoder.layer", "h"])
def test_each_layer_of_the_result_is_one_of_the_base_with_an_adapter_of_its_own(root: str, tmp_path: Path) -> None:
    base, adapter = stack(tmp_path / "base", root, layer_types=["full"] * 4), lora(tmp_path / "lora", root)
    report = merge(base, [adapter], tmp_path / "out", arithmetic="f64")
    old, new, factors = tensors(base), tensors(tmp_path / "out"), load_file(adapter / "adapter_model.safetensors")
    wanted = {"embed.weight": old["embed.weight"]}
    for i, source in enumerate(ORDER):
        parts = ("q.weight", "q.bias", "norm.weight")
        wanted |= {f"{root}.{i}.{part}": old[f"{root}.{source}.{part}"] for part in parts}
        if i < 3:
            a, b = (factors[f"base_model.model.{root}.{i}.q.lora_{x}.weight"].double() for x in "AB")
            wanted[f"{root}.{i}.q.weight"] = (old[f"{root}.{source}.q.weight"].double() + 1.5 * b @ a).float()
    assert new.keys() == wanted.keys()
    assert all(new[key].dtype == wanted[key].dtype and torch.equal(new[key], wanted[key]) for key in wanted)
    assert report.changes.keys() == {f"{root}.{i}.q.weight" for i in range(3)}
    assert not any(change.new for change in report.changes.values())
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config == {"num_hidden_layers": 4, "hidden_size": 4, "layer_types": ["full"] * 4}
    note = f"{root}: 4 layers, which are 0 to 1, 1 to 2 of the base; left out: 3; all keys are those of the result"
    told = json.loads((tmp_path / "out" / "repc_merge.json").read_text())["notes"]
    assert told == list(report.notes)
    assert told[:2] == [note, "config.json is written anew: num_hidden_layers, layer_types"]


def test_the_index_has_each_tensor_where_it_is(tmp_path: Path) -> None:
    base, out = stack(tmp_path / "base"), tmp_path / "out"
    report = merge(base, [lora(tmp_path / "lora")], out)
    index = json.loads((out / "model.safetensors.index.json").read_text())
    homes = {key: file.name for file in out.glob("*.safetensors") for key in load_file(file)}
    assert index["weight_map"] == dict(sorted(homes.items()))
    assert homes["model.layers.1.q.bias"] == homes["model.layers.2.q.bias"] == "model-00002-of-00004.safetensors"
    assert index["metadata"]["total_size"] == sum(t.numel() * t.itemsize for t in tensors(out).values())
    assert not (out / "model-00004-of-00004.safetensors").exists()  # the layer that no range has was alone in it
    assert report.notes[-1] == "not carried along: model-00004-of-00004.safetensors"


def test_threads_and_memory_change_no_bit(tmp_path: Path) -> None:
    base, adapter = stack(tmp_path / "base"), lora(tmp_path / "lora")
    merge(base, [adapter], tmp_path / "a", threads=1)
    merge(base, [adapter], tmp_path / "b", threads=4, memory=20_000)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def stopped(base: Path, adapter: Path, out: Path) -> None:
    """A merge that ends once its shards are finished."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "write_index", stop)
        with pytest.raises(KeyboardInterrupt):
            merge(base, [adapter], out)


def test_a_merge_goes_on_where_it_was_but_not_with_other_ranges(tmp_path: Path) -> None:
    base, adapter = stack(tmp_path / "base"), lora(tmp_path / "lora")
    merge(base, [adapter], tmp_path / "a")
    stopped(base, adapter, tmp_path / "b")
    assert merge(base, [adapter], tmp_path / "b").resumed == 3
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    stopped(base, adapter, tmp_path / "c")
    assert merge(base, [lora(tmp_path / "other", ranges=[[1, 3], [0, 2]])], tmp_path / "c").resumed == 0
    assert torch.equal(tensors(tmp_path / "c")["model.layers.3.q.bias"], draw(6, seed=1))


def test_lists_of_the_configuration_follow_the_layers(tmp_path: Path) -> None:
    kinds = ["full", "sliding", "full", "sliding"]
    base = stack(tmp_path / "base", layer_types=kinds, no_rope_layers=[1, 1, 1, 1], mlp_only_layers=[])
    merge(base, [lora(tmp_path / "lora", ranges=[[0, 4], [1, 3]])], tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config == {
        "num_hidden_layers": 6, "hidden_size": 4, "layer_types": [*kinds, "sliding", "full"],
        "no_rope_layers": [1] * 6, "mlp_only_layers": [],
    }  # fmt: skip


def test_a_file_without_a_configuration(tmp_path: Path) -> None:
    base = {f"layers.{i}.q.weight": draw(6, 4, seed=i) for i in range(3)}
    save_file(base, tmp_path / "base.safetensors")
    merge(tmp_path / "base.safetensors", [lora(tmp_path / "lora", "layers")], tmp_path / "out.safetensors")
    found = load_file(tmp_path / "out.safetensors")
    assert sorted(found) == [f"layers.{i}.q.weight" for i in range(4)]
    assert torch.equal(found["layers.3.q.weight"], base["layers.2.q.weight"])


@pytest.mark.parametrize(
    ("config", "ranges", "told"),
    [
        ({"num_hidden_layers": 5}, RANGES, "config.json does not say that model.layers has 4 layers"),
        ({"n_layer": 3}, RANGES, "config.json does not say that model.layers has 4 layers"),
        ({}, [[0, 2], [3, 5]], "it has no model.layers.4"),
        (
            {"layer_types": ["full", "sliding"] * 2},
            RANGES,
            "by layer_types in config.json a layer would be",
        ),
        ({"scale_attn_by_inverse_layer_idx": True}, RANGES, "by scale_attn_by_inverse_layer_idx in config.json"),
    ],
)
def test_a_base_that_cannot_be_rebuilt(config: dict[str, Any], ranges: object, told: str, tmp_path: Path) -> None:
    base, adapter = stack(tmp_path / "base", **config), lora(tmp_path / "lora", ranges=ranges)
    found = fault(base, [adapter], tmp_path / "out")
    assert found.code == "E643"
    assert told in found.title
    assert found.help
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (["model.decoder.layers.0.q", "model.decoder.layers.1.q"], "it has no list of layers where PEFT looks"),
        (["layers.0.q", "h.0.q"], "it has h and layers where PEFT looks for one list"),
        (["layers.0.q", "layers.2.q"], "it has no layers.1"),
        (["layers.0.q", "layers.1.q", "layers.1.k", "layers.2.q"], "layers.0 and layers.1 have other tensors"),
    ],
)
def test_layers_that_are_not_found(keys: list[str], told: str, tmp_path: Path) -> None:
    save_file({f"{key}.weight": draw(6, 4) for key in keys}, tmp_path / "base.safetensors")
    found = fault(tmp_path / "base.safetensors", [lora(tmp_path / "lora", "layers")], tmp_path / "out.safetensors")
    assert found.code == "E643"
    assert told in found.title


def test_adapters_of_different_layers(tmp_path: Path) -> None:
    base, one = stack(tmp_path / "base"), lora(tmp_path / "one")
    found = fault(base, [one, lora(tmp_path / "two", ranges=None)], tmp_path / "out")
    assert (found.code, found.help) == ("E643", "merge them one after the other")
    three = lora(tmp_path / "three", lora_alpha=1)
    for name, adapters in (("one", [one]), ("three", [three]), ("both", [one, three])):
        merge(base, adapters, tmp_path / f"out_{name}", arithmetic="f64")
    first, second, both = (tensors(tmp_path / f"out_{name}") for name in ("one", "three", "both"))
    key, old = "model.layers.2.q.weight", tensors(base)["model.layers.1.q.weight"]
    torch.testing.assert_close(both[key], first[key] + second[key] - old)


def test_what_is_no_file_of_safetensors(tmp_path: Path) -> None:
    torch.save({f"layers.{i}.q.weight": draw(6, 4, seed=i) for i in range(3)}, tmp_path / "base.pt")
    adapter = lora(tmp_path / "lora", "layers")
    assert fault(tmp_path / "base.pt", [adapter], tmp_path / "out.safetensors").help == "save it as safetensors"
    assert fault(tmp_path / "base.pt", [adapter], None).help == "give `out`, which is a folder to write"


def test_weights_that_every_copy_has_changed(tmp_path: Path) -> None:
    adapter = lora(tmp_path / "lora", init_lora_weights="pissa")
    found = fault(stack(tmp_path / "base"), [adapter], tmp_path / "out")
    assert found.code == "E623"
    assert "the adapter of each copy has changed it" in found.title


def test_a_network_of_its_own_layers_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Failure) as failure:
        read_peft(lora(tmp_path / "lora"))
    (found,) = failure.value.diagnostics
    assert found.code == "E623"
    assert "repc merge BASE ADAPTER -o OUT" in str(found.help)
