"""Merges from file to file: the same weights as in memory, the same bits however the work goes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from errno import ENOSPC, EOPNOTSUPP
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from repc.diagnostics import Failure
from repc.merging import computed, merge
from tests.fixtures import DATA, adapter
from tests.merging.checkpoints import SHAPES, draw, hashes, sharded, write_folder, write_lora

CASES = sorted(folder.name for folder in (DATA / "adapters").iterdir() if folder.is_dir())


@pytest.mark.parametrize("case", CASES)
def test_tiles_of_every_method_give_the_whole(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computed, "TILE", 8)
    folders = [folder for folder in (adapter(case), adapter(case) / "second") if folder.is_dir()]
    base, out = adapter(case) / "base.safetensors", tmp_path / "out.safetensors"
    report = merge(base, folders, out, arithmetic="f64", threads=2)
    whole, tiled = merge(base, folders), load_file(out)
    assert sorted(tiled) == sorted(whole.tensors)
    assert report.changes.keys() == whole.changed
    for key, wanted in whole.tensors.items():
        assert tiled[key].dtype == wanted.dtype
        torch.testing.assert_close(tiled[key], wanted, rtol=1e-2 if wanted.dtype is torch.bfloat16 else 3e-7, atol=1e-9)


def test_a_folder_is_merged_into_a_folder(tmp_path: Path) -> None:
    base, lora = sharded(tmp_path / "base"), write_lora(tmp_path / "lora", SHAPES)
    (base / "pytorch_model.bin").write_bytes(b"old")
    report = merge(base, [lora], tmp_path / "out")
    assert not list(tmp_path.glob(".*"))
    names = {file.name for file in base.iterdir()} - {"pytorch_model.bin"} | {"repc_merge.json"}
    assert {file.name for file in (tmp_path / "out").iterdir()} == names
    assert report.notes == ("not carried along: pytorch_model.bin",)
    factors = load_file(lora / "adapter_model.safetensors")
    for file in base.glob("*.safetensors"):
        old, new = load_file(file), load_file(tmp_path / "out" / file.name)
        assert list(old) == list(new)
        for key, tensor in old.items():
            prefix = f"base_model.model.{key.removesuffix('.weight')}.lora"
            if f"{prefix}_A.weight" in factors:
                a, b = factors[f"{prefix}_A.weight"], factors[f"{prefix}_B.weight"]
                exact = tensor.double() + 1.5 * b.double() @ a.double()
                # One rounding: half a unit of the last place, and the noise of float32.
                assert float(((new[key].double() - exact) / exact).abs().max()) < 2**-8 * 1.001 + 1e-4
                assert float((new[key] != exact.bfloat16()).float().mean()) < 1e-3
            else:
                assert torch.equal(new[key], tensor)
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == json.loads((base / "model.safetensors.index.json").read_text())["weight_map"]
    count = sum(tensor.numel() for file in base.glob("*.safetensors") for tensor in load_file(file).values())
    assert index["metadata"]["total_size"] == 2 * count


def test_the_manifest_says_what_went_in_and_out(tmp_path: Path) -> None:
    base, lora = sharded(tmp_path / "base"), write_lora(tmp_path / "lora", {"layers.1.q": (48, 32)})
    merge(base, [lora], tmp_path / "out", every=1)
    manifest = json.loads((tmp_path / "out" / "repc_merge.json").read_text())
    assert manifest["hash"] == "xxh128"
    assert (manifest["base"], manifest["adapters"]) == (str(base), [str(lora)])
    known = {
        **{str(base / k): v for k, v in hashes(base).items()},
        **{str(lora / k): v for k, v in hashes(lora).items()},
    }
    assert manifest["inputs"].items() <= known.items()
    assert len(manifest["inputs"]) == 5
    assert manifest["files"].items() <= hashes(tmp_path / "out").items()
    (change,) = manifest["changed"].values()
    assert change["expression"] == (
        "layers.1.q.weight + 3/2 * (layers.1.q.adapter0.lora_B.weight @ layers.1.q.adapter0.lora_A.weight)"
    )
    old, new = (
        load_file(folder / "model-00002-of-00003.safetensors")["layers.1.q.weight"]
        for folder in (base, tmp_path / "out")
    )
    factors = load_file(lora / "adapter_model.safetensors")
    a, b = (factors[f"base_model.model.layers.1.q.lora_{x}.weight"].double() for x in "AB")
    exact = old.double() + 1.5 * b @ a
    lost = float((new.double() - exact).norm() / (exact - old.double()).norm())
    assert change["lost"] == pytest.approx(lost, rel=1e-3)
    assert change["unchanged"] == float((new == old).double().mean())
    assert change["measured"] == old.numel()


@pytest.mark.parametrize(
    ("every", "rows"),
    [
        (1, range(48)),
        (3, [*range(4), *range(12, 16), *range(24, 28), *range(36, 40)]),  # every third tile as a whole
        (16, [0, 1, 32]),  # two rows of the first eight tiles, one of the last four
        (64, [0, 32]),
    ],
)
def test_some_rows_are_measured(
    every: int, rows: Sequence[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tiles have four rows."""
    monkeypatch.setattr(computed, "TILE", 4 * 32)
    monkeypatch.setattr(computed, "WHOLE", 48 * 32 - 1)
    base, lora = sharded(tmp_path / "base"), write_lora(tmp_path / "lora", {"layers.1.q": (48, 32)})
    loss = merge(base, [lora], tmp_path / "out", every=every).changes["layers.1.q.weight"].loss
    old, new = (load_file(place / "model-00002-of-00003.safetensors") for place in (base, tmp_path / "out"))
    old, new = (found["layers.1.q.weight"][list(rows)] for found in (old, new))
    assert loss is not None
    assert (loss.count, loss.same) == (len(rows) * 32, int((old == new).sum()))


