"""A narrow RepVGG, and random parameters for any network."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from repc.backends.torch import initial_values
from repc.diagnostics import Source
from repc.evaluate import evaluate
from repc.evaluate.floating import TorchField
from repc.ir.graph import Graph
from repc.ir.storage import storage
from repc.semantics import FileLibrary, elaborate, load
from tests.verify import drawing

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


@lru_cache(maxsize=32)
def random_parameters(train: Graph, seed: int = 0) -> dict[str, Tensor]:
    """Values near unit scale for every parameter, negative and zero γ among them."""
    return drawing.random_parameters(train, initial_values(train.parameters, seed=seed), seed)


def stored(fused: Graph, parameters: dict[str, Tensor], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The deployed weights."""
    values = evaluate(storage(fused).tensors, TorchField(torch.float64), parameters)
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in values.items()}
