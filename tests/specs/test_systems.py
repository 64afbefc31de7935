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
    "deep linear": (
        "blocks.lowrank", "x: f32[b, t, 6]", "a: LowRank(5, 4) >> b: LowRank(7, 6)", (2, 3, 6), {"MatMul": 1}
    ),
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


def reasons(fused: Fused) -> list[tuple[str, str, str]]:
    return [(refusal.rule, refusal.edge, refusal.reason) for refusal in fused.trace.refusals]


def test_pooling_that_leaves_zeros_out_is_no_convolution(tmp_path: Path) -> None:
    fused = deployed(opened("import blocks.poolformer", IMAGE, "PoolMixer()", tmp_path), (2, 6, 7, 10))
    assert fused.counts()["AveragePool"] == 1
    reason = "avg_pool averages fewer values at the border, which no convolution does"
    assert ("F3", "x -> avg_pool -> sum", reason) in reasons(fused)


NORMALISED = "Normalise([0.5, 0.4, 0.3], [0.2, 0.3, 0.25]) >> Conv(5, 3, pad=1)"


def test_a_normalised_input_does_not_fold_over_a_border_of_zeros(tmp_path: Path) -> None:
    model = opened("import blocks.normalise\nimport std.conv", "x: f32[b, 3, h, w]", NORMALISED, tmp_path)
    fused = deployed(model, (2, 3, 7, 10))
    assert maps(fused) == 1
    ((rule, edge, reason),) = reasons(fused)
    assert (rule, edge) == ("F2", "affine -> conv")
    assert reason.startswith("conv reads zeros beyond the border, where affine would have put its shift")


def test_nets_side_by_side_with_other_activations_stay_apart(tmp_path: Path) -> None:
    layer = "ParallelAdapter(10, 3, beside=Tanh)"
    fused = deployed(opened("import blocks.parallel_adapter", "x: f32[b, t, 6]", layer, tmp_path), (2, 4, 6))
    assert reasons(fused) == [("F3", "tanh -> adapter_up -> sum", "fc2 reads relu and adapter_up reads tanh")]


def test_filters_of_channels_cost_more_in_one(tmp_path: Path) -> None:
    fused = deployed(opened("import blocks.random_filters", IMAGE, "RandomDepthwise(5, 2)", tmp_path), (2, 6, 7, 10))
    ((rule, edge, reason),) = reasons(fused)
    assert (rule, edge) == ("F5", "conv -> combine")
    assert reason.startswith("conv and combine in one would cost 270 instead of 168 multiply-adds")


def test_a_border_map_makes_up_for_it_where_the_size_is_known(tmp_path: Path) -> None:
    target = "target deploy = onnx of M { border_maps = true }"
    model = opened("import blocks.normalise\nimport std.conv", "x: f32[b, 3, 7, 10]", NORMALISED, tmp_path, rest=target)
    assert deployed(model, (2, 3, 7, 10)).counts() == {"Conv": 1, "Add": 1}


def test_an_adapter_folds_into_its_convolution_task_after_task(tmp_path: Path) -> None:
    """Expand, train, fold: the convolution of one task is that of the next, with a fresh adapter."""
    model = opened("import blocks.ssre", IMAGE, "SSRE(5)", tmp_path)
    given = weights(model)
    x = torch.randn((2, 6, 7, 10), dtype=torch.float64)
    for task in range(3):
        given["adapter.weight"] = torch.randn((5, 6, 1, 1), dtype=torch.float64)
        fused = model.fuse(given, dtype="f64")
        net = model.module().double()
        net.load_state_dict(given)
        with torch.no_grad():
            torch.testing.assert_close(fused.module()(x), net(x), rtol=EXACT, atol=EXACT)
        assert fused.state_dict().keys() == {"conv.weight", "conv.bias"}, task
        given |= fused.state_dict()


AROUND = {
    "a gate": ("sum { x | x >> a: Norm() >> b: Gate() }", {"Sigmoid": 1, "Mul": 1, "Conv": 2, "Add": 1}),
    "softmax": (
        "x >> a: Norm() >> b: Conv(6, 1) >> c: Norm() >> softmax(1) >> d: Norm() >> e: Conv(4, 1)",
        {"Softmax": 1, "Conv": 2},
    ),
    "attention": ("x >> a: Norm() >> b: Attend() >> c: Norm()", {"Softmax": 1, "Conv": 2}),
    "partition reshapes": ("x >> a: Norm() >> b: Windows() >> c: Norm()", {"Conv": 1, "Transpose": 2}),
    "a threshold": (
        'x >> a: Conv(6, 1) >> b: Norm() >> c: Fire() >> d: Norm() >> e: Conv(4, 1)', {"Greater": 1, "Conv": 2}
    ),
}  # fmt: skip
"""What stays → a network around it, and what is left."""

