"""Adapters of any kind, and the parameters of a model that has one, from the two files that they lie in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from repc.checkpoints import errors
from repc.checkpoints.checkpoint import Checkpoint
from repc.checkpoints.kohya import modules_of, read_kohya
from repc.checkpoints.layout import Layout
from repc.checkpoints.matching import Matched, match
from repc.checkpoints.peft.reading import OLD_TENSORS, TENSORS, AdapterImport, read_peft
from repc.diagnostics import Failure
from repc.ir.node import Parameter
from repc.ir.types import TensorType


def read_adapter(
    path: str | Path,
    types: Mapping[str, TensorType],
    base: str,
    source: str | None = None,
    *,
    label: str | None = None,
    compat: bool = False,
    rebuilt: bool = False,
) -> AdapterImport:
    """The adapter in a folder of PEFT or a file of kohya's, attached to a model with these tensors.

    `label`, `compat` and `rebuilt` are those of `read_peft`; nothing in a file of kohya's differs from the mathematics.
    Raises `Failure` as these two do, E601 where there is nothing, and E624 for one file out of a folder of PEFT.
    """
    path = Path(path)
    if not path.exists():
        raise Failure(errors.missing_file(path))
    if path.is_file():
        if path.name in (TENSORS, OLD_TENSORS):
            raise Failure(errors.file_of_a_folder(path))
        return read_kohya(path, modules_of(types), base, source, **({"label": label} if label else {}))
    return read_peft(path, base, source, label=label, compat=compat, types=types, rebuilt=rebuilt)


def match_adapted(
    checkpoint: Checkpoint,
    parameters: Mapping[str, Parameter],
    layouts: Sequence[Layout],
    adapter: AdapterImport | None,
) -> Matched:
    """As `match`; what an adapter brings is taken from its own file, and everything else from the checkpoint."""
    if adapter is None:
        found = match(checkpoint, parameters, layouts)
        return replace(found, notes=(*checkpoint.notes, *found.notes))
    own = set(adapter.key_map.values())
    base = match(checkpoint, {path: p for path, p in parameters.items() if path not in own}, layouts)
    extra = match(adapter.checkpoint, {path: p for path, p in parameters.items() if path in own}, [adapter.layout])
    notes = (*checkpoint.notes, *base.notes, *extra.notes, *adapter.notes)
    return replace(base, values={**base.values, **extra.values}, notes=notes)
