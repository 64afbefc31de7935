"""Systems without a recorded case, and variations of those with one: what folds, what stays, and no value changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import repc
from repc.driver import Fused, Model
from repc.ops import Affine, BatchNorm
from repc.verify import certify
from tests.verify.networks import random_parameters

IMAGE = "x: f32[b, 6, h, w]"
EXACT = 1e-11


def opened(imports: str, port: str, layer: str, folder: Path, rest: str = "") -> Model:
    (folder / "m.rep").write_text(f"repc 1\n\n{imports}\n{rest}\nmodel M({port}) = x >> {layer}\n")
    return repc.load(folder / "m.rep", "M")


def weights(model: Model) -> dict[str, Tensor]:
    """Random values in float64: γ negative and zero, statistics and biases of any value."""
    given = random_parameters(model.graph)
    return {name: value.double() if value.is_floating_point() else value for name, value in given.items()}


def deployed(model: Model, shape: tuple[int, ...]) -> Fused:
    """The folded model, which makes what the training module makes, and is proved to."""
    given = weights(model)
    fused = model.fuse(given, dtype="f64")
    net = model.module().double().eval()
    net.load_state_dict(given, strict=True)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    with torch.no_grad():
        expected = net(x)
        error = (fused.module()(x) - expected).abs().max() / expected.abs().max()
    assert error < EXACT
    assert certify(model.graph, fused.graph, steps=fused.trace.steps)
    return fused


def maps(fused: Fused) -> int:
    """How many norms and other affine maps are left."""
    return sum(isinstance(fused.graph[id].op, BatchNorm | Affine) for id in fused.graph)


SYSTEMS: dict[str, tuple[str, str, str, tuple[int, ...], dict[str, int]]] = {
    "SESR": ("models.sesr", "x: f32[b, 1, h, w]", "SESR(2, 6, 2, 12)", (2, 1, 7, 10), {"Conv": 4, "Add": 2}),
    "deep linear": ("blocks.lowrank", "x: f32[b, t, 6]", "a: LowRank(5, 4) >> b: LowRank(7, 6)", (2, 3, 6), {"MatMul": 1}),
    "thin factors": ("blocks.lowrank", "x: f32[b, t, 20]", "LowRank(18, 2)", (2, 3, 20), {"MatMul": 2}),
    "passthrough": ("blocks.lowrank", "x: f32[b, t, 6]", "Passthrough(4)", (2, 3, 6), {"MatMul": 1, "Add": 1}),
    "random filters": ("blocks.random_filters", IMAGE, "RandomFilters(5, 9)", (2, 6, 7, 10), {"Conv": 1}),
    "random filters, stride 2": (
        "blocks.random_filters", IMAGE, "RandomFilters(5, 8, 5, stride=2, seed=3, bias=true)", (2, 6, 9, 12),
        {"Conv": 1},
    ),
    "random filters of channels": (
        "blocks.random_filters", IMAGE, "RandomDepthwise(5, 2)", (2, 6, 7, 10), {"Conv": 2}
    ),
    "pooling that counts zeros": ("blocks.poolformer", IMAGE, "PoolMixer(5, counted=true)", (2, 6, 7, 10), {"Conv": 1}),
    "SSRE": ("blocks.ssre", IMAGE, "SSRE(5, stride=2)", (2, 6, 9, 12), {"Conv": 1}),
    "RepVGGplus": (
        "models.repvggplus", "x: f32[b, 3, h, w]",
        "RepVGGplus([1, 2, 3, 1], [0.125, 0.125, 0.0625, 0.0625], classes=5, group=2)", (2, 3, 33, 46),
        {"Conv": 24, "Relu": 16, "Sigmoid": 8, "Mul": 8},
    ),
    "YOLO RepConv": (
        "blocks.repconv", IMAGE, "RepConv(6, groups=3)", (2, 6, 7, 10), {"Conv": 1, "Sigmoid": 1, "Mul": 1}
    ),
    "temperature": (
        "blocks.temperature", "x: f32[b, 6]", "Linear(5) >> Temperature()", (3, 6), {"Gemm": 1}
    ),
    "parallel adapter": (
        "blocks.parallel_adapter", "x: f32[b, t, 6]", "ParallelAdapter(10, 3)", (2, 4, 6), {"MatMul": 2, "Relu": 1}
    ),
    "parallel adapter, other activation": (
        "blocks.parallel_adapter", "x: f32[b, t, 6]", "ParallelAdapter(10, 3, beside=Tanh)", (2, 4, 6),
        {"MatMul": 4, "Relu": 1, "Tanh": 1},
    ),
    "Inception-ResNet": (
        "blocks.inception_resnet", IMAGE, "Block35()", (2, 6, 7, 10), {"Conv": 7, "Relu": 7, "Concat": 1, "Add": 1}
    ),
    "Inception-ResNet, rectangular": (
        "blocks.inception_resnet", IMAGE, "Block17()", (2, 6, 7, 10), {"Conv": 5, "Relu": 5, "Concat": 1, "Add": 1}
    ),
    "normalised input": (
        "blocks.normalise", "x: f32[b, 3, h, w]",
        "Normalise([0.5, 0.4, 0.3], [0.2, 0.3, 0.25]) >> Conv(5, 3, stride=2)", (2, 3, 9, 12), {"Conv": 1},
    ),
    "normalised input, padded first": (
        "blocks.normalise", "x: f32[b, 3, h, w]",
        "NormalisePadded([0.5, 0.4, 0.3], [0.2, 0.3, 0.25], 1) >> Conv(5, 3, stride=2)", (2, 3, 9, 12), {"Conv": 1},
    ),
}  # fmt: skip
"""System → import, port, layer, the shape of an input, and what is left."""


@pytest.mark.parametrize("name", SYSTEMS)
def test_what_a_system_folds_to(name: str, tmp_path: Path) -> None:
    module, port, layer, shape, left = SYSTEMS[name]
    fused = deployed(opened(f"import {module}\nimport std.conv", port, layer, tmp_path), shape)
    counts = fused.counts()
    assert {kind: counts.get(kind, 0) for kind in left} == left, counts
    assert maps(fused) == 0
