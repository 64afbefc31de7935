"""What is not merged, and what has to be said first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from repc.diagnostics import Failure
from repc.merging import merge, run
from repc.merging.staging import Staging
from tests.merging.checkpoints import SHAPES, draw, sharded, write_folder, write_lora

TIED = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}


def codes(base: Path, adapters: list[Path], out: Path | None, **options: Any) -> list[str]:
    with pytest.raises(Failure) as failure:
        merge(base, adapters, out, **options)
    return [diagnostic.code for diagnostic in failure.value.diagnostics]


def tied(folder: Path, head: bool = False) -> Path:
    embedding = draw(10, 4)
    tensors = {
        "wte.weight": embedding,
        "h.weight": draw(4, 4),
        **({"lm_head.weight": embedding.clone()} if head else {}),
    }
    return write_folder(folder, [tensors], **TIED)


def embedded(folder: Path) -> Path:
    return write_lora(folder, {"wte": (4, 10)}, embedding=True)


def delta(lora: Path, module: str) -> torch.Tensor:
    factors = load_file(lora / "adapter_model.safetensors")
    a, b = (factors[key] for key in sorted(factors) if key.startswith(f"base_model.model.{module}."))
    return 1.5 * (b @ a)


@pytest.mark.parametrize("head", [False, True])
def test_one_of_two_tied_tensors_changes(head: bool, tmp_path: Path) -> None:
    base, lora = tied(tmp_path / "base", head), embedded(tmp_path / "lora")
    assert codes(base, [lora], tmp_path / "out") == ["E632"]
    old = draw(10, 4)
    new = old + delta(lora, "wte").T
    for choice, wanted in (("untie", old), ("share", new)):
        report = merge(base, [lora], tmp_path / choice, tied=choice)
        found = load_file(tmp_path / choice / "model-00001-of-00001.safetensors")
        torch.testing.assert_close(found["wte.weight"], new)
        if head or choice == "untie":
            torch.testing.assert_close(found["lm_head.weight"], wanted)
        else:
            assert "lm_head.weight" not in found
        config = json.loads((tmp_path / choice / "config.json").read_text())
        assert config.get("tie_word_embeddings", True) is (choice == "share")
        assert report.notes


@pytest.mark.parametrize(
    ("config", "tied"),
    [
        ({"tie_word_embeddings": True}, True),
        ({"text_config": {"tie_word_embeddings": True}}, True),
        ({"architectures": ["GPT2Model"], "tie_word_embeddings": True}, False),
        ({"model_type": "gpt2"}, False),
    ],
)
def test_what_a_configuration_says_without_the_class_of_a_head(
    config: dict[str, Any], tied: bool, tmp_path: Path
) -> None:
    base = write_folder(tmp_path / "base", [{"wte.weight": draw(10, 4)}], **config)
    lora = embedded(tmp_path / "lora")
    if tied:
        assert codes(base, [lora], tmp_path / "out") == ["E632"]
    else:
        assert merge(base, [lora], tmp_path / "out").changes.keys() == {"wte.weight"}


def test_a_head_that_is_stored_under_the_name_of_the_embedding(tmp_path: Path) -> None:
    base, lora = tied(tmp_path / "base"), write_lora(tmp_path / "lora", {"lm_head": (10, 4)})
    assert codes(base, [lora], tmp_path / "out") == ["E632"]
    merge(base, [lora], tmp_path / "untie", tied="untie")
    found = load_file(tmp_path / "untie" / "model-00001-of-00001.safetensors")
    torch.testing.assert_close(found["lm_head.weight"], draw(10, 4) + delta(lora, "lm_head"))
    assert torch.equal(found["wte.weight"], draw(10, 4))
    merge(base, [lora], tmp_path / "share", tied="share")
    found = load_file(tmp_path / "share" / "model-00001-of-00001.safetensors")
    torch.testing.assert_close(found["wte.weight"], draw(10, 4) + delta(lora, "lm_head"))
    assert codes(base, [lora, embedded(tmp_path / "both")], tmp_path / "out", tied="share") == ["E633"]


def test_a_tie_that_nothing_touches_stays(tmp_path: Path) -> None:
    base, lora = tied(tmp_path / "base"), write_lora(tmp_path / "lora", {"h": (4, 4)})
    merge(base, [lora], tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == TIED


def test_aliases_of_a_torch_file(tmp_path: Path) -> None:
    shared = draw(6, 4)
    torch.save({"a.weight": shared, "b.weight": shared, "c.weight": draw(4, 4)}, tmp_path / "base.pt")
    lora = write_lora(tmp_path / "lora", {"a": (6, 4)})
    assert codes(tmp_path / "base.pt", [lora], tmp_path / "o.safetensors") == ["E632"]
    new = shared + delta(lora, "a")
    for choice, wanted in (("untie", shared), ("share", new)):
        merge(tmp_path / "base.pt", [lora], tmp_path / f"{choice}.safetensors", tied=choice)
        found = load_file(tmp_path / f"{choice}.safetensors")
        torch.testing.assert_close(found["a.weight"], new)
        torch.testing.assert_close(found["b.weight"], wanted)
        assert torch.equal(found["c.weight"], draw(4, 4))
        assert (tmp_path / f"{choice}.merge.json").exists()


def test_places_that_are_refused(tmp_path: Path) -> None:
    base, lora = sharded(tmp_path / "base"), write_lora(tmp_path / "lora", SHAPES)
    for out in (base, tmp_path, lora, tmp_path / "out.safetensors"):
        assert codes(base, [lora], out) == ["E634"]
    file = base / "model-00001-of-00003.safetensors"
    assert codes(file, [lora], tmp_path / "out") == ["E634"]
    assert codes(base, [lora], base / "merged") == ["E634"]
    for read in (base, lora):
        assert codes(base, [lora], read, force=True) == ["E634"]


def test_folders_that_are_no_checkpoint(tmp_path: Path) -> None:
    lora = write_lora(tmp_path / "lora", SHAPES)
    assert codes(lora, [lora], tmp_path / "out") == ["E630"]
    base = sharded(tmp_path / "base")
    index = base / "model.safetensors.index.json"
    good = json.loads(index.read_text())
    del good["weight_map"]["embed.weight"]
    index.write_text(json.dumps(good))
    assert codes(base, [lora], tmp_path / "out") == ["E631"]
    good["weight_map"]["embed.weight"] = "../base/model-00001-of-00003.safetensors"
    index.write_text(json.dumps(good))
    assert codes(base, [lora], tmp_path / "out") == ["E605"]
    assert codes(tmp_path / "none", [lora], tmp_path / "out") == ["E601"]


@pytest.mark.parametrize(
    ("content", "looks"),
    [
        (b"junk\n", "is neither safetensors nor a torch file"),
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is a pointer of git-lfs, not the file itself"),
        (b"PK\x03\x04", "is a torch file, where one of safetensors is wanted"),
    ],
)
def test_a_shard_that_is_something_else(content: bytes, looks: str, tmp_path: Path) -> None:
    base, lora = sharded(tmp_path / "base"), write_lora(tmp_path / "lora", SHAPES)
    file = base / "model-00002-of-00003.safetensors"
    file.write_bytes(content)
    with pytest.raises(Failure) as failure:
        merge(base, [lora], tmp_path / "out")
    (found,) = failure.value.diagnostics
    assert (found.code, found.title) == ("E603", f"{file} is not a checkpoint: it {looks}")


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    base, lora = sharded(tmp_path / "base"), write_lora(tmp_path / "lora", SHAPES)
    file = base / "model-00002-of-00003.safetensors"
    file.write_bytes(file.read_bytes()[:-2])
    assert codes(base, [lora], tmp_path / "out") == ["E605"]


def test_types_and_values_that_cannot_be_merged(tmp_path: Path) -> None:
    lora = write_lora(tmp_path / "lora", {"q": (6, 4)})
    for number, (weight, code) in enumerate(
        [
            (draw(6, 4).to(torch.float8_e4m3fn), "E635"),
            (torch.full((6, 4), 65504.0).half(), "E637"),
            (torch.full((6, 4), float("nan")), "E637"),
        ]
    ):
        save_file({"q.weight": weight}, tmp_path / f"{number}.safetensors")
        if code == "E637" and weight.dtype is torch.half:
            factors = load_file(lora / "adapter_model.safetensors")
            save_file({key: t.abs() * 20 for key, t in factors.items()}, lora / "adapter_model.safetensors")
        assert codes(tmp_path / f"{number}.safetensors", [lora], tmp_path / "o.safetensors") == [code]
        assert not (tmp_path / "o.safetensors").exists()


def test_what_only_the_wider_arithmetic_can_hold(tmp_path: Path) -> None:
    save_file({"q.weight": torch.full((6, 4), 3e38)}, tmp_path / "base.safetensors")
    lora = write_lora(tmp_path / "lora", {"q": (6, 4)})
    factors = load_file(lora / "adapter_model.safetensors")
    save_file({key: torch.full_like(t, 1e19) for key, t in factors.items()}, lora / "adapter_model.safetensors")
    assert codes(tmp_path / "base.safetensors", [lora], tmp_path / "o.safetensors", arithmetic="f64") == ["E637"]
    assert codes(tmp_path / "base.safetensors", [lora], None) == ["E637"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"hash": "md5"}, "E644 hash cannot be 'md5'; it is one of None, 'xxh128', 'sha256'"),
        ({"tied": "both"}, "E644 tied cannot be 'both'; it is one of None, 'untie', 'share'"),
        ({"arithmetic": "f16"}, "E644 arithmetic cannot be 'f16'; it is one of 'f32', 'f64'"),
        ({"base_precision": "half"}, "E644 base_precision cannot be 'half'; it is one of None, 'trained', 'full'"),
        ({"quantised": "gptq"}, "E644 quantised cannot be 'gptq'; it is one of 'nf4', 'int8'"),
        ({"every": 0}, "E644 every cannot be 0; give a number from 1 on, or leave it out"),
        ({"threads": -1}, "E644 threads cannot be -1; give a number from 1 on, or leave it out"),
        ({"memory": "400M"}, "E644 memory cannot be '400M'; give a number from 1 on, or leave it out"),
    ],
)
def test_options_that_have_no_such_value(options: dict[str, Any], text: str, tmp_path: Path) -> None:
    base, lora = sharded(tmp_path / "base"), write_lora(tmp_path / "lora", SHAPES)
    with pytest.raises(Failure) as failure:
        merge(base, [lora], tmp_path / "out", **options)
    assert str(failure.value) == text
    assert not (tmp_path / "out").exists()


def test_what_is_not_merged_in_memory(tmp_path: Path) -> None:
    base, lora = sharded(tmp_path / "base"), write_lora(tmp_path / "lora", SHAPES)
    assert codes(base, [lora], None) == ["E645"]
    assert codes(base, [], None) == codes(base, [], tmp_path / "out") == ["E644"]


def test_too_little_memory_for_one_tile(tmp_path: Path) -> None:
    base, lora = sharded(tmp_path / "base"), write_lora(tmp_path / "lora", SHAPES)
    assert codes(base, [lora], tmp_path / "out", memory=1000) == ["E636"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_how_far_a_base_of_another_type_is_from_the_trained_one(dtype: torch.dtype, tmp_path: Path) -> None:
    notes: list[str] = []
    for name, weight in (("a", draw(64, 128).bfloat16().to(dtype)), ("b", draw(64, 128).bfloat16().float())):
        save_file({"q.weight": weight}, tmp_path / f"{name}.safetensors")
        lora = write_lora(tmp_path / name, {"q": (64, 128)}, base_model_name_or_path="somebody/llama-bnb-4bit")
        out = tmp_path / f"{name}.out.safetensors"
        notes.append(merge(tmp_path / f"{name}.safetensors", [lora], out, base_precision="trained").notes[1])
    assert notes[0] == notes[1]


def test_an_adapter_of_a_quantised_base(tmp_path: Path) -> None:
    weight, norm = draw(64, 128), draw(64)
    save_file({"q.weight": weight, "norm.weight": norm}, tmp_path / "base.safetensors")
    lora = write_lora(tmp_path / "lora", {"q": (64, 128)}, base_model_name_or_path="somebody/llama-bnb-4bit")
    base, out = tmp_path / "base.safetensors", tmp_path / "out.safetensors"
    assert codes(base, [lora], out) == ["E641"]
    report = merge(base, [lora], out, base_precision="full", force=True)
    torch.testing.assert_close(load_file(out)["q.weight"], weight + delta(lora, "q"))
    assert report.notes[0] == "merged into the full weights; the adapters were trained beside nf4"
    blocks = weight.reshape(-1, 64)
    largest = blocks.abs().amax(1, keepdim=True)
    nearest = ((blocks / largest)[..., None] - LEVELS).abs().argmin(-1)
    quantised = (LEVELS[nearest] * largest).reshape(weight.shape)
    apart = float((quantised - weight).norm() / weight.norm())
    assert f"differ by {apart:.2%}" in report.notes[1]
    merge(base, [lora], out, base_precision="trained", force=True)
    torch.testing.assert_close(load_file(out)["q.weight"], quantised + delta(lora, "q"))
    assert torch.equal(load_file(out)["norm.weight"], norm)
    merge(base, [lora], out, base_precision="trained", quantised="int8", force=True)
    step = weight.abs().amax(1, keepdim=True) / 127
    torch.testing.assert_close(load_file(out)["q.weight"], (weight / step).round() * step + delta(lora, "q"))


def test_what_peft_notes_in_the_card_counts(tmp_path: Path) -> None:
    save_file({"q.weight": draw(6, 64)}, tmp_path / "base.safetensors")
    lora = write_lora(tmp_path / "lora", {"q": (6, 64)}, base_model_name_or_path="somebody/llama-8b")
    merge(tmp_path / "base.safetensors", [lora], tmp_path / "a.safetensors")
    (lora / "README.md").write_text("- load_in_8bit: False\n- load_in_4bit: True\n")
    assert codes(tmp_path / "base.safetensors", [lora], tmp_path / "b.safetensors") == ["E641"]


LEVELS = torch.tensor(
    [
        -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
        -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
        0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
    ]
)  # fmt: skip


def test_one_merge_at_a_time(tmp_path: Path) -> None:
    base, lora = sharded(tmp_path / "base"), write_lora(tmp_path / "lora", SHAPES)
    with Staging(tmp_path / "out", "another"):
        assert codes(base, [lora], tmp_path / "out") == ["E634"]
    merge(base, [lora], tmp_path / "out")


def test_packed_tensors_of_a_torch_file(tmp_path: Path) -> None:
    torch.save({"a.weight": draw(6, 4), "b": torch.eye(3).to_sparse()}, tmp_path / "base.pt")
    lora = write_lora(tmp_path / "lora", {"a": (6, 4)})
    assert codes(tmp_path / "base.pt", [lora], tmp_path / "o.safetensors") == ["E614"]


def test_what_does_not_go_by_rows_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "MEMORY", 2000)
    save_file({"q.weight": draw(32, 32)}, tmp_path / "base.safetensors")
    lora = write_lora(tmp_path / "lora", {"q": (32, 32)}, init_lora_weights="pissa")
    report = merge(tmp_path / "base.safetensors", [lora], tmp_path / "out.safetensors")
    assert report.notes[-1].startswith("tensors that do not go by rows: 1, of which q.weight takes up to 0 MiB")
