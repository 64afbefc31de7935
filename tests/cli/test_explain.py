"""``repc explain`` with weights, and of networks that repeat themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from repc.driver import load
from tests.cli.conftest import Repc

NET = """\
repc 1
import std.conv

block Block<co>(x: [b, ci, h, w]) =
  sum as fused { wide: x >> conv: Conv(co, 3, pad=1) >> bn: BatchNorm() | point: x >> Conv(co, 1) } >> GELU()

model Net(x: f32[b, 4, h, w]) =
  x
    >> norm: BatchNorm()
    >> body: repeat 3 { Block(4) }
    >> row: Conv(4, [1, 5], groups=4)
    >> column: Conv(4, [5, 1], groups=4)

target few = onnx of Net { objective = operators }
target one = onnx of Net { at column { objective = operators } }
"""


@pytest.fixture(autouse=True)
def net(repc: Repc) -> None:
    Path("net.rep").write_text(NET)


def weights() -> dict[str, torch.Tensor]:
    state = dict(load("net.rep:Net").module(seed=0).state_dict())
    state["norm.bias"] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    state["body.0.wide.conv.weight"] = torch.full((4, 4, 3, 3), 0.5)
    state["body.0.point.weight"] = torch.full((4, 4, 1, 1), 2.0)
    return state


def test_a_border_says_how_wrong_it_would_be_with_these_weights(repc: Repc) -> None:
    torch.save(weights(), "net.pth")
    assert "wrong   by" not in repc("explain", "net.rep").out
    page = repc("explain", "net.rep", "--weights", "net.pth").out
    assert "norm   F2 refused: body.0.fused reads zeros beyond the border" in page
    # Five of nine taps lie beyond a corner, each worth a half; the rest of the kernel is in the middle.
    assert "wrong   by up to 2.5\n" in page


def test_a_site_that_a_rule_refused_says_so_once(repc: Repc) -> None:
    page = repc("explain", "net.rep", "norm").out
    assert "  Remains   refused, as below\n" in page
    assert page.count("reads zeros beyond the border") == 1


def test_a_site_is_proved_and_its_kernel_measured(repc: Repc) -> None:
    torch.save(weights(), "net.pth")
    page = repc("explain", "net.rep", "body.0.fused", "--weights", "net.pth").out
    assert "Cost      4 operators -> 1 · 160 -> 144 multiply-adds for each position · 740 B -> 592 B" in page
    assert "Proved    the same for all weights, P(miss) < 1e-9" in page
    assert "Weights   max|K| 2 -> 2.5" in page
    (site,) = json.loads(repc("explain", "net.rep", "body.0.fused", "--json").out)
    assert site["cost"]["after"] == {"macs": 144, "size": 592, "operators": 1}


def test_what_is_refused_alike_is_said_once(repc: Repc) -> None:
    text = NET.replace("} >> GELU()", "} >> act: GELU() >> bn: BatchNorm() >> GELU()")
    Path("net.rep").write_text(text)
    page = repc("explain", "net.rep").out
    assert "body.0.bn and 2 more like it   F1 refused: body.0.act/gelu is not linear" in page
    assert page.count("F1 refused: ") == 1
    assert "batch_norm   x3   F1 refused" in page


@pytest.mark.parametrize(("target", "left"), [("few", 1), ("one", 1), ("deploy", 2)])
def test_an_objective_or_an_override_of_a_site_buys_operators(repc: Repc, target: str, left: int) -> None:
    words = ["--target", target] if target != "deploy" else []
    out = repc("explain", "net.rep", *words, "--json").out
    sites = [site for site in json.loads(out) if {"row", "column"} & {site["path"], *site["was"]}]
    assert len(sites) == left
    if left == 2:
        (refusal,) = sites[1]["refusals"]
        assert refusal["reason"] == (
            "row and column in one would cost 100 instead of 40 multiply-adds, 416 instead of 192 weight bytes"
        )
    else:
        (site,) = sites
        assert (site["cost"]["before"]["operators"], site["cost"]["after"]["operators"]) == (2, 1)
