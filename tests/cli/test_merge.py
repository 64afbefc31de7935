"""``repc merge``: what it says, what it writes, and what it wants to be told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.cli.conftest import Repc
from tests.merging.checkpoints import SHAPES, draw, hashes, sharded, write_lora

GOLDEN = Path(__file__).parent / "golden"


def test_a_merge_says_what_it_did(repc: Repc, golden: Callable[[Path, str], None]) -> None:
    sharded(Path("base"))
    write_lora(Path("lora"), SHAPES)
    (Path("base") / "pytorch_model.bin").write_bytes(b"old")
    ran = repc("merge", "base", "lora", "-o", "out", "--measure-all")
    assert (ran.code, ran.err) == (0, "repc: reading headers\nrepc: finishing\n")
    golden(GOLDEN / "merge.txt", ran.masked)
    assert {"config.json", "tokenizer.json", "repc_merge.json"} < hashes(Path("out")).keys()


def test_a_dry_run_writes_nothing(repc: Repc, golden: Callable[[Path, str], None]) -> None:
    sharded(Path("base"))
    write_lora(Path("lora"), {"layers.1.q": (48, 32), "layers.1.v": (16, 32)})
    ran = repc("merge", "base", "lora", "--dry-run")
    golden(GOLDEN / "merge-dry.txt", ran.out)
    assert sorted(file.name for file in Path().iterdir()) == ["base", "lora"]
    told = json.loads(repc("merge", "base", "lora", "--dry-run", "--json").out)
    assert list(told["changed"]) == ["layers.1.q.weight", "layers.1.v.weight"]
    assert told["files"] == {}


def test_models_are_combined(repc: Repc) -> None:
    for number in range(3):
        save_file({"a.weight": draw(6, 4, seed=number), "a.running_var": draw(6)}, f"{number}.safetensors")
    words = (
        "merge",
        "0.safetensors",
        "1.safetensors",
        "2.safetensors",
        "--with",
        "repc:soup",
        "--set",
        "weights=[3,1]",
    )
    assert repc(*words, "-o", "out.safetensors").code == 2
    assert repc(*words, "-o", "out.safetensors", "--buffers", "keep", "--arithmetic", "f64").code == 0
    wanted = (3 * draw(6, 4, seed=1) + draw(6, 4, seed=2)) / 4
    torch.testing.assert_close(load_file("out.safetensors")["a.weight"], wanted)
    assert json.loads(Path("out.merge.json").read_text())["arithmetic"] == "float64"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), "E919"),
        (("-o", "out", "--memory", "lots"), "E911"),
        (("-o", "out", "--threads", "0"), "E911"),
        (("-o", "base"), "E634"),
        (("-o", "lora"), "E634"),
        (("-o", "out", "--set", "density=1"), "E922"),
        (("-o", "out", "--buffers", "keep"), "E922"),
        (("-o", "out", "--quantised", "int8"), "E922"),
        (("-o", "out", "--with", "repc:soup", "--compat"), "E922"),
        (("-o", "out", "--with", "repc:soup", "--tied", "untie"), "E922"),
    ],
)
def test_what_it_wants_to_be_told(words: tuple[str, ...], code: str, repc: Repc) -> None:
    sharded(Path("base"))
    write_lora(Path("lora"), SHAPES)
    ran = repc("merge", "base", "lora", *words)
    assert ran.code == 2
    assert re.findall(r"E\d{3}", ran.err)[0] == code
    assert not list(Path().glob(".*"))


def test_much_memory_is_no_error(repc: Repc) -> None:
    sharded(Path("base"))
    write_lora(Path("lora"), SHAPES)
    assert repc("merge", "base", "lora", "-o", "out", "--memory", "2G", "--hash", "none").code == 0
    manifest = json.loads(Path("out/repc_merge.json").read_text())
    assert manifest["hash"] is None
    assert {*manifest["inputs"].values(), *manifest["files"].values()} == {None}


def test_the_hashes_that_hubs_show(repc: Repc) -> None:
    base = sharded(Path("base"))
    write_lora(Path("lora"), SHAPES)
    assert repc("merge", "base", "lora", "-o", "out", "--hash", "sha256").code == 0
    manifest = json.loads(Path("out/repc_merge.json").read_text())
    assert manifest["hash"] == "sha256"
    for folder, found in ((base.parent, manifest["inputs"]), (Path("out"), manifest["files"])):
        assert all(sha256((folder / name).read_bytes()).hexdigest() == own for name, own in found.items())
