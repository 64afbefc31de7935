"""Blocks of specs as torch modules, to be built into a network that is written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from torch import Tensor

from repc.backends.torch import Network, train_module
from repc.diagnostics import Failure
from repc.ir.dims import symbol
from repc.ir.graph import Graph
from repc.ir.types import TensorType
from repc.modules import errors
from repc.semantics import FileLibrary, Module, block_of, elaborate_block, load, open_spec
from repc.semantics.values import Value
from repc.syntax import tree


def block(
    spec: str, *, example: Tensor | Sequence[Tensor] | None = None, seed: int | None = None, **given: Value
) -> Network:
    """A block of a spec as an ordinary module to train: ``repc.block("my.rep:Block", co=64, ci=32)``.

    The keys of its state_dict are the labels of the block.  `given` sets the block's parameters and, by their names,
    the sizes of its inputs that its weights need: ``x: [b, ci, h, w]`` takes ``ci=32``, a rest ``...s`` the number of
    its axes.  With an `example` of its inputs these are read off that, as few as the block can do with; every other
    size stays free.  With a `seed` the initial values are reproducible.

    Raises `Failure` with every error found.
    """
    opened = open_spec(spec)
    module = load(opened.source, FileLibrary())
    name = opened.model or _only(module)
    definition, _ = block_of(module, name)
    known = {parameter.name for parameter in definition.parameters}
    parameters = {key: value for key, value in given.items() if key in known}
    sizes = {key: value for key, value in given.items() if key not in known}
    tensors = [example] if isinstance(example, Tensor) else list(example or ())
    inputs = _inputs(definition, tensors, sizes, sorted(known))
    return train_module(_elaborated(module, name, parameters, inputs), seed=seed)


@dataclass(frozen=True, eq=False)
class _Inputs:
    """The axes of each port by label or size, their element types, and the sizes of labels: given or in the example."""

    axes: Mapping[str, Sequence[str | int]]
    dtypes: Mapping[str, str]
    given: Mapping[str, int]
    seen: Mapping[str, int]

    def types(self, pinned: Sequence[str]) -> dict[str, TensorType]:
        """The types of the ports where these labels have their sizes of the example, and others are free."""
        sizes = {label: self.seen[label] for label in pinned} | dict(self.given)
        return {
            port: TensorType(
                tuple(axis if isinstance(axis, int) else sizes.get(axis) or symbol(axis) for axis in axes),
                self.dtypes[port],
            )
            for port, axes in self.axes.items()
        }


def _inputs(
    definition: tree.Definition, tensors: Sequence[Tensor], sizes: Mapping[str, Value], parameters: Sequence[str]
) -> _Inputs:
    """The ports of a block as its example and the given sizes say; raises `Failure` for a size that no port has."""
    names = {dim.name for port in definition.ports for dim in port.type.dims if isinstance(dim, tree.Name | tree.Rest)}
    wrong = [
        errors.unknown_size(key, definition.name, [*parameters, *sorted(filter(None, names))])
        for key, value in sizes.items()
        if key not in names or not isinstance(value, int)
    ]
    if tensors and len(tensors) != len(definition.ports):
        wrong.append(errors.wrong_example(definition.name, len(definition.ports), len(tensors)))
    if wrong:
        raise Failure(wrong)
    given = {key: value for key, value in sizes.items() if isinstance(value, int)}
    ranks = [tensor.dim() for tensor in tensors] or [None] * len(definition.ports)
    axes = {
        port.name: list(_axes(definition, port, rank, given))
        for port, rank in zip(definition.ports, ranks, strict=True)
    }
    seen = {
        label: size
        for labels, tensor in zip(axes.values(), tensors, strict=False)
        for label, size in zip(labels, tensor.shape, strict=False)
        if isinstance(label, str)
    }
    dtypes = {port.name: port.type.dtype or "f32" for port in definition.ports}
    return _Inputs(axes, dtypes, given, seen)


def _axes(
    definition: tree.Definition, port: tree.Port, rank: int | None, given: Mapping[str, int]
) -> Sequence[str | int]:
    """The axes of a port: their names, those of a rest numbered, or their sizes."""
    found: list[str | int] = []
    for dim in port.type.dims:
        if isinstance(dim, tree.Rest):
            fixed = len(port.type.dims) - 1
            count = given.get(dim.name or "") if rank is None else rank - fixed
            if count is None:
                raise Failure(errors.unknown_rank(definition.name, port.name, dim.name or "..."))
            found += [f"{dim.name or port.name}{i}" for i in range(count)]
        elif isinstance(dim, tree.Int):
            found.append(dim.value)
        else:
            found.append(dim.name if isinstance(dim, tree.Name) else f"{port.name}_{len(found)}")
    return found


def _elaborated(module: Module, name: str, parameters: Mapping[str, Value], inputs: _Inputs) -> Graph:
    """The graph with the fewest sizes of the example that the block can do with."""
    labels = [label for label in inputs.seen if label not in inputs.given]
    choices = [pinned for count in range(len(labels) + 1) for pinned in combinations(labels, count)]
    for pinned in choices:
        try:
            return elaborate_block(module, name, parameters, inputs.types(pinned))
        except Failure as failure:
            if pinned == choices[-1]:
                raise failure
    raise AssertionError("there is one choice at least")


def _only(module: Module) -> str:
    names = [name for name, item in module.definitions.items() if isinstance(item, tree.Definition)]
    if len(names) != 1:
        raise Failure(errors.which_block(module.source.name, names))
    return names[0]