def test_small_tensors_are_measured_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computed, "WHOLE", 16 * 32)
    base, lora = sharded(tmp_path / "base"), write_lora(tmp_path / "lora", SHAPES)
    report = merge(base, [lora], tmp_path / "out", every=2)
    losses = {key: change.loss for key, change in report.changes.items()}
    assert {key: loss.count for key, loss in losses.items() if loss} == {
        f"{module}.weight": 16 * 32 if module.endswith("v") else 24 * 32 for module in SHAPES
    }
    lost, change = (
        sum(getattr(loss, name) * (1 if "v" in key else 2) for key, loss in losses.items() if loss)
        for name in ("lost", "change")
    )
    assert report.total.relative == pytest.approx((lost / change) ** 0.5)
    assert report.total.count == 3 * (48 + 16) * 32


def test_threads_memory_and_earlier_runs_change_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computed, "TILE", 200)
    base, lora = sharded(tmp_path / "base"), write_lora(tmp_path / "lora", SHAPES)
    merge(base, [lora], tmp_path / "a", threads=1)
    merge(base, [lora], tmp_path / "b", threads=5, memory=20_000)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    with pytest.raises(Failure) as failure:
        merge(base, [lora], tmp_path / "b")
    assert failure.value.diagnostics[0].code == "E634"
    merge(base, [lora], tmp_path / "b", force=True)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_nothing_remains_of_what_is_replaced(tmp_path: Path) -> None:
    base, lora = sharded(tmp_path / "base"), write_lora(tmp_path / "lora", SHAPES)
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    for out in ("link", "file", "folder"):
        merge(base, [lora], tmp_path / out, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "file", "folder", "link", "lora"]
    assert hashes(tmp_path / "link") == hashes(tmp_path / "file") == hashes(tmp_path / "folder")


def test_a_full_disk_shows_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, lora = sharded(tmp_path / "base"), write_lora(tmp_path / "lora", SHAPES)

    def full(*_: int) -> None:
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr(computed.Computed, "tile", None)
    with pytest.raises(Failure, match="no space left on device") as failure:
        merge(base, [lora], tmp_path / "out")
    assert failure.value.diagnostics[0].code == "E701"
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / ".out.part").glob("model*"))


