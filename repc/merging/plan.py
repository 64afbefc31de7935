"""Adapters merged into a checkpoint that has no spec: names and tensors in, the same names and tensors out.

plan(headers, adapters)      the expression of every tensor that changes, from names and shapes alone
merge(base, adapters)        these expressions on the tensors, in float64 and rounded once
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from repc.checkpoints import AdapterImport, Checkpoint, from_memory, match, read, read_peft, relative_after_another
from repc.diagnostics import Failure, Source
from repc.evaluate import evaluate
from repc.evaluate.floating import TorchField
from repc.ir.expr import Expr
from repc.ir.types import TensorType
from repc.semantics import FileLibrary, Stored, adapt_stored, load

BASE = "Base"


@dataclass(frozen=True, eq=False)
class Plan:
    """What merging changes.

    `weights` maps the key of every tensor that changes to its new value, over the tensors of the base by their keys
    and `tensors`, those of the adapters by their paths.  `notes` are for the report.
    """

    weights: Mapping[str, Expr]
    tensors: Mapping[str, Tensor]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Merged:
    """The tensors of a merged checkpoint: those that change are new, the others are the base's own."""

    tensors: Mapping[str, Tensor]
    changed: frozenset[str]
    notes: tuple[str, ...]


def merge(base: str | Path | Mapping[str, Tensor], adapters: Sequence[str | Path], *, compat: bool = False) -> Merged:
    """A checkpoint with the adapters of some folders, all of them active.

    Every tensor keeps its type.  With `compat` PEFT's own arithmetic is kept where it differs from the mathematics.
    Raises `Failure` as `plan` and `read` do.
    """
    checkpoint = read(base) if isinstance(base, str | Path) else from_memory(base)
    found = plan({key: tensor_type(tensor) for key, tensor in checkpoint.items()}, adapters, compat=compat)
    computed = evaluate(found.weights, TorchField(torch.float64), {**checkpoint, **found.tensors})
    # A bias that the base has not is made for adapters that would change it, and not kept where they do not.
    new = {
        key: tensor.to(_stored_type(checkpoint, key)).contiguous()
        for key, tensor in computed.items()
        if key in checkpoint or tensor.any()
    }
    return Merged({**checkpoint, **new}, frozenset(new), found.notes)


def plan(types: Mapping[str, TensorType], adapters: Sequence[str | Path], *, compat: bool = False) -> Plan:
    """What the adapters of some folders make of a checkpoint with these names and shapes.

    Adapters apply in the order in which they are given; a difference that is added reads the base alone, whatever
    comes before it.  Raises `Failure`: what `read_peft` raises, E628 where an adapter is relative to a base that
    another one has changed, and E4xx where an adapter does not fit the base.
    """
    imported: list[AdapterImport] = []
    for number, folder in enumerate(adapters):
        base = imported[-1].name if imported else BASE
        imported.append(read_peft(folder, base, label=f"adapter{number}", compat=compat))
    _check_order(imported)
    stored = _adapted(imported, types)
    tensors = {
        path: tensor
        for adapter in imported
        for path, tensor in match(
            adapter.checkpoint,
            {path: stored.graph.parameters[path] for path in adapter.key_map.values()},
            [adapter.layout],
        ).values.items()
    }
    return Plan(stored.weights, tensors, tuple(note for adapter in imported for note in adapter.notes))


def tensor_type(tensor: Tensor) -> TensorType:
    """The type of a stored tensor, as a spec would declare it."""
    dtype = "bool" if tensor.dtype is torch.bool else "f32" if tensor.is_floating_point() else "i64"
    return TensorType(tuple(tensor.shape), dtype)


def _adapted(imported: Sequence[AdapterImport], types: Mapping[str, TensorType]) -> Stored:
    """One text with the adapters, each on the one before."""
    header = imported[0].spec.splitlines()[0]
    text = "\n".join([header, *(adapter.spec.removeprefix(header) for adapter in imported)])
    return adapt_stored(load(Source("adapters", text), FileLibrary()), imported[-1].name, types)


def _check_order(imported: Sequence[AdapterImport]) -> None:
    faults = [
        relative_after_another(str(adapter.checkpoint.path), sorted(twice))
        for number, adapter in enumerate(imported)
        if (twice := [m for m in adapter.relative if any(m in before.modules for before in imported[:number])])
    ]
    if faults:
        raise Failure(faults)


def _stored_type(checkpoint: Checkpoint, key: str) -> torch.dtype:
    """The type of a tensor, of its module's weight where it is new."""
    return checkpoint[key if key in checkpoint else f"{key.rpartition('.')[0]}.weight"].dtype
