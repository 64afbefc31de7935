"""A narrow RepVGG, random parameters for it, and a fold written by hand with places to break it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from torch import Tensor

from repc.diagnostics import Source
from repc.evaluate import evaluate
from repc.evaluate.floating import TorchField
from repc.ir.expr import Expr
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId
from repc.ir.storage import storage
from repc.ops import BatchNorm, Conv, Sum, build
from repc.semantics import FileLibrary, elaborate, load

HEADER = "repc 1\nimport models.repvgg\n"


def tiny(width: str = "0.0625", **settings: str) -> Graph:
    """Six blocks of few channels, two of them with an identity branch."""
    given = "".join(f", {name}={value}" for name, value in settings.items())
    widths = ", ".join([width] * 4)
    text = f"model Tiny(image: f32[b, 3, h, w]) = image >> RepVGG([1, 2, 1, 1], [{widths}], classes=5{given})"
    return graph(text, "Tiny")


def graph(text: str, name: str) -> Graph:
    """A model written on top of the RepVGG blocks."""
    return elaborate(load(Source("tiny.rep", HEADER + text), FileLibrary()), name)


def random_parameters(train: Graph, seed: int = 0) -> dict[str, Tensor]:
    """Batch norm with negative and zero γ, and statistics that keep the values near unit scale."""
    generator = torch.Generator().manual_seed(seed)
    values: dict[str, Tensor] = {}
    for path, parameter in train.parameters.items():
        shape = parameter.type.concrete()
        drawn = torch.randn(shape, generator=generator)
        if parameter.type.dtype == "i64":
            values[path] = torch.tensor(7)
        elif path.endswith("running_var"):
            values[path] = 0.25 + drawn.abs()
        elif len(shape) > 1:
            values[path] = drawn / drawn[0].numel() ** 0.5
        else:
            values[path] = drawn
        if path.endswith("bn.weight"):
            values[path][0] = 0.0
    return values


@dataclass(frozen=True)
class Mutation:
    """What a fold gets wrong; by default nothing. It concerns the sum at `path`."""

    path: str = "stage4.0.rbr_reparam"
    eps: bool = False
    beta: bool = False
    centre: bool = False
    channels: bool = False
    border: bool = False


def fold(train: Graph, mutation: Mutation | None = None) -> Graph:
    """Every sum of conv-BN branches as one 3x3 convolution."""
    fused = train.copy()
    for id in train.order():
        if isinstance(train[id].op, Sum):
            wrong = mutation if mutation and mutation.path == train[id].path else Mutation()
            _fold_sum(train, fused, id, wrong)
    return fused


def stored(fused: Graph, parameters: dict[str, Tensor], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The deployed weights."""
    values = evaluate(storage(fused).tensors, TorchField(torch.float64), parameters)
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in values.items()}


def _fold_sum(train: Graph, fused: Graph, id: NodeId, wrong: Mutation) -> None:
    node = train[id]
    conv = train[train[node.inputs[0]].inputs[0]]
    assert isinstance(conv.op, Conv)
    branches = [_branch(train, source, conv.op.groups, wrong) for source in node.inputs]
    kernel = build.add(*(branch[0] for branch in branches))
    bias = build.add(*(branch[1] for branch in branches))
    if wrong.channels:
        size = node.type.shape[1]
        assert isinstance(size, int)
        kernel = build.concat([build.take(kernel, 0, 1, size), build.take(kernel, 0, 0, 1)], 0)
    op = replace(conv.op, mode="replicate") if wrong.border else conv.op
    weights = {"weight": kernel, "bias": bias}
    fused.replace(id, Node(op, conv.inputs, weights, node.type, node.path, node.origin))
    for source in node.inputs:
        fused.prune(source)


def _branch(train: Graph, id: NodeId, groups: int, wrong: Mutation) -> tuple[Expr, Expr]:
    """The 3x3 kernel and bias of one branch."""
    norm = train[id]
    assert isinstance(norm.op, BatchNorm)
    gamma, beta, mean, var = (norm.weights[name] for name in ("weight", "bias", "running_mean", "running_var"))
    (channels,) = gamma.type.concrete()
    eps = Fraction(0) if wrong.eps else norm.op.eps
    scale = build.mul(gamma, build.rsqrt(build.add(var, build.fill([channels], eps))))
    bias = build.scale(build.mul(mean, scale), Fraction(-1))
    if not wrong.beta:
        bias = build.add(beta, bias)
    source = train[norm.inputs[0]]
    kernel = source.weights["weight"] if isinstance(source.op, Conv) else _dirac(channels, groups)
    if kernel.type.shape[2] == 1:
        around = ((0, 2), (1, 1)) if wrong.centre else ((1, 1), (1, 1))
        kernel = build.pad(kernel, ((0, 0), (0, 0), *around))
    return build.mul(kernel, build.along(scale, 0, 4)), bias


def _dirac(channels: int, groups: int) -> Expr:
    """The 1x1 kernel that changes nothing."""
    size = channels // groups
    return build.reshape(build.concat([build.eye(size)] * groups, 0), [channels, size, 1, 1])
