"""``repc import``: models of other tools as specs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from repc.cli.inputs import kind_of
from tests.cli.conftest import Repc
from tests.cli.specs import BLOCK

FACTORY = """\
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.register_buffer("table", torch.arange(width * 1.0).reshape(1, width, 1, 1), persistent=False)

    def forward(self, x):
        return x + self.conv(x).relu() * self.table


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride=2)
        self.blocks = nn.Sequential(*[Block(width) for _ in range(4)])

    def forward(self, x):
        return torch.cummax(self.blocks(self.stem(x)).mean((2, 3)), 1)[0]


def build(width=8):
    return Net(width), torch.randn(2, 3, 9, 11)
"""

LIFTED = """\
repc 1
import std.conv

block Block(x: [b, c, h, w]) {
  buffer table_1: [1, 6, 1, 1] = zeros
  return x + (x >> conv: Conv(6, 3, pad=1) >> ReLU()) * table_1
}

model Build(x: f32[batch, 3, 9, 11]) {
  let y = x >> stem: Conv(6, 3, stride=2) >> blocks: repeat 4 { Block() } >> mean(axis=[2, 3])
  let (y2, _) = opaque("aten.cummax.default", y, 1) -> (f32[batch, 6], i64[batch, 6])
  let output = y2
  return output
}
"""


@pytest.fixture
def factory(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "lifted_net.py").write_text(FACTORY, encoding="utf-8")
    yield "lifted_net:build"
    sys.modules.pop("lifted_net", None)


def test_a_factory_becomes_a_spec_and_its_weights(repc: Repc, tmp_path: Path, factory: str) -> None:
    ran = repc("import", factory, "--set", "width=6", "-o", "net.rep")
    assert ran.code == 0, ran.err
    assert (tmp_path / "net.rep").read_text(encoding="utf-8") == LIFTED
    assert ran.masked == (
        "  Model     Build · 20 nodes\n"
        "  Spec      net.rep · 14 lines · 1 block · 1 repeat\n"
        "  Opaque    1 call as in the original: aten.cummax.default\n"
        "  Weights   net.safetensors · 14 tensors · … B · 4 constants that no state_dict holds\n"
        "  Note      aten.cummax.default stays as it is: repc has no operator for it\n"
        "  Checked   the spec means the same graph\n"
    )
    assert "repc compile net.rep --weights net.safetensors" in ran.err
    assert repc("fmt", "--check", "net.rep").code == 0
    assert repc("check", "net.rep").code == 0
    ran = repc("verify", "net.rep", "--weights", "net.safetensors", "--level", "sample")
    assert "EQUIVALENT" in ran.out, ran.out + ran.err


def test_an_onnx_file_keeps_its_names(repc: Repc, tmp_path: Path) -> None:
    (tmp_path / "net.rep").write_text(BLOCK, encoding="utf-8")
    assert repc("export", "net.rep", "--train-form", "-o", "net.onnx").code == 0
    ran = repc("import", "net.onnx", "-o", "again/net.rep")
    assert ran.code == 0, ran.err
    text = (tmp_path / "again/net.rep").read_text(encoding="utf-8")
    assert "block Dense<k>(x: [b, c, h, w]) =" in text
    assert "let point = x >> point: Dense(1)" in text
    assert "head: Conv(2)" in text
    ran = repc("compile", "again/net.rep", "--weights", "again/net.safetensors", "-o", "build", "--verify", "sample")
    assert ran.code == 0, ran.out + ran.err
    assert "Conv" in ran.out


def test_a_spec_has_no_weights(repc: Repc, tmp_path: Path) -> None:
    ran = repc("import", "repc:mlp/MLP", "-o", "mlp.rep", "-q")
    assert ran.code == 0, ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlp.rep"]
    assert ran.out == (
        "  Model     MLP · 5 nodes\n  Spec      mlp.rep · 7 lines · 1 block · 0 repeats\n"
        "  Checked   the spec means the same graph\n"
    )


def test_files_are_replaced_on_request_only(repc: Repc, tmp_path: Path) -> None:
    (tmp_path / "mlp.rep").write_text("mine", encoding="utf-8")
    ran = repc("import", "repc:mlp/MLP", "-o", "mlp.rep")
    assert (ran.code, ran.out) == (2, "")
    assert "E916" in ran.err
    assert "--force" in ran.err
    assert (tmp_path / "mlp.rep").read_text(encoding="utf-8") == "mine"
    assert repc("import", "repc:mlp/MLP", "-o", "mlp.rep", "--force").code == 0
    assert (tmp_path / "mlp.rep").read_text(encoding="utf-8").startswith("repc 1\n")


def test_nothing_is_written_of_what_is_no_model(repc: Repc, tmp_path: Path) -> None:
    assert kind_of("net.onnx") == "onnx"
    (tmp_path / "net.onnx").write_bytes(b"no model")
    ran = repc("import", "net.onnx", "-o", "net.rep")
    assert ran.code == 2
    assert not (tmp_path / "net.rep").exists()
    assert not (tmp_path / "net.safetensors").exists()
