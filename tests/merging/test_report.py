"""What a merge says of itself."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from repc.merging import merge
from tests.merging.checkpoints import SHAPES, sharded, write_lora


def test_a_report_prints_well(tmp_path: Path) -> None:
    base, lora = sharded(tmp_path / "base", torch.float16), write_lora(tmp_path / "a<b", SHAPES)
    report = merge(base, lora, tmp_path / "a<b.out")
    first, second, *_, last = str(report).split("\n")
    assert first == "  Changed   6 tensors; 4 kept · computed in float32"
    assert second.startswith("  Rounding  loses ")
    assert last == f"  Wrote     {tmp_path / 'a<b.out'}"
    assert "a&lt;b.out" in report._repr_html_()
    for file in lora.glob("*.safetensors"):
        save_file({key: 0.1 * factor for key, factor in load_file(file).items()}, file)
    lossy = str(merge(sharded(tmp_path / "coarse"), lora, tmp_path / "out"))
    assert "\n  Warning   layers." in lossy
    assert "\n            and 1 more tensors that lose over 10 %" in lossy
    assert "\n            the stored type is too coarse for this change" in lossy
