"""A block that is in no paper is a few lines of spec, and folds to one operator."""

from __future__ import annotations

from pathlib import Path

import pytest

import repc
from tests.specs.test_systems import deployed

BLOCKS: dict[str, tuple[str, tuple[int, ...], dict[str, int]]] = {
    "two kernels and the identity, in volumes": (
        """\
repc 1
import std.conv
model M(x: f32[b, 4, d, h, w]) = sum {
    a: x >> conv: Conv(4, 3, pad=1, bias=false) >> bn: BatchNorm()
  | b: x >> conv: Conv(4, 7, pad=3, bias=false) >> bn: BatchNorm()
  | c: x >> BatchNorm()
}
""",
        (2, 4, 5, 8, 9),
        {"Conv": 1},
    ),
    "ACNet with even kernels": (
        """\
repc 1
import std.conv
model M(x: f32[b, 4, h, w]) = sum {
    square: x >> conv: Conv(6, 4, pad=[[1, 2], [1, 2]], stride=2, bias=false) >> bn: BatchNorm()
  | column: x >> conv: Conv(6, [4, 1], pad=[[1, 2], [0, 0]], stride=2, bias=false) >> bn: BatchNorm()
  | row: x >> conv: Conv(6, [1, 4], pad=[[0, 0], [1, 2]], stride=2, bias=false) >> bn: BatchNorm()
}
""",
        (2, 4, 9, 12),
        {"Conv": 1},
    ),
    "ACNet as it is shipped, with even kernels": (
        """\
repc 1
import blocks.acnet
model M(x: f32[b, 4, h, w]) = x >> a: ACBlock(6, 4) >> b: ACBlock(6, 2, stride=2, groups=3)
target deploy = onnx of M { expect { Conv == 2 } }
""",
        (2, 4, 9, 12),
        {"Conv": 2},
    ),
    "a dilated pair with rectangular kernels": (
        """\
repc 1
import std.conv
model M(x: f32[b, 6, h, w]) = sum {
    x >> a: Conv(6, [5, 3], pad=2, dilation=[1, 2], groups=6, bias=false) >> an: BatchNorm()
  | x >> b: Conv(6, [3, 5], pad=2, dilation=[2, 1], groups=6, bias=false) >> bn: BatchNorm()
}
""",
        (2, 6, 9, 12),
        {"Conv": 1},
    ),
    "a dilated pair on grids that do not meet": (
        """\
repc 1
import std.conv
model M(x: f32[b, 6, h, w]) = sum {
    x >> a: Conv(4, [3, 2], pad=[2, [3, 0]], dilation=[2, 3]) >> an: BatchNorm()
  | x >> b: Conv(4, [2, 3], pad=[[0, 3], 2], dilation=[3, 2]) >> bn: BatchNorm()
}
target deploy = onnx of M { objective = operators }
""",
        (2, 6, 9, 12),
        {"Conv": 1},
    ),
    "six branches": (
        """\
repc 1
import std.conv
model M(x: f32[b, 6, h, w]) = sum {
    x >> a: Conv(6, 5, pad=2, bias=false) >> an: BatchNorm()
  | x >> b: Conv(6, [1, 3], pad=[0, 1], groups=2)
  | x >> avg_pool(3, stride=1, pad=1) >> cn: BatchNorm()
  | x >> d: Conv(9, 3, pad=1, bias=false) >> dn: BatchNorm() >> e: Conv(6, 1)
  | -2 * (x >> f: BatchNorm())
  | x }
""",
        (2, 6, 9, 12),
        {"Conv": 1},
    ),
}
"""Block → its spec, the shape of an input, and what it folds to."""


@pytest.mark.parametrize("name", BLOCKS)
def test_a_new_block_is_ten_lines_and_one_operator(name: str, tmp_path: Path) -> None:
    text, shape, left = BLOCKS[name]
    assert len(text.splitlines()) <= 10
    (tmp_path / "new.rep").write_text(text)
    model = repc.load(tmp_path / "new.rep")
    assert deployed(model, shape).counts() == left
    assert model.fuse().verify()
