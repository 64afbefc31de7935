"""The parameters of a model with an adapter, from the two files that they lie in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from repc.checkpoints.checkpoint import Checkpoint
from repc.checkpoints.layout import Layout
from repc.checkpoints.matching import Matched, match
from repc.checkpoints.peft import AdapterImport
from repc.ir.node import Parameter


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
