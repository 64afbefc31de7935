"""What a merge destroys, of which the first rows tell."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from repc.merging import merge
from tests.merging.checkpoints import draw, write_folder, write_lora

SHAPES: dict[str, tuple[int, int]] = dict.fromkeys(("pruned", "coded", "turned", "plain"), (40, 40))


def test_zeros_codes_and_rotations(tmp_path: Path) -> None:
    pruned = draw(40, 40, seed=1) * (draw(40, 40, seed=2) > 0)
    turned = torch.linalg.qr(draw(40, 40, seed=3)).Q.contiguous()
    weights = {"pruned": pruned, "coded": draw(40, 40, seed=4).round(), "turned": turned, "plain": draw(40, 40)}
    base = write_folder(tmp_path / "base", [{f"{name}.weight": w for name, w in weights.items()}])
    report = merge(base, [write_lora(tmp_path / "lora", SHAPES)], tmp_path / "out")
    lost = dict(note.split(": ", 1) for note in report.notes)
    assert lost.keys() == {"pruned.weight", "coded.weight", "turned.weight"}
    assert lost["pruned.weight"].endswith("of it was zero, 0% is")
    assert "different values, as of a quantiser" in lost["coded.weight"]
    assert "it was orthogonal" in lost["turned.weight"]
    only = merge(base, [write_lora(tmp_path / "other", {"plain": (40, 40)})], tmp_path / "second")
    assert only.notes == ()


def test_the_first_rows_of_what_is_large(tmp_path: Path) -> None:
    weight = draw(600, 256)
    weight[:, ::2] = 0
    save_file({"a.weight": weight}, tmp_path / "base.safetensors")
    lora = write_lora(tmp_path / "lora", {"a": (600, 256)})
    report = merge(tmp_path / "base.safetensors", [lora], tmp_path / "out.safetensors")
    assert report.notes == ("a.weight (its first 256 rows): 50% of it was zero, 0% is",)


def test_only_the_first_weights_are_named(tmp_path: Path) -> None:
    weights = {f"l{i}.weight": torch.zeros(8, 16) for i in range(7)}
    save_file(weights, tmp_path / "base.safetensors")
    lora = write_lora(tmp_path / "lora", {key.removesuffix(".weight"): (8, 16) for key in weights})
    notes = merge(tmp_path / "base.safetensors", [lora], tmp_path / "out.safetensors").notes
    assert len([note for note in notes if note.endswith("100% of it was zero, 0% is")]) == 5
    assert notes[-1] == "and 2 more weights that are no longer sparse, quantised or orthogonal"
