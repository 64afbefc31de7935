"""What goes wrong in practice: each has its own message, and leaves no half-written file."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from repc.driver import load
from tests.cli.conftest import Ran, Repc
from tests.cli.specs import BLOCK


@pytest.fixture
def net(repc: Repc) -> Path:
    Path("net.rep").write_text(BLOCK)
    save_file(dict(load("net.rep").module(seed=1).state_dict()), "net.safetensors")
    return Path("net.rep")


def compiled(repc: Repc, *words: object) -> Ran:
    """A compile that must fail, and leave the folder as it was."""
    before = sorted(Path().rglob("*"))
    ran = repc("compile", *words, "-o", "out")
    assert ran.code in (1, 2), ran.out
    assert sorted(Path().rglob("*")) == before
    return ran


# ---------------------------------------------------------------- checkpoints


def changed(name: str, value: torch.Tensor | None) -> None:
    """Change one tensor of the checkpoint, or take it out."""
    state = load_file("net.safetensors")
    if value is None:
        del state[name]
    else:
        state[name] = value
    save_file(state, "net.safetensors")


@pytest.mark.parametrize(
    ("key", "value", "code", "said"),
    [
        ("dense.conv.weight", None, "E611", "dense.conv.weight [4, 3, 3, 3]"),
        ("dense.bn.gamma", torch.ones(4), "E612", "dense.bn.gamma [4]"),
        ("head.weight", torch.ones(5, 4, 1, 1), "E613", "the file has [5, 4, 1, 1], the model [2, 4, 1, 1]"),
        ("point.bn.running_var", torch.tensor([1, 1, 1, float("nan")]), "E615", "point.bn.running_var: 1 of 4 values"),
    ],
)
def test_a_checkpoint_that_does_not_fit(
    repc: Repc, net: Path, key: str, value: torch.Tensor | None, code: str, said: str
) -> None:
    changed(key, value)
    ran = compiled(repc, net, "--weights", "net.safetensors")
    assert (ran.code, ran.out) == (2, "")
    assert f"error[{code}]" in ran.err
    assert said in ran.err


@pytest.mark.parametrize(
    ("content", "code"), [(None, "E601"), (b"", "E603"), (b"<html>", "E603"), (b"PK\x03\x04rubbish", "E605")]
)
def test_a_checkpoint_that_is_none(repc: Repc, net: Path, content: bytes | None, code: str) -> None:
    if content is not None:
        Path("weights.pth").write_bytes(content)
    ran = compiled(repc, net, "--weights", "weights.pth")
    assert (ran.code, f"error[{code}]" in ran.err) == (2, True)


# ---------------------------------------------------------------- what cannot fold


def test_a_batch_norm_without_running_statistics_remains_and_is_named(repc: Repc) -> None:
    Path("net.rep").write_text(
        BLOCK.replace("bias=false) >> bn: BatchNorm()\n    |", "bias=false) >> bn: BatchNorm(track=false)\n    |")
    )
    ran = compiled(repc, "net.rep")
    assert ran.code == 1
    assert "BatchNormalization == 0 of target deploy, found 1" in ran.out
    for text in (ran.out, repc("explain", "net.rep").out):
        assert "dense.bn has no running statistics" in text
        assert "track running statistics" in text


def test_a_second_consumer_is_named(repc: Repc) -> None:
    Path("net.rep").write_text(
        "repc 1\nimport std.conv\nmodel Net(x: f32[b, 3, h, w]) {\n"
        "  let y = x >> conv: Conv(4, 3)\n  return y >> bn: BatchNorm(), y\n}\n"
        "target deploy = onnx of Net { expect { BatchNormalization == 0 } }\n"
    )
    ran = compiled(repc, "net.rep")
    assert (ran.code, "conv is read by bn and by output" in ran.out, "edge conv -> bn" in ran.out) == (1, True, True)


def test_a_tied_weight_is_named(repc: Repc) -> None:
    Path("net.rep").write_text(
        "repc 1\nimport std.conv\nmodel Net(x: f32[b, 3, h, w]) {\n"
        "  weight K: [3, 3, 3, 3] = kaiming_uniform(a=sqrt(5))\n"
        "  let y = conv(x, K, pad=1) >> bn: BatchNorm()\n  return conv(y, K, pad=1)\n}\n"
        "target deploy = onnx of Net { expect { BatchNormalization == 0 } }\n"
    )
    ran = compiled(repc, "net.rep")
    assert (ran.code, "shared by" in ran.out, "untie the weight" in ran.out) == (1, True, True), ran.out


def test_unknown_targets_and_adapters_without_a_base(repc: Repc, net: Path) -> None:
    assert "did you mean `deploy`?" in compiled(repc, net, "--target", "deplox").err
    assert "E620" in compiled(repc, net, "--adapter", ".").err


# ---------------------------------------------------------------- the disk


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The system refuses to let a file grow further, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("command", ["compile", "export"])
def test_a_full_disk_leaves_nothing_behind(repc: Repc, net: Path, command: str) -> None:
    before = sorted(Path().iterdir())
    with files_of_at_most(1000):
        ran = repc(command, net, "-o", "out", *(["--no-verify"] if command == "compile" else []))
    assert (ran.code, "error[E701]" in ran.err, ran.out) == (2, True, "")
    assert sorted(Path().iterdir()) == before


def test_a_disk_that_fills_at_the_end_keeps_the_earlier_build(
    repc: Repc, net: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repc("compile", net, "-o", "out", "--no-verify")
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    synced = iter(range(2))
    right = os.fsync

    def full(file: int) -> None:
        if next(synced, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        right(file)

    monkeypatch.setattr(os, "fsync", full)
    ran = repc("compile", net, "--weights", "net.safetensors", "-o", "out", "--no-verify")
    assert (ran.code, "no space left on device" in ran.err, "free some space" in ran.err) == (2, True, True)
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before
    assert not list(Path().glob(".*.part"))


@pytest.mark.parametrize("output", ["file/build", "file", "/proc/build"])
def test_an_output_folder_that_cannot_be_written(repc: Repc, net: Path, output: str) -> None:
    Path("file").write_text("mine")
    before = sorted(Path().iterdir())
    ran = repc("compile", net, "-o", output, "--no-verify")
    assert (ran.code, "error[E701]: cannot write" in ran.err) == (2, True), ran.err
    assert (sorted(Path().iterdir()), Path("file").read_text()) == (before, "mine")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(repc: Repc, net: Path) -> None:
    Path("locked").mkdir(mode=0o500)
    ran = repc("compile", net, "-o", "locked/build", "--no-verify")
    assert (ran.code, "choose a folder that you may write to" in ran.err) == (2, True)
