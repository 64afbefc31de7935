"""Tensors to files.

The safetensors format is written here and not by its library, whose metadata come in a random order: the same tensors
and metadata must give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from repc.checkpoints import errors
from repc.diagnostics import Failure
from repc.evaluate.raw import raw
from repc.ir.files import write_whole

TORCH_SUFFIXES = (".pth", ".pt", ".bin")

TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
TORCH = {name: dtype for dtype, name in TYPES.items()}


def write(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors whole or not at all: a safetensors file, or a torch file where the name ends in .pth, .pt or .bin.

    `metadata` goes into safetensors only; torch files have no place for it.  Raises `Failure`: E609 for another
    suffix, E701 where the system refuses.
    """
    path = Path(path)
    if path.suffix in TORCH_SUFFIXES:
        # Cloned, because torch would store the whole of what a tensor is a view of.
        plain = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
        write_whole(path, lambda file: torch.save(plain, file))
    elif path.suffix == ".safetensors":
        write_whole(path, lambda file: _write_safetensors(file, tensors, metadata or {}))
    else:
        raise Failure(errors.unknown_suffix(path))


def header_bytes(sizes: Mapping[str, tuple[str, Sequence[int], int]], metadata: Mapping[str, str]) -> bytes:
    """What stands before the values: its length, then JSON padded to eight bytes.

    `sizes` has the element type, the shape and the number of bytes of every tensor, in the order of their values.
    https://huggingface.co/docs/safetensors: format, 8-byte little-endian length, offsets relative to the values.
    """
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    end = 0
    for name, (dtype, shape, size) in sizes.items():
        start, end = end, end + size
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _write_safetensors(file: BinaryIO, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """The header, then the values, widest first so that all are aligned."""
    order = sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))
    sizes = {name: _size(tensors[name]) for name in order}
    file.write(header_bytes(sizes, metadata))
    for name in order:
        file.write(raw(tensors[name]).data)


def _size(tensor: Tensor) -> tuple[str, tuple[int, ...], int]:
    return TYPES[tensor.dtype], tuple(tensor.shape), tensor.numel() * tensor.itemsize
