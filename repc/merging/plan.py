"""What merging changes: the expression of every tensor that changes, from names and shapes alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from repc.checkpoints import (
    CONFIG,
    AdapterImport,
    layer_ranges,
    match,
    modules_of,
    read_adapter,
    relative_after_another,
    tensors_of,
)
from repc.diagnostics import Diagnostic, Failure, Source, nearest
from repc.ir.expr import Expr
from repc.ir.types import TensorType
from repc.merging import errors
from repc.merging.layers import Layers, find_layers
from repc.merging.operands import Given
from repc.merging.precision import TRAINED, Precision, quantised_text, quantised_weights, told_quantised
from repc.merging.tied import Tied
from repc.semantics import FileLibrary, Stored, adapt_stored, load

BASE = "Base"


@dataclass(frozen=True, eq=False)
class Plan:
    """What merging changes.

    `weights` maps the key of every tensor that changes to its new value, over the tensors of the base by their keys and
    `given`, those of `adapters` or other models, by their paths.  `adapters` are those in the order in which they
    were named.  `notes` are for the report; `files` are what was read besides the base, as far as that does not
    stand behind `given`.  `tied` is what becomes of tensors that are one, where nobody need be asked.  `quantised`
    has the weights beside which adapters were trained, where these were not the base's own: how far apart they are
    is measured.  `layers` is there where the result has other layers than the base; then all keys are those of the
    result.
    """

    weights: Mapping[str, Expr]
    given: Mapping[str, Given]
    adapters: tuple[str, ...]
    notes: tuple[str, ...]
    files: tuple[Path, ...]
    tied: Literal["share"] | None = None
    quantised: Mapping[str, Expr] = field(default_factory=dict[str, Expr])
    layers: Layers | None = None


Planner: TypeAlias = Callable[[Mapping[str, TensorType], Sequence[Tied]], Plan]
"""Finds what changes in a checkpoint with these names and types, of which some are one tensor."""


def plan(
    types: Mapping[str, TensorType],
    adapters: Sequence[str | Path],
    *,
    compat: bool = False,
    base_precision: Precision | None = None,
    quantised: str = "nf4",
) -> Plan:
    """What adapters, each a folder of PEFT or a file of kohya's, make of a checkpoint with these names and shapes.

    Adapters apply in the order in which they are given; a difference that is added reads the base alone, whatever
    comes before it.  `base_precision` says which base is meant where they were trained beside one that was `quantised`.

    Raises `Failure`: E641 where that is not said, what `read_adapter` raises, E643 where the layers of the base
    cannot be rebuilt as the adapters want, E642 where the base has not the modules of an adapter, E635 where it has
    them in whole numbers, E628 where one is relative to a base that another one has changed, and E4xx where one does
    not fit.
    """
    paths = [Path(adapter) for adapter in adapters]
    told = {path: why for path in paths if (why := told_quantised(path))}
    if told and base_precision is None:
        raise Failure([errors.quantised_base(path, why) for path, why in told.items()])
    layers = _layers(paths, types)
    if layers is not None:
        types = {key: types[source] for key, source in layers.sources(types).items()}
    imported = _imported(paths, types, TRAINED if base_precision == "trained" else BASE, compat)
    modules = _modules(imported) if base_precision else set[str]()
    keys = [key for key in types if key.removesuffix(".weight") in modules]
    stored = _adapted(imported, types, quantised_text(quantised, BASE, keys) if base_precision == "trained" else "")
    files = tuple(file for path in paths for file in _files(path))
    notes = [*([layers.note] if layers else []), *(note for adapter in imported for note in adapter.notes)]
    beside: Mapping[str, Expr] = quantised_weights(quantised, keys, types) if keys else {}
    if keys:
        meant = f"what {quantised} leaves of the weights" if base_precision == "trained" else "the full weights"
        notes.append(f"merged into {meant}; the adapters were trained beside {quantised}")
    named = tuple(map(str, paths))
    return Plan(stored.weights, _given(imported, stored), named, tuple(notes), files, None, beside, layers)


def planning(
    adapters: Sequence[str | Path],
    *,
    compat: bool = False,
    base_precision: Precision | None = None,
    quantised: str = "nf4",
) -> Planner:
    """The planner that merges adapters, as `plan` does."""

    def planner(types: Mapping[str, TensorType], ties: Sequence[Tied]) -> Plan:
        return plan(types, adapters, compat=compat, base_precision=base_precision, quantised=quantised)

    return planner


def _layers(adapters: Sequence[Path], types: Mapping[str, TensorType]) -> Layers | None:
    """The layers on which all adapters were trained, where these are not those of the base."""
    ranges = {adapter: layer_ranges(adapter) for adapter in adapters}
    if len(set(ranges.values())) > 1:
        reason = "the adapters were trained on different layers"
        raise Failure(errors.no_layers(reason, "merge them one after the other"))
    wanted = ranges[adapters[0]]
    return find_layers(types, wanted) if wanted else None


def _files(adapter: Path) -> Sequence[Path]:
    return [adapter] if adapter.is_file() else [adapter / CONFIG, tensors_of(adapter)]


def _imported(
    adapters: Sequence[Path], types: Mapping[str, TensorType], base: str, compat: bool
) -> list[AdapterImport]:
    """The adapters, each attached to the one before."""
    modules = modules_of(types)
    imported: list[AdapterImport] = []
    for number, path in enumerate(adapters):
        before = imported[-1].name if imported else base
        imported.append(read_adapter(path, types, before, label=f"adapter{number}", compat=compat, rebuilt=True))
    _check_modules(imported, modules)
    _check_order(imported)
    whole = [key for module in sorted(_modules(imported)) if (key := f"{module}.weight") in types]
    lines = [f"{key}: whole numbers" for key in whole if types[key].dtype != "f32"]
    if lines:
        raise Failure(errors.no_arithmetic(lines))
    return imported


def _given(imported: Sequence[AdapterImport], stored: Stored) -> dict[str, Given]:
    """The tensors of the adapters by their paths."""
    return {
        path: tensor
        for adapter in imported
        for path, tensor in match(
            adapter.checkpoint,
            {path: stored.graph.parameters[path] for path in adapter.key_map.values()},
            [adapter.layout],
        ).values.items()
    }


def _modules(imported: Sequence[AdapterImport]) -> set[str]:
    return {module for adapter in imported for module in adapter.modules}


def _adapted(imported: Sequence[AdapterImport], types: Mapping[str, TensorType], base: str) -> Stored:
    """One text with the base, where it is not the checkpoint itself, and the adapters, each on the one before."""
    header = imported[0].spec.splitlines()[0]
    text = "\n".join([header, base, *(adapter.spec.removeprefix(header) for adapter in imported)])
    return adapt_stored(load(Source("adapters", text), FileLibrary()), imported[-1].name, types)


def _check_modules(imported: Sequence[AdapterImport], modules: Sequence[str]) -> None:
    faults = [
        _other_modules(adapter, absent, modules)
        for adapter in imported
        if (absent := sorted(adapter.modules - set(modules)))
    ]
    if faults:
        raise Failure(faults)


def _other_modules(adapter: AdapterImport, absent: Sequence[str], modules: Sequence[str]) -> Diagnostic:
    """The modules that may be meant: those of the same name below another root, or of the nearest name."""
    lines: list[str] = []
    prefixes: set[str] = set()
    for name in absent:
        meant = [m for m in modules if m.endswith(f".{name}") or (m and name.endswith(f".{m}"))]
        prefixes |= {max(name, m, key=len).removesuffix(min(name, m, key=len)) for m in meant}
        likely = meant or [m for m in [nearest(name, modules)] if m]
        lines.append(f"{name}: did you mean {' or '.join(likely)}?" if likely else name)
    return errors.other_modules(str(adapter.checkpoint.path), lines, min(prefixes) if len(prefixes) == 1 else None)


def _check_order(imported: Sequence[AdapterImport]) -> None:
    faults = [
        relative_after_another(str(adapter.checkpoint.path), sorted(twice))
        for number, adapter in enumerate(imported)
        if (twice := [m for m in adapter.relative if any(m in before.modules for before in imported[:number])])
    ]
    if faults:
        raise Failure(faults)
