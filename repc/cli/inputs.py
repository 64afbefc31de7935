"""What INPUT can be: a spec, a file of another tool, or the name of Python code that makes a module."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from repc.cli import errors
from repc.diagnostics import Failure, Source, Span

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal["spec", "onnx", "program", "factory"]

SUFFIXES: dict[str, Kind] = {".onnx": "onnx", ".pt2": "program"}
NAMES: dict[Kind, str] = {
    "spec": "a spec",
    "onnx": "an ONNX file",
    "program": "an exported torch program",
    "factory": "the name of a Python object",
}
NO_MODELS = {
    **dict.fromkeys(
        (".pt", ".pth", ".safetensors", ".ckpt", ".bin"),
        ("a checkpoint", "give it with --weights, and a model as input"),
    ),
    ".py": ("a Python file", "give MODULE:FACTORY, what it defines"),
}
FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
EXAMPLE = re.compile(r"([A-Za-z_]\w*)=(\w+)\[([^\]]*)\]")
DTYPES = ("f16", "bf16", "f32", "f64", "i32", "i64", "bool", "u8")


def kind_of(text: str) -> Kind:
    """What an INPUT is.  Raises `Failure` E910 for what repc knows and takes as no model."""
    if text.startswith("repc:"):
        return "spec"
    path = Path(text)
    if path.suffix in SUFFIXES:
        return SUFFIXES[path.suffix]
    if path.suffix in NO_MODELS:
        raise Failure(errors.wrong_kind(text, *NO_MODELS[path.suffix]))
    if path.is_dir():
        raise Failure(errors.wrong_kind(text, "a folder", errors.ACCEPTED))
    stem = text.partition(":")[0]
    if Path(stem).suffix in SUFFIXES:
        raise Failure(errors.wrong_kind(text, "a part of a file that holds one model", f"give {stem}"))
    factory = FACTORY.fullmatch(text) and not stem.endswith(".rep") and not Path(stem).exists()
    return "factory" if factory else "spec"


def only_spec(text: str) -> None:
    """Raise `Failure` E910 unless an input is a spec, for the commands that look at its text."""
    kind = kind_of(text)
    if kind != "spec":
        raise Failure(errors.not_a_spec(text, NAMES[kind]))


@dataclass(frozen=True, slots=True)
class Example:
    """The type of an argument, ``x=f32[b,3,224,224]``; sizes with a name stay free."""

    name: str
    dtype: str
    sizes: tuple[int | str, ...]

    def tensor(self) -> Tensor:
        """Random numbers, or zeros where they may be indices; free sizes are 2 in front, else 224."""
        import torch

        from repc.evaluate.dtypes import DTYPES as TORCH
        from repc.ops.work import SIDE

        shape = [size if isinstance(size, int) else SIDE if axis else 2 for axis, size in enumerate(self.sizes)]
        dtype = TORCH[self.dtype]
        return torch.randn(shape).to(dtype) if dtype.is_floating_point else torch.zeros(shape, dtype=dtype)

    def dynamic(self) -> dict[int, str]:
        """The axes whose size is free, and what that is called."""
        return {axis: size for axis, size in enumerate(self.sizes) if isinstance(size, str)}


def examples(texts: Sequence[str], pinned: dict[str, int]) -> list[Example]:
    """The values of ``--input name=type[sizes]``, with sizes that ``--size`` pins.

    Raises `Failure`: E945 for what is no type, E947 for a size that no type has.
    """
    found: list[Example] = []
    named: set[str] = set()
    for text in texts:
        match = EXAMPLE.fullmatch(text.replace(" ", ""))
        sizes = [part for part in match[3].split(",") if part] if match else []
        if match is None or match[2] not in DTYPES or not all(map(_is_size, sizes)):
            source = Source("--input", text)
            raise Failure(errors.not_an_example(Span(source, 0, len(text)), DTYPES))
        named.update(size for size in sizes if not size.isdecimal())
        read = (int(size) if size.isdecimal() else pinned.get(size, size) for size in sizes)
        found.append(Example(match[1], match[2], tuple(read)))
    unknown = [errors.no_such_size(name, sorted(named)) for name in pinned if name not in named]
    if unknown:
        raise Failure(unknown)
    return found


def _is_size(text: str) -> bool:
    return text.isidentifier() or (text.isdecimal() and int(text) > 0)
