"""A merge of what fits into memory: tensors in, the same tensors out, in float64 and rounded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from repc.checkpoints import TYPES, Checkpoint, Entry, from_memory, read
from repc.diagnostics import Failure
from repc.evaluate import evaluate
from repc.evaluate.floating import TorchField
from repc.evaluate.rounding import rounded
from repc.merging import errors
from repc.merging.computed import check_finite
from repc.merging.operands import entry_type
from repc.merging.plan import plan
from repc.merging.tied import settle


@dataclass(frozen=True, eq=False)
class Merged:
    """The tensors of a merged checkpoint: those that change are new, the others are the base's own."""

    tensors: Mapping[str, Tensor]
    changed: frozenset[str]
    notes: tuple[str, ...]


def merged(
    base: str | Path | Mapping[str, Tensor],
    adapters: Sequence[str | Path],
    *,
    compat: bool = False,
    tied: Literal["untie", "share"] | None = None,
) -> Merged:
    """A checkpoint with some adapters, each a folder that PEFT wrote or a file of kohya's, all of them active.

    Every tensor keeps its type.  With `compat` PEFT's own arithmetic is kept where it differs from the mathematics;
    `tied` says what becomes of a tensor that lies where a changed one lies.  Raises `Failure` as `plan` and `read` do,
    E632 where that is not said, E637 where a value is not finite in its type, E643 where an adapter wants other layers,
    E645 for a folder.
    """
    if isinstance(base, str | Path) and Path(base).is_dir():
        raise Failure(errors.folder_in_memory(Path(base)))
    checkpoint = read(base) if isinstance(base, str | Path) else from_memory(base)
    entries = {key: Entry(TYPES[tensor.dtype], tuple(tensor.shape), 0, 0) for key, tensor in checkpoint.items()}
    found = plan({key: entry_type(entry) for key, entry in entries.items()}, adapters, compat=compat)
    if found.layers is not None:
        raise Failure(errors.no_layers("it is merged in memory", "give `out`, which is a folder to write"))
    given = {path: tensor for path, tensor in found.given.items() if isinstance(tensor, Tensor)}
    computed = evaluate(found.weights, TorchField(torch.float64), {**checkpoint, **given})
    # A bias that the base has not is made for adapters that would change it, and not kept where they do not.
    computed = {key: tensor for key, tensor in computed.items() if key in checkpoint or tensor.any()}
    types = {key: _stored_type(checkpoint, key) for key in computed}
    for key, tensor in computed.items():
        check_finite(key, tensor, types[key])
    new = {key: rounded(tensor, types[key]).contiguous() for key, tensor in computed.items()}
    new = settle(checkpoint, new, tied)
    return Merged({**checkpoint, **new}, frozenset(new), found.notes)


def _stored_type(checkpoint: Checkpoint, key: str) -> torch.dtype:
    """The type of a tensor, of its module's weight where it is new."""
    return checkpoint[key if key in checkpoint else f"{key.rpartition('.')[0]}.weight"].dtype
