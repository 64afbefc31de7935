"""Where a call stands: the path of its module, and the lines of the original source."""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from repc.diagnostics import Source, Span

_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>\S+)(?:\n\s+(?P<text>[^\n]+))?')
_NOWHERE = "_empty_nn_module_stack"  # what torch writes where it made a call itself
_TORCH = str(Path(torch.__file__).parent)
_REPC = str(Path(__file__).parents[2])


def module_path(meta: Mapping[str, Any]) -> str:
    """The path of the innermost module that made a call; a module that is called again is the same one."""
    return next(reversed(module_classes(meta)), "")


def module_classes(meta: Mapping[str, Any]) -> dict[str, str]:
    """The names of the classes of all modules around a call, by their paths."""
    stack = meta.get("nn_module_stack", {}).values()
    return {_without_calls(path): _class_name(kind) for path, kind in stack if not path.startswith(_NOWHERE)}


@lru_cache(maxsize=4096)
def spans(trace: str) -> tuple[Span, ...]:
    """The lines of the network that a stack trace goes through, from the outermost on.

    They come after those that led to the export, of which the last is one of repc, and between those of torch.
    """
    frames = list(_FRAME.finditer(trace))
    led = max((i for i, frame in enumerate(frames) if frame["file"].startswith(_REPC)), default=-1)
    frames = frames[led + 1 :] or frames
    own = [frame for frame in frames if not frame["file"].startswith(_TORCH)] or frames[-1:]
    return tuple(_line(frame["file"], int(frame["line"]), frame["text"] or "") for frame in own)


def frames(frame: FrameType | None) -> str:
    """The lines of the network that led from repc to a frame, which is repc's own, as a stack trace."""
    lines: list[str] = []
    while frame is not None and (frame := frame.f_back) is not None:
        file = frame.f_code.co_filename
        if file.startswith(_REPC):
            break
        if not file.startswith(_TORCH):
            lines.append(f'File "{file}", line {frame.f_lineno}, in {frame.f_code.co_name}')
    return "\n".join(reversed(lines))


def nowhere(name: str) -> tuple[Span, ...]:
    """The place of what has no stack trace."""
    return (Span(Source(name, ""), 0, 0),)


@lru_cache(maxsize=65536)
def _line(file: str, number: int, text: str) -> Span:
    source = _source(file)
    lines = source.text.split("\n")
    if number > len(lines) or text not in lines[number - 1]:
        # The file is not here, or is another one: what the trace says of it is what there is.
        source, lines = Source(source.name, "\n" * (number - 1) + text), [""] * (number - 1) + [text]
    start = sum(len(line) + 1 for line in lines[: number - 1])
    line = lines[number - 1]
    indent = len(line) - len(line.lstrip())
    return Span(source, start + indent, start + len(line.rstrip()))


@cache
def _source(file: str) -> Source:
    return Source(_short(file), "".join(linecache.getlines(file)))


def _short(file: str) -> str:
    """A path as Python imports it (``timm/models/repvit.py``), or the name of the file alone."""
    path = Path(file)
    roots = [Path(root) for root in sys.path if root and path.is_relative_to(root)]
    return str(path.relative_to(max(roots, key=lambda root: len(str(root))))) if roots else path.name


def _without_calls(path: str) -> str:
    """``blocks.0@1`` is the second call of ``blocks.0``."""
    return re.sub(r"@\d+", "", path)


def _class_name(kind: Any) -> str:
    name = kind if isinstance(kind, str) else kind.__qualname__
    return name.rpartition(".")[2]
