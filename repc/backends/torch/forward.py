"""The forward pass of a graph as one Python function, and what that function calls besides torch."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from zlib import crc32

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repc.backends.torch.plan import Plan
from repc.backends.torch.program import Step, steps, write
from repc.backends.torch.text import TORCH_DTYPES, variable
from repc.ir.dims import Dim, Polynomial, symbol, symbols
from repc.ir.graph import Graph
from repc.ir.types import TensorType


@dataclass(frozen=True, eq=False)
class Port:
    """A runtime input: its name and type, and its sizes as numbers, names of free dimensions, or formulas of them."""

    name: str
    type: TensorType
    sizes: tuple[int | str | Polynomial, ...]


def ports(graph: Graph) -> tuple[Port, ...]:
    """The runtime inputs in order."""
    return tuple(
        Port(name, graph[id].type, tuple(map(_free_name, graph[id].type.shape))) for name, id in graph.inputs.items()
    )


def forward_text(plan: Plan, training: bool) -> str:
    """The source of ``forward(self, inputs)``: straight lines, and a dictionary where the graph names several outputs."""
    graph = plan.graph
    names = {id: variable(name) for name, id in graph.inputs.items()}
    body = list(steps(plan, training))
    lines, results = write(body, names, list(graph.outputs.values()), plan.root.reference, free=True)
    prologue = [f"check(self, ({''.join(f'{name}, ' for name in names.values())}))", *size_lines(graph, body, names)]
    if any("like." in line for line in lines):
        prologue.append(f"like = {_like(plan, list(names.values()))}")
    text = "\n    ".join([*prologue, *lines, f"return {result_text(graph, results)}"])
    return f"def forward({', '.join(['self', *names.values()])}):\n    {text}\n"


def size_lines(graph: Graph, body: Sequence[Step], names: Mapping[int, str]) -> list[str]:
    """Lines that read the free dimensions that the steps need off the inputs."""
    places = {
        free: f"{names[id]}.shape[{axis}]"
        for id in reversed(graph.inputs.values())
        for axis, dim in enumerate(graph[id].type.shape)
        for free in symbols([dim])
        if dim == symbol(free)
    }
    return [f"{variable(free)} = {places[free]}" for free in sorted({free for step in body for free in step.sizes})]


def result_text(graph: Graph, results: Sequence[str]) -> str:
    """One output is returned as it is, several by name."""
    if len(results) == 1:
        return results[0]
    return "{" + ", ".join(f'"{name}": {result}' for name, result in zip(graph.outputs, results, strict=True)) + "}"


@cache
def compiled(name: str, source: str) -> Callable[..., object]:
    """The function that a source defines. Its lines show in tracebacks and profiles."""
    file = f"<repc {name} {crc32(source.encode()):08x}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space: dict[str, Callable[..., object]] = {}
    exec(compile(source, file, "exec"), {"torch": torch, "F": F, "check": check, "batch_norm": batch_norm}, space)
    return space["forward"]


def check(network: nn.Module, given: Sequence[Tensor]) -> None:
    """Raise `TypeError` for an input of the wrong element type, `ValueError` for one of the wrong shape."""
    inputs: tuple[Port, ...] = network.ports  # type: ignore[assignment]
    sizes: dict[str, int] = {}
    for port, value in zip(inputs, given, strict=True):
        if len(value.shape) != len(port.sizes):
            raise ValueError(f"{_misfit(port, value)}: it needs {len(port.sizes)} axes")
        for axis, (wanted, size) in enumerate(zip(port.sizes, value.shape, strict=True)):
            if isinstance(wanted, str):
                wanted = sizes.setdefault(wanted, size)
            elif isinstance(wanted, Polynomial):
                wanted = wanted.evaluate(sizes)
            if wanted != size:
                raise ValueError(f"{_misfit(port, value)}: axis {axis} is {size} instead of {wanted}")
        _check_dtype(network, port, value)
