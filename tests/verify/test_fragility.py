"""Remarks on how a folded network bears fewer bits."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from torch import Tensor

import repc
from repc.ir.graph import Graph
from repc.passes import fold
from repc.verify import Report, verify
from repc.verify.report import Remark
from tests.verify.networks import random_parameters, stored, tiny

NORM = "stage2.0.rbr_1x1.bn"


@cache
def networks() -> tuple[Graph, Graph]:
    train = tiny()
    return train, fold(train)[0]


def report(**changed: Tensor) -> Report:
    train, fused = networks()
    given = random_parameters(train) | {f"{NORM}.{name}": value for name, value in changed.items()}
    return verify(train, fused, given, stored(fused, given))


def remarks(found: Report) -> dict[str, Remark]:
    return {remark.name: remark for remark in found.fragility}


def test_an_ordinary_network_is_fine() -> None:
    found = remarks(report())
    assert all(remark.fine and not remark.remedy for remark in found.values())
    assert list(found) == ["fp16", "bf16", "variance", "int8"]
    assert "; max|K| grew " in found["fp16"].text
    assert found["bf16"].text.endswith("8 bits each")
    assert found["variance"].text.endswith("eps 1e-05")


def test_a_weight_without_elements(tmp_path: Path) -> None:
    (tmp_path / "net.rep").write_text(
        "repc 1\n\nmodel Net(x: f32[b, 3]) {\n  weight W: [4, 3] = normal()\n  weight E: [0, 3] = zeros\n"
        "  return linear(x, 2 * concat(axis=0) { W | E })\n}\n"
    )
    assert repc.load(tmp_path / "net.rep").fuse(None).verify()


def test_a_dead_channel_is_named() -> None:
    channels = random_parameters(networks()[0])[f"{NORM}.running_var"].numel()
    variance = torch.full((channels,), 2.0)
    variance[1] = 1e-7
    found = report(running_var=variance, weight=torch.ones(channels))
    assert remarks(found)["variance"].text.startswith(f"smallest 1e-07 at {NORM}")
    assert not remarks(found)["variance"].fine
    assert "stage2.0.rbr_reparam" in remarks(found)["fp16"].text
    assert found, "a remark is no failure"


def test_channels_of_very_different_ranges_are_named_with_a_remedy() -> None:
    channels = random_parameters(networks()[0])[f"{NORM}.weight"].numel()
    weight = torch.ones(channels)
    weight[0] = 2e4
    found = report(weight=weight)
    int8 = remarks(found)["int8"]
    assert not int8.fine
    assert int8.text.endswith("at stage2.0.rbr_reparam")
    assert "target { keep stage2.0 }" in int8.remedy
    assert "    int8     WARN   channel range ratio" in str(found)
    assert "remedy: quantise per channel" in str(found)
    assert "WARN" in found._repr_html_()
    assert found.to_dict()["fragility"][3]["fine"] is False


def test_what_float16_cannot_hold_is_named() -> None:
    channels = random_parameters(networks()[0])[f"{NORM}.weight"].numel()
    half = remarks(report(weight=torch.full((channels,), 1e6)))["fp16"]
    assert not half.fine
    assert " reaches " in half.text
    assert "bf16" in half.remedy
    assert remarks(report(weight=torch.full((channels,), 1e6)))["bf16"].fine
