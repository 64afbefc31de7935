"""Tensors that are one: two names of a torch file for one storage, or an embedding that is also the head of a model.

When one of them changes, the other may follow or stay.  Neither is right for everyone: an adapter of the embedding was
trained beside an unchanged head, but a merged model of the same configuration ties them again when it is loaded.  So
the user says which, and what is said is written into the configuration.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from repc.checkpoints import Stored
from repc.diagnostics import Diagnostic, Failure
from repc.ir.expr import Expr, Param
from repc.merging import errors
from repc.merging.carried import CONFIG
from repc.merging.layout import Created
from repc.merging.operands import entry_type

TIE = "tie_word_embeddings"
"""The setting of the transformers library; its own default is to tie."""
WITH_HEADS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForMaskedLM")
HEADS = ("lm_head.weight", "embed_out.weight")
EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "shared", "embed_in", "tok_embeddings")


@dataclass(frozen=True)
class Tied:
    """The keys of one tensor; `stored` is in the checkpoint, others perhaps in the configuration alone."""

    stored: str
    keys: tuple[str, ...]
    configured: bool


@dataclass(frozen=True, eq=False)
class Resolved:
    """The tensors that change when ties are kept or cut, with what is stored anew and set in the configuration."""

    weights: Mapping[str, Expr]
    created: Mapping[str, Created]
    settings: Mapping[str, Any]
    notes: tuple[str, ...]


def settle(
    tensors: Mapping[str, Tensor], new: Mapping[str, Tensor], choice: Literal["untie", "share"] | None
) -> dict[str, Tensor]:
    """The new values of tensors in memory, of which some are one; raises `Failure` E632 and E633 as `resolve` does."""
    settled, faults = dict(new), list[Diagnostic]()
    for tie in aliased(tensors):
        changed = [key for key in tie.keys if key in new]
        if not changed or choice == "untie":
            continue
        if len({tensors[key].shape for key in tie.keys}) > 1 or any(
            not torch.equal(new[changed[0]], new[key]) for key in changed
        ):
            faults.append(errors.tied_twice(" = ".join(tie.keys)))
        elif choice is None and len(changed) < len(tie.keys):
            faults.append(errors.tied_weights([" = ".join(tie.keys)], changed))
        else:
            settled |= dict.fromkeys(tie.keys, new[changed[0]])
    if faults:
        raise Failure(faults)
    return settled


def find_ties(base: Stored) -> list[Tied]:
    """The tensors of a checkpoint that are one."""
    if base.loaded is not None:
        return aliased(base.loaded)
    return _configured(base) if base.is_folder else []


def resolve(
    base: Stored, ties: Sequence[Tied], weights: Mapping[str, Expr], choice: Literal["untie", "share"] | None
) -> Resolved:
    """What changes; raises `Failure` E632 where a choice is needed, E633 where tensors cannot stay one."""
    touched = [(tie, changed) for tie in ties if (changed := [key for key in tie.keys if key in weights])]
    new, created, notes = dict(weights), dict[str, Created](), list[str]()
    faults: list[Diagnostic] = []
    for tie, changed in touched:
        others = [key for key in tie.keys if key not in changed]
        if choice is None:
            faults.append(errors.tied_weights([" = ".join(tie.keys)], changed))
        elif choice == "share" and (len(changed) > 1 or not _alike(base, tie)):
            faults.append(errors.tied_twice(" = ".join(tie.keys)))
        elif choice == "share":
            value = new.pop(changed[0])
            new |= {key: value for key in tie.keys if key in base.homes}
            notes.append(f"{' and '.join(tie.keys)} stay one tensor: {', '.join(others)} follows")
        else:
            for key in tie.keys:
                if key not in base.homes:
                    entry = base.entry(tie.stored)
                    new.setdefault(key, Param(tie.stored, entry_type(entry)))
                    created[key] = Created(entry.dtype, entry.shape, tie.stored)
            notes.append(f"{' and '.join(tie.keys)} are no longer one tensor")
    if faults:
        raise Failure(faults)
    settings = {TIE: False} if choice == "untie" and any(tie.configured for tie, _ in touched) else {}
    return Resolved(new, created, settings, tuple(notes))


def _alike(base: Stored, tie: Tied) -> bool:
    return len({base.entry(key).shape for key in tie.keys if key in base.homes}) == 1


def aliased(tensors: Mapping[str, Tensor]) -> list[Tied]:
    """Tensors whose elements lie in the same memory, the file's or ours."""
    spans = sorted((t.data_ptr(), t.data_ptr() + _extent(t), key) for key, t in tensors.items() if t.numel())
    groups: list[list[str]] = []
    end = 0
    for start, stop, key in spans:
        if start < end:
            groups[-1].append(key)
        else:
            groups.append([key])
        end = max(end, stop)
    order = list(tensors)
    return [Tied(group[0], tuple(sorted(group, key=order.index)), False) for group in groups if len(group) > 1]


def _extent(tensor: Tensor) -> int:
    """The bytes from the first element to the end of the last."""
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return (last + 1) * tensor.itemsize


def _configured(base: Stored) -> list[Tied]:
    """An embedding and a head, if the configuration ties them."""
    try:
        config: dict[str, Any] = json.loads((base.path / CONFIG).read_bytes())
    except (OSError, ValueError):
        return []
    inner: dict[str, Any] = config.get("text_config") or {}
    named = [str(name) for name in config.get("architectures") or ()]
    if named and not any(name.endswith(WITH_HEADS) for name in named):
        return []
    if not config.get(TIE, inner.get(TIE, bool(named))):  # a configuration that names no class has to say it
        return []
    embeddings = [key for key in base.homes if key.endswith(tuple(f"{name}.weight" for name in EMBEDDINGS))]
    heads = [key for key in base.homes if key.endswith(HEADS)]
    if len(embeddings) != 1 or len(heads) > 1:
        return []
    return [Tied(embeddings[0], (embeddings[0], *(heads or HEADS[:1])), True)]
