"""Tensors that PEFT keeps once for some of the modules: each of these gets them as its own.

Which module has which is a rule of the library, by the path of the module or the order of the layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Generator, Tensor

Spread: TypeAlias = Callable[[Mapping[str, Tensor], Mapping[str, Any]], Mapping[str, Tensor] | str]
"""The tensors of a file with those of each module apart, from the file's and the settings; or why that cannot be."""

MODULE, ROOT = "base_model.model.", "base_model."


def spread_vectors(tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Mapping[str, Tensor] | str:
    """The vector of TinyLoRA for each module: they go to groups of layers in the order of the network.

    That order is not stored, but each layer's projections are, which were drawn with its number added to the seed.
    """
    left, vectors = _apart(tensors, "tinylora_v.")
    modules = _with(left, ".tinylora_A")
    groups = max(1, round(len(modules) * (1 - settings["weight_tying"])))
    size = max(1, len(modules) // groups)
    for module in modules:
        number = 0 if groups == 1 else _number(left.get(f"{module}.tinylora_P"), len(modules), settings)
        if number is None:
            return "which of the vectors belongs to which layer is not stored, where the projections are not"
        vector = vectors.get(str(min(number // size, groups - 1)))
        if vector is not None:
            left[f"{module}.tinylora_v"] = vector
    return left


def _number(stored: Tensor | None, layers: int, settings: Mapping[str, Any]) -> int | None:
    """The number of a layer, whose projections were drawn with it."""
    if stored is None or stored.ndim != 3:
        return None
    for number in range(layers):
        generator = Generator().manual_seed(settings["projection_seed"] + number)
        drawn = torch.normal(0.0, 1.0 / stored.shape[1] ** 0.5, tuple(stored.shape), generator=generator)
        if torch.equal(drawn.to(stored.dtype), stored):
            return number
    return None


def spread_projections(tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Mapping[str, Tensor] | str:
    """What FRoD keeps for all modules of a kind, by the ends of their paths; its sizes are those of the projections."""
    left, _ = _apart(tensors, "frod_s_size.")
    shared = dict[str, dict[str, Tensor]]()
    for name in ("frod_V", "frod_s_indices"):
        left, shared[name] = _apart(left, f"{name}.")
    if not shared["frod_V"]:
        return "the projections are not stored, and depend on the weights of all layers together"
    for module in _with(left, ".frod_lambda_l"):
        kind = _kind(module.removeprefix(MODULE).split("."))
        left.update({f"{module}.{name}": found[kind] for name, found in shared.items() if kind in found})
    return left


def _kind(path: list[str]) -> str:
    if path[-3:] == ["attention", "output", "dense"]:
        return "attention_output"
    return path[-1] if len(path) == 1 or path[-2].isdigit() else f"{path[-2]}_{path[-1]}"


def _apart(tensors: Mapping[str, Tensor], prefix: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of modules, and those of all under a name, by what comes after it."""
    start = f"{ROOT}{prefix}"
    shared = {key.removeprefix(start): tensor for key, tensor in tensors.items() if key.startswith(start)}
    return {key: tensor for key, tensor in tensors.items() if not key.startswith(start)}, shared


def _with(keys: Iterable[str], part: str) -> list[str]:
    return [key.removesuffix(part) for key in keys if key.endswith(part)]