PARTS = """
block Norm(x: [b, c, h, w]) = x >> BatchNorm()

block Gate(x: [b, c, h, w]) =
  (x >> a: Conv(c, 1) >> bn: BatchNorm()) * (x >> g: Conv(c, 1) >> gn: BatchNorm() >> Sigmoid())

block Attend(x: [b, c, h, w]) {
  let (q, k, v) = split(rearrange(x >> qkv: Conv(3 * c, 1) >> bn: BatchNorm(), "b c h w -> b (h w) c"), 3, axis=2)
  return rearrange(softmax(q @ permute(k, [0, 2, 1])) @ v, "b (h w) c -> b c h w", h=h) >> out: Conv(c, 1)
}

block Windows(x: [b, c, h, w]) {
  let y = rearrange(x, "b c (p h) (q w) -> (b p q) c h w", h=2, w=2) >> conv: Conv(c, 1) >> bn: BatchNorm()
  return rearrange(y, "(b p q) c h w -> b c (p h) (q w)", b=b, p=h // 2)
}

block Fire(x: [b, c, h, w]) = cast(greater(x, fill([], 0.5)), "f32")
"""


@pytest.mark.parametrize("name", AROUND)
def test_what_is_linear_around_it_folds(name: str, tmp_path: Path) -> None:
    layer, left = AROUND[name]
    (tmp_path / "m.rep").write_text(f"repc 1\n\nimport std.conv\n{PARTS}\nmodel M(x: f32[b, 6, 8, 10]) = {layer}\n")
    fused = deployed(repc.load(tmp_path / "m.rep", "M"), (2, 6, 8, 10))
    counts = fused.counts()
    assert {kind: counts.get(kind, 0) for kind in left} == left, counts
    assert maps(fused) == 0


VARIATIONS = {
    "LeViT, odd sizes, eight halved": (
        "models.levit", (3, 40, 72),
        "LeViT([16, 24], [2, 1], [3, 2], 4, 1.5, 3, halvings=3, act=SiLU, classes=5, distillation=false)",
    ),
    "EfficientViT-M, windows that do not fit": (
        "models.efficientvit_m", (3, 100, 132),
        "EfficientViT([24, 48, 48], [2, 1, 1], [3, 2, 1], [3, 4, 2], [3, 5, 7], key=[4, 8, 4], classes=5)",
    ),
    "SHViT": (
        "models.shvit", (3, 70, 90),
        "SHViT([16, 20, 28], [1, 2, 1], [5, 8, 12], [false, true, true], key=[4, 6, 8], classes=5)",
    ),
    "GhostNetV3, odd sizes, two blocks a stage": (
        "models.ghostnetv3", (3, 50, 38),
        "GhostNetV3(8, [[[3, 12, 8, 0, 1], [5, 16, 8, 0.5, 1]], [[5, 20, 10, 0, 2], [3, 22, 10, 0.25, 1]]], 24, 2, 5)",
    ),
    "RepViT, one head, kernel 5": (
        "models.repvit", (3, 45, 35),
        "RepViT([[3, 12, 0, 1], [5, 20, 1, 2], [3, 20, 1, 1]], classes=5, distillation=false)",
    ),
    "FastViT, attention of another width": (
        "models.fastvit", (3, 65, 97), "FastViT([1, 1, 1, 1], [8, 16, 16, 64], [2, 3, 2, 1], attention=true, classes=5)"
    ),
}  # fmt: skip
"""System → import, the shape of an image, and other numbers than those of the recorded case."""


@pytest.mark.parametrize("name", VARIATIONS)
def test_a_variation_of_a_system_folds_as_far(name: str, tmp_path: Path) -> None:
    module, shape, layer = VARIATIONS[name]
    port = f"x: f32[b, {', '.join(map(str, shape))}]"
    assert maps(deployed(opened(f"import {module}", port, layer, tmp_path), (2, *shape))) == 0
