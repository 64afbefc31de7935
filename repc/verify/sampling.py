"""The inputs that networks are compared on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from repc.diagnostics import Failure
from repc.evaluate.dtypes import DTYPES
from repc.ir.dims import Dim, Polynomial, evaluate, symbols
from repc.ir.graph import Graph
from repc.ir.node import Node
from repc.ir.types import WHOLE, TensorType
from repc.ops import Conv
from repc.verify.errors import no_sizes, unknown_size
from repc.verify.options import Options

EXTENT = 3  # positions that every free axis has: two borders and an interior
SMALLEST, LARGEST = 8, 4096  # sizes that are tried
CHUNK = 8  # rows of given data that are computed at once


@dataclass(frozen=True, eq=False)
class Batch:
    """The values of all inputs for one run, and how many samples they hold."""

    inputs: Mapping[str, Tensor]
    samples: int

    def __str__(self) -> str:
        return ", ".join("x".join(str(size) for size in value.shape) or "scalar" for value in self.inputs.values())


def batches(graph: Graph, options: Options, dtype: torch.dtype) -> list[Batch]:
    """The given data, or random inputs in two sizes and two batch sizes; floats are of type `dtype`."""
    if options.inputs:
        return [piece for given in options.inputs for piece in _pieces(graph, given, dtype)]
    generator = torch.Generator().manual_seed(options.seed)
    return list(_random(graph, options, dtype, generator))


def describe(sample: Sequence[Batch], kind: str) -> str:
    """How many samples of what kind, and the shapes of the batches."""
    shapes = dict.fromkeys(str(batch) for batch in sample)
    return f"{sum(batch.samples for batch in sample)} {kind}: {'; '.join(shapes)}"


def _pieces(graph: Graph, given: Mapping[str, Tensor], dtype: torch.dtype) -> Iterator[Batch]:
    """Given data in the order of the inputs, and in chunks where the batch size is free."""
    batch = _batch_dims(graph)
    rows = {name: len(value) for name, value in given.items() if name in batch}
    count = min(rows.values(), default=1)
    ordered = {name: given[name] for name in (*graph.inputs, *given) if name in given}
    data = {name: value.to(dtype) if value.is_floating_point() else value for name, value in ordered.items()}
    if set(rows.values()) != {count}:
        yield Batch(data, 1)
        return
    for start in range(0, count, CHUNK):
        rest = slice(start, start + CHUNK)
        yield Batch({name: x[rest] if name in rows else x for name, x in data.items()}, min(CHUNK, count - start))


def _random(graph: Graph, options: Options, dtype: torch.dtype, generator: torch.Generator) -> Iterator[Batch]:
    batch = set(_batch_dims(graph).values()) - options.sizes.keys()
    small, large = _sizes(graph, options)
    rounds = [(rows, sizes) for rows, sizes in ((options.samples - 1, small), (1, large)) if rows]
    if not batch:
        rows = next((evaluate(graph[id].type.shape[0], small) for id in graph.inputs.values()), 1)
        rounds = [(rows, (small, large)[i % 2]) for i in range(-(-options.samples // rows))]
    for rows, sizes in rounds:
        bound = {**sizes, **dict.fromkeys(batch, rows)}
        inputs = {name: _draw(graph[id].type, bound, dtype, generator) for name, id in graph.inputs.items()}
        yield Batch(inputs, rows)


def _draw(type: TensorType, sizes: Mapping[str, int], dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    shape = [evaluate(dim, sizes) for dim in type.shape]
    if type.dtype in (*WHOLE, "bool"):
        return torch.randint(0, 2, shape, generator=generator).to(DTYPES[type.dtype])
    return torch.randn(shape, generator=generator).to(dtype)


def _batch_dims(graph: Graph) -> dict[str, str]:
    """The inputs whose first axis is a free dimension, and that dimension."""
    first = {name: graph[id].type.shape[:1] for name, id in graph.inputs.items()}
    return {name: str(*shape) for name, shape in first.items() if symbols(shape) == {str(*shape)}}


# ------------------------------------------------------------------------------------------------ sizes


def _sizes(graph: Graph, options: Options) -> tuple[dict[str, int], dict[str, int]]:
    """Two assignments of the free dimensions, neither of them square.

    The smaller is about the smallest at which every value has `EXTENT` positions and every tap of a kernel is read.
    """
    free = sorted(symbols(dim for id in graph.inputs.values() for dim in graph[id].type.shape))
    unknown = [unknown_size(name, free) for name in options.sizes if name not in free]
    if unknown:
        raise Failure(unknown)
    open_dims = [name for name in free if name not in options.sizes and name not in _batch_dims(graph).values()]
    n = _least(graph, open_dims, {**dict.fromkeys(free, 1), **options.sizes}) if open_dims else 0
    small = {name: (n, n + n // 2 + 1)[i % 2] for i, name in enumerate(open_dims)}
    large = {name: (n + n // 2 + 2, n + 1)[i % 2] for i, name in enumerate(open_dims)}
    return {**small, **options.sizes}, {**large, **options.sizes}


def _least(graph: Graph, names: list[str], rest: Mapping[str, int]) -> int:
    """The smallest common size of the named dimensions that gives every value its extent."""
    wanted: dict[Polynomial, int] = {}
    for id in graph:
        for dim, extent in _extents(graph, graph[id]):
            if isinstance(dim, Polynomial) and dim.symbols() & set(names) and dim.symbols() <= {*names, *rest}:
                wanted[dim] = max(extent, wanted.get(dim, 0))
    for n in range(SMALLEST, LARGEST + 1):
        bound = {**rest, **dict.fromkeys(names, n)}
        if all(dim.evaluate(bound) >= extent for dim, extent in wanted.items()):
            return n
    raise Failure(no_sizes(graph.name, names, LARGEST))


def _extents(graph: Graph, node: Node) -> Iterator[tuple[Dim, int]]:
    """The sizes of a node's value and of what its kernel runs over, with what each should at least be."""
    yield from ((dim, EXTENT) for dim in node.type.shape)
    if isinstance(node.op, Conv):
        operands = node.operands()
        x, weight = (graph[of].type if isinstance(of, int) else of.type for of in (operands["x"], operands["weight"]))
        axes = zip(x.shape[2:], weight.concrete()[2:], node.op.stride, node.op.padding, node.op.dilation, strict=True)
        for size, kernel, stride, (before, _), dilation in axes:
            yield size, max(before, dilation * (kernel - 1) - before) + stride
