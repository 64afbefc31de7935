"""What torch itself exports of modules in training form, with dynamic axes: equal to the module, and folded as it."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from repc.backends.onnx import counts
from repc.evaluate import run
from repc.evaluate.floating import TorchField
from repc.importers import import_module, import_onnx
from repc.importers.onnx.places import KEY
from repc.ir.check import check
from tests.importers.onnx.test_meanings import opaque
from tests.importers.onnx.test_opaque import folded


class Branches(nn.Module):
    """RepVGG's block, twice, with a resize between, and a nonlinearity that a file writes with a rounded root."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.ModuleList(self.conv(3) for _ in range(2))
        self.point = nn.ModuleList(self.conv(1) for _ in range(2))
        self.skip = nn.ModuleList(nn.BatchNorm2d(6) for _ in range(2))
        self.stem = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.head = nn.Linear(6, 4)

    @staticmethod
    def conv(size: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(6, 6, size, padding=size // 2, groups=2, bias=False), nn.BatchNorm2d(6))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for dense, point, skip in zip(self.dense, self.point, self.skip, strict=True):
            x = functional.gelu(dense(x) + point(x) + skip(x))
            x = functional.interpolate(x, scale_factor=2.0, mode="bilinear")
        return self.head(x.mean((2, 3)))


class Tokens(nn.Module):
    """Linear layers with norms over tokens, attention, and shapes that are read off, as LeViT has them."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24, bias=False)
        self.norm = nn.BatchNorm1d(24)
        self.out = nn.Linear(8, 8)
        self.last = nn.LayerNorm(8)
        self.register_buffer("bias", torch.randn(2, 5, 5))

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        y = self.norm(self.qkv(x).flatten(0, 1)).reshape(b, n, 24)
        q, k, v = y.view(b, n, 2, 12).split([4, 4, 4], dim=3)
        q, k, v = q.permute(0, 2, 1, 3), k.permute(0, 2, 3, 1), v.permute(0, 2, 1, 3)
        weights = (q @ k * 0.5 + self.bias).softmax(-1)
        return self.last(self.out((weights @ v).transpose(1, 2).reshape(b, n, 8)) + x)


def trained(module: nn.Module) -> nn.Module:
    """In evaluation, with random statistics, and weights of norms of either sign and zero."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.3)  # pyright: ignore[reportArgumentType]
            nn.init.uniform_(part.running_var, 0.5, 2.0)  # pyright: ignore[reportArgumentType]
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)
            part.weight.data[1] = 0
    return module.eval()


def exported(module: nn.Module, x: Tensor, axes: Sequence[int], path: Path) -> Path:
    """The file of the old exporter, which keeps norms apart where it is told to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(  # noqa: TID251 - this is what people have
            module,
            (x,),
            path,
            dynamo=False,
            training=torch.onnx.TrainingMode.PRESERVE,  # noqa: TID251
            do_constant_folding=False,
            input_names=["x"],
            dynamic_axes={"x": {axis: f"d{axis}" for axis in axes}},
            opset_version=17,
        )
    return path


@pytest.mark.parametrize(
    ("kind", "shape", "axes", "other"),
    [(Branches, (2, 3, 9, 6), (0, 2, 3), (3, 3, 7, 10)), (Tokens, (2, 5, 8), (0,), (3, 5, 8))],
)
def test_a_module(
    kind: type[nn.Module], shape: tuple[int, ...], axes: Sequence[int], other: tuple[int, ...], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module, x = trained(kind()), torch.randn(shape)
    imported = import_onnx(exported(module, x, axes, tmp_path / "net.onnx"))
    check(imported.graph)
    assert not opaque(imported), imported.notes
    assert {key for key in imported.parameters if KEY.fullmatch(key)} <= set(module.state_dict())
    y = torch.randn(other)
    (ours,) = run(imported.graph, TorchField(torch.float64), {"x": y}, imported.parameters).values()
    with torch.no_grad():
        wanted = module.double()(y.double())
    assert float((ours - wanted).abs().max() / wanted.abs().max()) < 1e-11
    of_module = import_module(module.float(), (x,))
    linear = ("Conv", "BatchNormalization", "Add", "Gemm")
    ours_left, theirs_left = counts(folded(imported, 17)), counts(folded(of_module, 17))
    assert {name: ours_left.get(name, 0) for name in linear} == {name: theirs_left.get(name, 0) for name in linear}
    assert "BatchNormalization" not in ours_left
