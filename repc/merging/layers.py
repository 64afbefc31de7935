"""The layers of a base anew, some of them several times, as PEFT's `layer_replication` has them.

PEFT rebuilds the stack of layers from ranges of it, and attaches adapters to what comes out.  So the base is seen under
the keys of the result from the beginning: several keys may stand for the same bytes of a file, and nothing that plans,
computes or writes has to know.

Source: PEFT 0.21, `LoraConfig.layer_replication`; the same three places are searched for the stack.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias, cast

from repc.checkpoints import Stored
from repc.diagnostics import Failure
from repc.ir.types import TensorType
from repc.merging import errors
from repc.merging.carried import CONFIG

Ranges: TypeAlias = Sequence[tuple[int, int]]
"""Layers of a base, each range from its first until before its last."""

STACK = re.compile(r"((?:model\.)*(?:bert\.)?(?:layers|encoder\.layer|h))\.(0|[1-9]\d*)\.(.+)")
REMEDY = (
    "they must be below layers, encoder.layer or h, behind nothing but model. and bert.: save the base with the class "
    "that the adapter was trained on, as in AutoModelForCausalLM.from_pretrained(BASE).save_pretrained(NEW)"
)
COUNTS = ("num_hidden_layers", "n_layer")
"""Settings that say how many layers there are."""
KINDS = ("layer_types", "mlp_layer_types", "no_rope_layers", "layers_block_type")
"""Settings that say something of each layer."""
PLACED = (
    "scale_attn_by_inverse_layer_idx", "attention_types", "global_attn_every_n_layers", "use_sliding_window",
    "sliding_window_pattern", "no_rope_layer_interval",
)  # fmt: skip
"""Settings by which a layer is what its place makes it, where none of the others says it of each."""


@dataclass(frozen=True)
class Layers:
    """The stack of layers at `root`: `count` in the base, and the ranges of them that the result consists of."""

    root: str
    count: int
    ranges: Ranges

    @property
    def order(self) -> list[int]:
        """The layer of the base that each layer of the result begins as."""
        return [layer for start, stop in self.ranges for layer in range(start, stop)]

    @property
    def note(self) -> str:
        """What becomes of the layers, in words."""
        parts = [f"{start} to {stop - 1}" if stop - start > 1 else str(start) for start, stop in self.ranges]
        gone = ", ".join(map(str, sorted(set(range(self.count)) - set(self.order))))
        left = f"; left out: {gone}" if gone else ""
        taken = f"{len(self.order)} layers, which are {', '.join(parts)} of the base"
        return f"{self.root}: {taken}{left}; all keys are those of the result"

    def sources(self, keys: Iterable[str]) -> dict[str, str]:
        """The keys of the result, each with that of the base's tensor that it begins as."""
        copies: dict[int, list[int]] = {}
        for new, old in enumerate(self.order):
            copies.setdefault(old, []).append(new)
        found: dict[str, str] = {}
        for key in keys:
            if part := STACK.fullmatch(key):
                found |= {f"{self.root}.{new}.{part[3]}": key for new in copies.get(int(part[2]), ())}
            else:
                found[key] = key
        return found

    def settings(self, folder: Path) -> dict[str, Any]:
        """What the configuration in a folder has to say instead; a file has none beside it.

        Raises `Failure` E643 where it speaks of other layers, or a layer would be another one at its new place.
        """
        if not (folder / CONFIG).is_file():
            return {}
        try:
            config: dict[str, Any] = json.loads((folder / CONFIG).read_bytes())
        except (OSError, ValueError):
            config = {}
        counts = {name: config[name] for name in COUNTS if name in config}
        if list(counts.values()) != [self.count] * max(1, len(counts)):
            reason = f"{folder / CONFIG} does not say that {self.root} has {self.count} layers"
            raise Failure(errors.no_layers(reason, f"write {COUNTS[0]} into it, or give another base"))
        told = {name: cast("list[Any]", config[name]) for name in KINDS if isinstance(config.get(name), list)}
        told = {name: kinds for name, kinds in told.items() if len(kinds) == self.count}
        new = {name: [kinds[layer] for layer in self.order] for name, kinds in told.items()}
        self._check_places(config, told, new)
        return {**dict.fromkeys(counts, len(self.order)), **new}

    def _check_places(self, config: Mapping[str, Any], told: Mapping[str, list[Any]], new: Mapping[str, Any]) -> None:
        """A model finds some of what a layer is by its place, and some in the layer itself, which PEFT only moves.

        Beyond the places that the configuration tells of there is the layer alone: models that look there fail in PEFT.
        """
        places = len(self.order)
        torn = [name for name, kinds in told.items() if places <= self.count and kinds[:places] != new[name]]
        if not told and self.order != [*range(places)]:
            torn = [name for name in PLACED if config.get(name)]
        if torn:
            reason = f"by {', '.join(torn)} in {CONFIG} a layer would be another one at its new place"
            raise Failure(errors.no_layers(reason, "train on a base whose layers are all alike"))


def find_layers(types: Mapping[str, TensorType], ranges: Ranges) -> Layers:
    """The stack of layers among the tensors of a base.

    Raises `Failure` E643 where there is none or more than one, a range goes beyond it, or its layers differ, so that
    the configuration would have to say which is where.
    """
    stacks: dict[str, dict[int, dict[str, TensorType]]] = {}
    for key, type in types.items():
        if part := STACK.fullmatch(key):
            stacks.setdefault(part[1], {}).setdefault(int(part[2]), {})[part[3]] = type
    if len(stacks) != 1:
        reason = f"it has {' and '.join(sorted(stacks)) or 'no list of layers'} where PEFT looks for one list"
        raise Failure(errors.no_layers(reason, REMEDY))
    ((root, layers),) = stacks.items()
    found = Layers(root, len(layers), ranges)
    if absent := sorted({*found.order, *range(max(layers))} - set(layers)):
        reason = f"it has no {root}.{absent[0]}"
        raise Failure(errors.no_layers(reason, "give the base that the adapter was trained on"))
    if other := [layer for layer in found.order if layers[layer] != layers[found.order[0]]]:
        reason = f"{root}.{found.order[0]} and {root}.{other[0]} have other tensors, or other shapes"
        raise Failure(errors.no_layers(reason, "train on a base whose layers are all alike"))
    return found


def rebuilt(base: Stored, layers: Layers) -> Stored:
    """A base under the keys of the result, without the files of which nothing is left.

    Raises `Failure` E643 for a torch file, where copies could not be told from tensors that are one.
    """
    if base.loaded is not None:
        raise Failure(errors.no_layers("it is a torch file", "save it as safetensors"))
    copies: dict[str, list[str]] = {key: [] for key in base.homes}
    for key, source in layers.sources(base.homes).items():
        copies[source].append(key)
    files = {
        name: replace(header, entries={new: entry for key, entry in header.entries.items() for new in copies[key]})
        for name, header in base.files.items()
    }
    files = {name: header for name, header in files.items() if header.entries}
    return replace(base, files=files, homes={key: name for name, header in files.items() for key in header.entries})
