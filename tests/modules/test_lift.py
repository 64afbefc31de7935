"""A torch module as a spec: its own keys, its own output, and something that a person can read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import repc
from repc.diagnostics import Failure


class ConvNorm(nn.Sequential):
    def __init__(self, ci: int, co: int, k: int = 3, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.add_module("conv", nn.Conv2d(ci, co, k, stride, k // 2, groups=groups, bias=False))
        self.add_module("bn", nn.BatchNorm2d(co, eps=1e-3))


class Residual(nn.Module):
    """With a shortcut or without, one activation for two places, and a scale without a module."""

    def __init__(self, ci: int, co: int, stride: int) -> None:
        super().__init__()
        self.one = ConvNorm(ci, co, stride=stride)
        self.two = ConvNorm(co, co, groups=co)
        self.act = nn.ReLU(inplace=True)
        self.shortcut = ConvNorm(ci, co, 1, stride) if stride > 1 else nn.Identity()
        self.gamma = nn.Parameter(torch.randn(co, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.shortcut(x) + self.gamma * self.two(self.act(self.one(x))))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c))


class Encoder(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Hybrid(nn.Module):
    """Convolutions, then tokens; a tied head, and a call that repc does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 8, 5, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(Residual(8 << i if j else max(4 << i, 8), 8 << i, 1 if j or not i else 2) for j in range(3))
            )
            for i in range(2)
        )
        self.cls = nn.Parameter(torch.randn(1, 1, 16))
        self.blocks = nn.ModuleList([Encoder(16, 4) for _ in range(3)])
        self.head = nn.Linear(16, 5)
        self.again = nn.Linear(16, 5)
        self.again.weight = self.head.weight

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x.flatten(2).transpose(1, 2)], 1)
        for block in self.blocks:
            x = block(x)
        best, _ = torch.cummax(x[:, 1:].mean(1), 1)
        return self.head(x[:, 0]) + self.again(x[:, -1]), best


def randomised(module: nn.Module) -> nn.Module:
    """Every value is random, and no default; a norm has a negative and a zero scale."""
    generator = torch.Generator().manual_seed(3)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
            if "running_var" in name:
                tensor.abs_().add_(0.5)
            elif name.endswith("bn.weight"):
                tensor[:2] = torch.tensor([-0.7, 0.0])
    return module.eval()


def test_a_module_comes_back(tmp_path: Path) -> None:
    module = randomised(Hybrid())
    x = torch.randn(2, 3, 33, 27, generator=torch.Generator().manual_seed(1))
    lifted = repc.lift(module, (x,))
    assert lifted.opaque == 1
    assert lifted.repeats == 3
    path = tmp_path / "hybrid.rep"
    path.write_text(str(lifted), encoding="utf-8")
    net = repc.load(path).module().eval()
    net.load_state_dict(module.state_dict(), strict=True)
    for one, other in zip(module.double()(x.double()), net.double()(x.double()).values(), strict=True):
        assert torch.equal(one, other)


def test_its_spec_says_what_its_classes_are() -> None:
    x = torch.randn(2, 3, 33, 27)
    lines = repc.lift(Hybrid().eval(), (x,)).text.splitlines()
    blocks = [line.split()[1].partition("(")[0].partition("<")[0] for line in lines if line.startswith("block")]
    assert blocks == ["ConvNorm", "Attention", "Linear2", "Residual", "Residual2", "Encoder"]
    assert "  } >> blocks: repeat 3 { Encoder() }" in lines
    assert len(lines) < 65


def test_a_module_that_trains_is_refused() -> None:
    with pytest.raises(Failure, match="E50"):
        repc.lift(Hybrid(), (torch.randn(2, 3, 33, 27),))


def test_free_sizes_stay_free(tmp_path: Path) -> None:
    layers = ConvNorm(3, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    module = nn.Sequential(*layers).eval()
    lifted = repc.lift(module, (torch.randn(2, 3, 16, 20),), dynamic={"input": {2: "height", 3: "width"}})
    assert "f32[batch, 3, height, width]" in lifted.text
    (tmp_path / "net.rep").write_text(lifted.text, encoding="utf-8")
    net = repc.load(tmp_path / "net.rep").module().eval()
    net.load_state_dict(module.state_dict(), strict=True)
    x = torch.randn(1, 3, 9, 31)
    assert torch.equal(net(x), module(x))
