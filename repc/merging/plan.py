"""What merging changes: the expression of every tensor that changes, from names and shapes alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from repc.checkpoints import AdapterImport, match, read_peft, relative_after_another
from repc.diagnostics import Failure, Source
from repc.ir.expr import Expr
from repc.ir.types import TensorType
from repc.merging.operands import Given
from repc.merging.tied import Tied
from repc.semantics import FileLibrary, Stored, adapt_stored, load

BASE = "Base"


@dataclass(frozen=True, eq=False)
class Plan:
    """What merging changes.

    `weights` maps the key of every tensor that changes to its new value, over the tensors of the base by their keys
    and `given`, those of adapters and other models, by their paths.  `notes` are for the report; `files`
    are what was read besides the base, as far as that does not stand behind `given`.  `tied` is what
    becomes of tensors that are one, where nobody need be asked.
    """

    weights: Mapping[str, Expr]
    given: Mapping[str, Given]
    notes: tuple[str, ...]
    files: tuple[Path, ...]
    tied: Literal["share"] | None = None


Planner: TypeAlias = Callable[[Mapping[str, TensorType], Sequence[Tied]], Plan]
"""Finds what changes in a checkpoint with these names and types, of which some are one tensor."""


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
    given: dict[str, Given] = {
        path: tensor
        for adapter in imported
        for path, tensor in match(
            adapter.checkpoint,
            {path: stored.graph.parameters[path] for path in adapter.key_map.values()},
            [adapter.layout],
        ).values.items()
    }
    names = ("adapter_config.json", "adapter_model.safetensors")
    files = tuple(Path(folder) / name for folder in adapters for name in names)
    return Plan(stored.weights, given, tuple(note for adapter in imported for note in adapter.notes), files)


def planning(adapters: Sequence[str | Path], *, compat: bool = False) -> Planner:
    """The planner that merges the adapters of some folders."""
    return lambda types, ties: plan(types, adapters, compat=compat)


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
