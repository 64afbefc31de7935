"""``repc expand``: what it writes computes the same, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
import torch
from safetensors.torch import load_file

from repc.driver import load
from repc.evaluate.stored import deployed
from tests.cli.conftest import Repc

NET = """\
repc 1
import std.conv

block Zeroed<co>(x: [b, ci, ...s]) {
  weight g: [co] = zeros
  return (x >> dense: Conv(co, 3, pad=1)) * along(g, 1)
}

block Two<co>(x: [b, ci, ...s], y: [b, ci, ...s]) = (x >> Conv(co, 3, pad=1)) + y

model Net(image: f32[b, 3, h, w]) =
  image
    >> stem: Conv(4, 3, pad=1)
    >> ReLU()
    >> body: repeat 2 { conv: Conv(4, 3, pad=1, bias=false) >> ReLU() }
    >> GlobalAvgPool()
    >> head: Linear(2)
"""


@pytest.fixture(autouse=True)
def net(repc: Repc) -> None:
    Path("net.rep").write_text(NET)


def kernels(spec: str, weights: str | None = None) -> dict[str, torch.Tensor]:
    """The deployed weights in float64."""
    fused = load(spec).fuse(weights)
    return deployed(fused.graph, fused.parameters.values, torch.float64)


def test_what_is_written_folds_back_to_what_was_given(repc: Repc) -> None:
    before = kernels("net.rep:Net")
    ran = repc("expand", "net.rep:Net", "--site", "body.*.conv", "--as", "repvgg", "-o", "train.rep", "--dtype", "f64")
    assert ran.code == 0
    assert "2 operators as repvgg: body.0.conv 1 -> 6, body.1.conv 1 -> 6" in ran.out
    assert "the same function · 2 segments, P(miss) < 1e-09" in ran.out
    assert "body.1.conv.rbr_dense.conv.weight" in load_file("train.safetensors")
    after = kernels("train.rep", "train.safetensors")
    for place in ("stem", "head"):
        torch.testing.assert_close(after[f"{place}.weight"], before[f"{place}.weight"], rtol=0, atol=0)
    for i in (0, 1):
        made = after[f"body.{i}.conv.rbr_reparam.weight"]
        torch.testing.assert_close(made, before[f"body.{i}.conv.weight"], rtol=0, atol=1e-12)
        assert float(after[f"body.{i}.conv.rbr_reparam.bias"].abs().max()) < 1e-12


def test_a_compiled_folder_and_a_file_of_it_can_be_expanded(repc: Repc) -> None:
    repc("compile", "net.rep:Net", "-o", "build", "--no-verify")
    for given in ("build", "build/model.onnx"):
        words = (
            "expand",
            given,
            "--site",
            "body.0.*",
            "--as",
            "wider",
            "--with",
            "channels=9",
            "-o",
            "t.rep",
            "--force",
        )
        ran = repc(*words, "--json")
        record = json.loads(ran.out)
        assert (ran.code, record["equal"], record["sites"]) == (0, True, [{"path": "body.0.conv", "operators": 1}])
        assert load_file("t.safetensors")["body.1.conv.weight"].shape == (4, 9, 3, 3)
        assert repc("verify", "t.rep", "--weights", "t.safetensors", "--level", "sample").code == 0
    assert onnx.load("build/model.onnx").graph.node


def test_the_same_seed_gives_the_same_file(repc: Repc) -> None:
    words = ("expand", "net.rep:Net", "--site", "stem", "--as", "dbb", "-o", "t.rep", "--force", "-q", "--seed")
    found: list[bytes] = []
    for seed in (1, 1, 2):
        assert repc(*words, seed).code == 0
        found.append(Path("t.safetensors").read_bytes())
    assert found[0] == found[1] != found[2]


def test_the_grown_model_trains() -> None:
    found = load("net.rep:Net").fuse().expand("stem", "acnet")
    assert found.prove()
    module = found.model.module()
    loss = module(torch.randn(3, 3, 6, 5)).square().sum()
    loss.backward()
    assert all(weight.grad is not None for weight in module.parameters())


@pytest.mark.parametrize(
    ("site", "into", "given", "code", "text"),
    [
        ("steam", "repvgg", (), "E904", "did you mean `stem`?"),
        ("head", "identity", ("rate=2",), "E905", "identity has no parameter rate"),
        ("body.*.conv", "deeper", ("co=2",), "E905", "body.1.conv cannot become deeper"),
        ("stem", "repc:repghostnet/Shortcut", ("k=3", "stride=1"), "E905", "stem cannot become"),
        ("stem", "net.rep:Zeroed", (), "E906", "nothing that stem.dense.weight could be"),
        ("stem", "net.rep:Two", (), "E907", "net.rep:Two is no block with one input"),
        ("stem", "net.rep", (), "E907", "net.rep is no block with one input"),
        ("stem", "repvg", (), "E908", "did you mean repvgg?"),
        ("stem", "qqq", (), "E908", "it is one of repvgg, mobileone, acnet, dbb, orepa, zero, identity, deeper"),
        ("head", "zero", (), "E301", "note: zero is put in the place of head"),
        ("stem", "repvgg", ("stride",), "E911", "--with branches=3"),
    ],
)
def test_refusals(repc: Repc, site: str, into: str, given: tuple[str, ...], code: str, text: str) -> None:
    words = [word for one in given for word in ("--with", one)]
    ran = repc("expand", "net.rep:Net", "--site", site, "--as", into, *words, "-o", "t.rep")
    assert ran.code == 2
    assert f"error[{code}]" in ran.err
    assert text in ran.err
    assert not Path("t.rep").exists()


def test_files_are_replaced_on_request_only(repc: Repc) -> None:
    words = ("expand", "net.rep:Net", "--site", "stem", "--as", "zero", "-o", "net.rep")
    ran = repc(*words)
    assert (ran.code, "E916" in ran.err) == (2, True)
    assert Path("net.rep").read_text() == NET
    assert repc(*words, "--force").code == 0
