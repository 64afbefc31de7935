"""Models of timm, with parameters that are no defaults, and the usual way from one to a deployed file."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.vision import declare_torchvision


def timm_models() -> Callable[[str], nn.Module]:
    """timm's factory, of reproducible models in evaluation mode."""
    declare_torchvision()
    timm: Any = import_module("timm")

    def create(name: str) -> nn.Module:
        torch.manual_seed(0)
        return timm.create_model(name, pretrained=False).eval()

    return create


def images(model: nn.Module, batch: int = 2, seed: int = 0) -> Tensor:
    """Random images of the size that a model of timm is made for."""
    size = getattr(model, "default_cfg")["input_size"]  # noqa: B009 - a module has no such attribute for a type checker
    return torch.randn(batch, *size, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def randomised(model: nn.Module, x: Tensor) -> nn.Module:
    """The model with parameters and statistics that are no defaults, γ negative and zero among them.

    Vectors, and whatever begins as one number, are moved; kernels are random already.  The statistics of batch norms
    are those of `x`, moved too: with any others, a deep network explodes or dies out, and no comparison says a thing.
    """
    generator = torch.Generator().manual_seed(1)

    def noise(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator)

    for key, tensor in model.named_parameters():
        if tensor.dim() < 2 or bool((tensor == tensor.flatten()[0]).all()):
            tensor.add_(0.1 * noise(tensor))
        if key.endswith("weight") and tensor.dim() == 1:
            tensor[:2] = torch.tensor([-0.7, 0.0])[: len(tensor)]
    norms: list[Any] = [part for part in model.modules() if getattr(part, "running_var", None) is not None]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().momentum = 1.0
    model(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval().momentum = momentum
        norm.running_mean += 0.3 * norm.running_var.sqrt() * noise(norm.running_mean)
        norm.running_var *= 0.5 + 1.5 * torch.rand(norm.running_var.shape, generator=generator)
        norm.running_var += 0.05
    return model


def usual_way(model: nn.Module, path: Path) -> nn.Module:
    """What people do: timm's conversion, and torch's export of what it gives, which is returned."""
    converted = import_module("timm.utils.model").reparameterize_model(model).eval()
    torch.onnx.export(
        converted,
        (images(model),),
        path,
        dynamo=True,
        opset_version=18,
        verbose=False,
        dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
        external_data=False,
    )
    return converted
