"""Every shipped model through elaboration, folding and its targets' expectations."""

from __future__ import annotations

import pytest

import repc
from repc.diagnostics import Source
from repc.driver import Parameters
from repc.ir.storage import storage
from repc.semantics import FileLibrary, load, shipped_names, shipped_source
from repc.syntax.printer import format_text

UNUSED = Parameters({}, "none: counting operators needs no weights", "none", 0.0)
MODELS = [
    f"{name}/{model}"
    for name in shipped_names()
    for model in load(shipped_source(name) or Source(name, ""), FileLibrary()).models()
]


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_files_are_formatted(name: str) -> None:
    source = shipped_source(name)
    assert source is not None
    assert format_text(source) == source.text


@pytest.mark.parametrize("model", MODELS)
def test_expectations_of_every_target_hold(model: str) -> None:
    opened = repc.load(f"repc:{model}")
    assert "deploy" in opened.targets
    for target in opened.targets:
        fused = opened.fuse(UNUSED, target)
        assert fused.missed() == []
        assert len(storage(fused.graph).tensors) < len(opened.graph.parameters) or model == "models/mlp/MLP"


@pytest.mark.parametrize(
    ("model", "convolutions", "norms"),
    [
        ("repvgg/RepVGG_A0", 22, 0),
        ("repvgg/RepVGG_B3g4", 28, 0),
        ("mobileone/MobileOne_S0", 43, 0),
        ("mobileone/MobileOne_S4", 67, 0),
        # what stays is the norm in front of a layer that is shared by groups of channels
        ("repmlpnet/RepMLPNet_T224", 64, 12),
    ],
)
def test_what_is_left(model: str, convolutions: int, norms: int) -> None:
    counts = repc.load(f"repc:{model}").fuse(UNUSED).counts()
    assert counts["Conv"] == convolutions
    assert counts.get("BatchNormalization", 0) == norms
