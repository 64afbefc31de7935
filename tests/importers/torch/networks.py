"""Small networks that show what importers trip over, and how they are compared."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from repc.evaluate import run
from repc.evaluate.floating import TorchField
from repc.importers import Imported


def randomised(module: nn.Module, seed: int = 0) -> Any:
    """The module in evaluation, with random statistics, scales of either sign and some that are zero."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) and part.weight is not None:
            part.weight.data.normal_(0, 0.8, generator=generator)[::3] = 0
            part.bias.data.normal_(0, 0.3, generator=generator)
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) and part.running_mean is not None:
            part.running_mean.normal_(0, 0.3, generator=generator)
            assert part.running_var is not None
            part.running_var.uniform_(0.3, 2.0, generator=generator)
    return module.eval()


def image(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def difference(module: nn.Module, imported: Imported, *inputs: Tensor) -> float:
    """How far the graph is from the module, both in float64, relative to its largest result."""
    graph = imported.graph
    exact = [x.double() if x.is_floating_point() else x for x in inputs]
    values = run(graph, TorchField(), dict(zip(graph.inputs, exact, strict=True)), imported.parameters)
    with torch.no_grad():
        expected = pytree.tree_leaves(deepcopy(module).double()(*exact))
    found = [values[id] for id in graph.outputs.values()]
    return max(map(relative, found, [value for value in expected if isinstance(value, Tensor)]))


def relative(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


class RepConv(nn.Module):
    """The block of YOLO's detectors: with groups, a diagonal identity is a known bug."""

    def __init__(self, ci: int, co: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.dense = nn.Conv2d(ci, co, 3, stride, 1, groups=groups, bias=False)
        self.dense_bn = nn.BatchNorm2d(co, eps=1e-3)
        self.point = nn.Sequential(
            nn.Conv2d(ci, co, 1, stride, groups=groups, bias=False), nn.BatchNorm2d(co, eps=1e-3)
        )
        self.identity = nn.BatchNorm2d(ci, eps=1e-3) if ci == co and stride == 1 else None
        self.act = nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.dense_bn(self.dense(x)) + self.point(x)
        return self.act(y if self.identity is None else y + self.identity(x))


class Detector(nn.Module):
    """Two scales, a neck that joins them, and a head that reshapes, permutes and concatenates."""

    anchors: Tensor

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.stem = RepConv(3, 8, stride=2)
        self.body = nn.Sequential(RepConv(8, 8, groups=2), RepConv(8, 8, groups=4))
        self.down = RepConv(8, 16, stride=2)
        self.deep = RepConv(16, 16, groups=2)
        self.neck = RepConv(24, 8)
        self.heads = nn.ModuleList([nn.Conv2d(8, 2 * (5 + classes), 1), nn.Conv2d(16, 2 * (5 + classes), 1)])
        self.register_buffer("anchors", torch.tensor([[1.0, 2.0], [3.0, 1.5]]), persistent=False)

    def forward(self, x: Tensor) -> dict[str, Tensor | tuple[Tensor, ...]]:
        fine = self.body(self.stem(x))
        deep = self.deep(self.down(fine))
        up = F.interpolate(deep, scale_factor=2.0, mode="nearest")
        levels = (self.neck(torch.cat([fine, up], 1)), deep)
        found = []
        for head, level in zip(self.heads, levels, strict=True):
            y = head(level)
            b, _, h, w = y.shape
            y = y.view(b, 2, -1, h, w).permute(0, 1, 3, 4, 2)
            box, rest = y.split((2, y.shape[-1] - 2), -1)
            box = box.sigmoid() * 2 * self.anchors.view(1, 2, 1, 1, 2)
            found.append(torch.cat([box, rest], -1).flatten(1, 3))
        return {"boxes": torch.cat(found, 1), "levels": levels}


class InPlace(nn.Module):
    """Values that are changed after others read them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        before = y * 2
        self.relu(y)
        y += before
        return y.mul_(0.5) + before


class Views(nn.Module):
    """Views of a value that is changed in place, in either direction."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.drop = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = self.conv(x)
        flat = self.drop(y.flatten(1))
        y.relu_()
        z = self.conv(x) * 1
        z[:, 1:3] += 2
        z[:, :, 0] = 0.25
        return flat, y, z


class Shared(nn.Module):
    """One convolution used twice, one weight under two keys, a functional norm, and a bare parameter."""

    mean: Tensor
    var: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding="same", padding_mode="reflect")
        self.one, self.two = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.encoder, self.decoder = nn.Linear(4, 5, bias=False), nn.Linear(4, 5, bias=False)
        self.decoder.weight = self.encoder.weight
        self.scale = nn.Parameter(torch.tensor([0.5, -1.0, 0.0, 2.0]).view(4, 1, 1))
        self.register_buffer("mean", torch.tensor([0.1, -0.2, 0.3, 0.0]))
        self.register_buffer("var", torch.tensor([0.5, 1.5, 1.0, 2.0]))

    def forward(self, x: Tensor) -> Tensor:
        y = self.two(self.conv(torch.relu(self.one(self.conv(x)))))
        y = F.batch_norm(y, self.mean, self.var, eps=1e-2) * self.scale
        pooled = y.mean((2, 3))
        return self.encoder(pooled) + self.decoder(pooled.relu())


class Upward(nn.Module):
    """Transposed convolutions with groups and norms behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2, bias=False)
        self.bn = nn.BatchNorm2d(6)
        self.act = nn.Hardswish()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.up(x)))


class Window(nn.Module):
    """Attention with a bias that is picked from a table, which is all weights, and a mask made in the forward pass."""

    index: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.table = nn.Parameter(image(7, 2, seed=3))
        self.register_buffer("index", (torch.arange(4)[:, None] - torch.arange(4) + 3), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, 2, c // 2).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.table[self.index.view(-1)].view(n, n, -1).permute(2, 0, 1)
        mask = torch.full((n, n), -4.0).triu(1)
        y = (q * (c // 2) ** -0.5) @ k.transpose(-2, -1) + bias + mask
        return self.out((y.softmax(-1) @ v).transpose(1, 2).reshape(b, n, c))


class Standardised(nn.Conv2d):
    """A convolution whose weight is standardised at every call."""

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight
        mean, var = w.mean((1, 2, 3), keepdim=True), w.var((1, 2, 3), keepdim=True, unbiased=False)
        return F.conv2d(x, (w - mean) / (var + 1e-5).sqrt(), self.bias, self.stride, self.padding)


class Pair(NamedTuple):
    first: Tensor
    rest: list[Tensor]


class Nested(nn.Module):
    """Arguments and results in containers, with some that are no tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(
        self, x: Tensor, others: Sequence[Tensor], *, scale: float = 2.0, extra: dict[str, Tensor] | None = None
    ) -> tuple[Pair, dict[str, Tensor | int | None]]:
        y = self.conv(x) * scale
        if extra is not None:
            y = y + extra["shift"]
        return Pair(y, [other + 1 for other in others]), {"mean": y.mean((2, 3)), "count": 3, "nothing": None}