@pytest.mark.parametrize("way", ["refused", "missing"])
def test_a_system_that_reserves_nothing(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, lora = sharded(tmp_path / "base"), write_lora(tmp_path / "lora", SHAPES)
    merge(base, [lora], tmp_path / "a")

    def refused(*_: int) -> None:
        raise OSError(EOPNOTSUPP, "Operation not supported")

    if way == "refused":
        monkeypatch.setattr(os, "posix_fallocate", refused)
    else:
        monkeypatch.delattr(os, "posix_fallocate")
    merge(base, [lora], tmp_path / "b")
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_tensors_without_elements(tmp_path: Path) -> None:
    shapes = {"a": (12, 8), "b": (4, 0), "c": (0, 8), "d": (1, 8)}
    weights = {f"{name}.weight": draw(*shape) for name, shape in shapes.items()}
    base, lora = write_folder(tmp_path / "base", [weights]), write_lora(tmp_path / "lora", shapes)
    report = merge(base, [lora], tmp_path / "out")
    found = load_file(tmp_path / "out" / "model-00001-of-00001.safetensors")
    assert {name: found[f"{name}.weight"].shape for name in shapes} == shapes
    assert report.files.items() <= hashes(tmp_path / "out").items()


KILLED = """
import os, random, signal, sys, time
from collections.abc import Sequence
from pathlib import Path
from repc.merging import computed, merge, stream
from tests.merging.checkpoints import SHAPES, hashes, sharded, write_lora

computed.TILE = 200
folder = Path(sys.argv[1])
base, lora = sharded(folder / "base"), write_lora(folder / "lora", SHAPES)

def run(out, writes):
    pid = os.fork()
    if not pid:
        left, write_at = [writes], stream.write_at
        def counted(*args):
            left[0] -= 1
            if not left[0]:
                time.sleep(0.1)  # what is complete gets recorded
                os.kill(os.getpid(), signal.SIGKILL)
            write_at(*args)
        stream.write_at = counted
        os._exit(10 + merge(base, [lora], out, threads=2).resumed)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

assert run(folder / "whole", -1) == 10
wanted, resumed = hashes(folder / "whole"), []
for number, writes in enumerate(random.Random(3).sample(range(2, 37), 10)):
    out = folder / f"out{number}"
    assert run(out, writes) == -signal.SIGKILL
    assert not out.exists() and (folder / f".out{number}.part").is_dir()
    resumed.append(run(out, -1) - 10)
    assert hashes(out) == wanted
    assert not (folder / f".out{number}.part").exists()
print(sum(resumed) > 0)
"""


def test_a_merge_that_was_killed_goes_on(tmp_path: Path) -> None:
    """Ten times, at random moments, with a signal that leaves no time to clean up."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path], cwd=root, capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr


def stopped(base: Path, lora: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A merge that ends in an error once two files are finished."""

    def fails(self: object, index: int) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(computed.Computed, "tile", fails)
        with pytest.raises(Failure) as failure:
            merge(base, [lora], out, threads=1)
    assert failure.value.diagnostics[0].code == "E701"


def test_only_what_still_holds_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, lora = sharded(tmp_path / "base"), write_lora(tmp_path / "lora", {"layers.2.q": (48, 32)})
    wanted = merge(base, [lora], tmp_path / "a", threads=1).files
    out, part = tmp_path / "out", tmp_path / ".out.part"
    stopped(base, lora, out, monkeypatch)
    assert sorted(file.name[:11] for file in part.glob("model*")) == ["model-00001", "model-00002", "model-00003"]
    report = merge(base, [lora], out)
    assert (report.resumed, report.files) == (2, wanted)
    stopped(base, lora, tmp_path / "b", monkeypatch)
    damaged = tmp_path / ".b.part" / "model-00001-of-00003.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\0")
    shard = base / "model-00002-of-00003.safetensors"
    changed = load_file(shard)
    changed["layers.1.norm.weight"] += 1
    save_file(changed, shard, {"format": "pt"})
    report = merge(base, [lora], tmp_path / "b")
    assert report.resumed == 0
    assert report.files["model-00001-of-00003.safetensors"] == wanted["model-00001-of-00003.safetensors"]
    assert torch.equal(load_file(tmp_path / "b" / shard.name)["layers.1.norm.weight"], changed["layers.1.norm.weight"])
    stopped(base, lora, tmp_path / "c", monkeypatch)
    other = write_lora(tmp_path / "other", {"layers.0.q": (48, 32)})
    assert merge(base, [other], tmp_path / "c").resumed == 0


def test_a_bias_that_an_adapter_makes_is_stored_beside_its_weight(tmp_path: Path) -> None:
    tensors = {"q.weight": draw(6, 4).bfloat16(), "q.flags": torch.ones(3, dtype=torch.uint8), "k.weight": draw(4, 4)}
    base = write_folder(tmp_path / "base", [{"k.weight": tensors.pop("k.weight")}, tensors])
    lora = write_lora(tmp_path / "lora", {"q": (6, 4)}, lora_bias=True)
    factors = load_file(lora / "adapter_model.safetensors")
    save_file({**factors, "base_model.model.q.lora_B.bias": draw(6)}, lora / "adapter_model.safetensors")
    report = merge(base, [lora], tmp_path / "out")
    found = load_file(tmp_path / "out" / "model-00002-of-00002.safetensors")
    torch.testing.assert_close(found["q.bias"], (1.5 * draw(6)).bfloat16())
    assert report.changes["q.bias"].new
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["weight_map"]["q.bias"] == "model-00002-of-00002.safetensors"
