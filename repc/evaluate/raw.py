"""The bytes of tensors, and their hash."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor


def raw(tensor: Tensor) -> np.ndarray:
    """The bytes of a tensor in row-major order, as a flat array; numpy itself does not know bfloat16."""
    flat = tensor.detach().cpu().reshape(-1)
    if not flat.numel():
        return np.empty(0, np.uint8)
    if flat.stride() != (1,):  # an expanded scalar, which torch calls contiguous
        flat = flat.clone(memory_format=torch.contiguous_format)
    return flat.view(torch.uint8).numpy()


def digest(tensors: Mapping[str, Tensor]) -> str:
    """A hash of names, shapes, types and values, whatever file they came from."""
    total = sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        total.update(raw(tensor).data)
    return total.hexdigest()
