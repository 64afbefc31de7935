"""The keys of an adapter's file, sorted by what they are: every key has one place, or is named in an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch

from repc.checkpoints import errors
from repc.checkpoints.checkpoint import Checkpoint
from repc.checkpoints.peft.config import Config
from repc.checkpoints.peft.method import named_by
from repc.diagnostics import Diagnostic, Failure

PREFIX, SHARED = "base_model.model.", "base_model."
UNCALLED = "nothing that the configuration calls for"
COUNTER = "num_batches_tracked"
WRAPPER = ".token_adapter"
LAYER = ".base_layer"
"""What stands before the tensors of an adapted layer itself; once more for each parameter that is adapted there."""
INNER = f"{LAYER}.out_proj"
"""The output of a multi-head attention is a layer inside the adapted one; what is adapted beside it are the inputs."""
EMBEDDINGS = (
    "embed_tokens", "wte", "word_embeddings", "shared", "embed_in", "tok_embeddings", "lm_head", "embed_out",
)  # fmt: skip
"""Modules that are stored whole, without a setting that says so, where they are adapted or the vocabulary has grown."""


@dataclass(eq=False)
class Keys:
    """Where every key belongs.

    `modules` maps an adapted module to its tensors, part → key; `shared` the name of a tensor that all use to its key;
    `replaced` the key of a base tensor to that of its successor.  `copies` are keys that repeat a shared tensor,
    `counters` those that mean nothing in evaluation mode.  `outputs` are the modules inside a multi-head attention, and
    `whole` the tensors of embeddings that were stored for no setting.
    """

    modules: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    shared: dict[str, str] = field(default_factory=dict[str, str])
    replaced: dict[str, str] = field(default_factory=dict[str, str])
    copies: dict[str, str] = field(default_factory=dict[str, str])
    counters: list[str] = field(default_factory=list[str])
    outputs: set[str] = field(default_factory=set[str])
    whole: list[str] = field(default_factory=list[str])

    def named(self, module: str) -> str:
        """The name by which patterns know a module; what is inside a multi-head attention has that of the attention."""
        return module.removesuffix(".out_proj") if module in self.outputs else module

    def attends(self, module: str) -> bool:
        """Whether a module is a multi-head attention, which keeps the weights of its inputs under their own name."""
        return f"{module}.out_proj" in self.outputs


def sort_keys(checkpoint: Checkpoint, config: Config) -> Keys:
    """The keys of a file by what they are, `layers.2` before `layers.10`; all of them have PEFT's prefix, or none.

    Raises `Failure` E624 for keys that the configuration does not explain, E625 where a shared tensor is missing, and
    E627 where its copies differ.
    """
    keys = Keys()
    prefix = PREFIX if any(key.startswith(SHARED) for key in checkpoint) else ""
    unexpected = [key for key in sorted(checkpoint, key=_natural) if not _sort(key, prefix, keys, config)]
    faults = [*_copies_that_differ(checkpoint, keys)]
    if unexpected:
        lines = [f"{key} {list(checkpoint[key].shape)}: {_what(key)}" for key in unexpected]
        faults.append(errors.unexpected_adapter_keys(checkpoint.name, lines))
    missing = [f"{SHARED}{name}" for name in config.method.shared if name not in keys.shared]
    if missing:
        faults.append(errors.missing_adapter_keys(checkpoint.name, missing))
    if faults:
        raise Failure(faults)
    return keys


def _sort(key: str, prefix: str, keys: Keys, config: Config) -> bool:
    """Put a key in its place, if there is one that is free."""
    rest = key.removeprefix(prefix)
    if prefix and rest == key:
        name = key.removeprefix(SHARED)
        return name in config.method.shared and _put(keys.shared, name, key)
    for part in config.method.parts:
        module = rest.removesuffix(f".{part}")
        if module != rest:
            if config.method.kind == "LORA" and module.endswith(INNER):
                module = module.removesuffix(INNER) + ".out_proj"
                keys.outputs.add(module)
            module = module.removesuffix(WRAPPER)
            known = LAYER not in (layer_of(module) if config.parameters else module)
            return known and _put(keys.modules.setdefault(module, {}), part, key)
    module, _, leaf = rest.rpartition(".")
    if leaf in config.method.unused:
        keys.counters.append(key)
        return True
    if leaf in config.method.shared:
        return _put(keys.copies, key, leaf)
    if config.method.replaced and module.endswith(f".{config.method.replaced}"):
        module = module.removesuffix(f".{config.method.replaced}")
    elif leaf == "bias" and (config.settings["bias"] == "all" or (config.only_own_biases and module.endswith(LAYER))):
        module = module.removesuffix(LAYER)
    elif not any(named_by_any(outer, config.saved) for outer in _ancestors(module)):
        module = module.removesuffix(LAYER)
        if leaf != "weight" or not named_by_any(module, EMBEDDINGS):
            return False
        keys.whole.append(module)
    if leaf == COUNTER:
        keys.counters.append(key)
        return True
    return _put(keys.replaced, f"{module}.{leaf}", key)


def adapted_modules(checkpoint: Checkpoint, config: Config) -> set[str]:
    """The modules that a file has adapters of, before its keys are looked at one by one."""
    return {
        layer_of(rest.removesuffix(f".{part}").removesuffix(WRAPPER))
        for key in checkpoint
        for part in config.method.parts
        if (rest := key.removeprefix(PREFIX)).endswith(f".{part}")
    }


def layer_of(module: str) -> str:
    """The layer around which the adapters of its parameters lie, one in another."""
    return layer_of(module.removesuffix(LAYER)) if module.endswith(LAYER) else module


def named_by_any(module: str, names: Iterable[str]) -> bool:
    """Whether a module has one of these names, or ends in it."""
    return any(named_by(module, name) for name in names)


def _put(places: dict[str, str], place: str, key: str) -> bool:
    return places.setdefault(place, key) == key


def _ancestors(module: str) -> Iterator[str]:
    """A module and those that it lies in."""
    segments = module.split(".")
    return (".".join(segments[:end]) for end in range(1, len(segments) + 1))


def _copies_that_differ(checkpoint: Checkpoint, keys: Keys) -> Iterator[Diagnostic]:
    lines = [
        f"{key} differs from {keys.shared[name]}"
        for key, name in keys.copies.items()
        if name in keys.shared and not torch.equal(checkpoint[key], checkpoint[keys.shared[name]])
    ]
    if lines:
        yield errors.copies_differ(checkpoint.name, lines)


def _natural(key: str) -> list[tuple[int, str]]:
    return [(int(segment), "") if segment.isdecimal() else (-1, segment) for segment in key.split(".")]


def _what(key: str) -> str:
    if f"{LAYER}." in key:
        return "a layer inside an adapted layer, which is not known"
    return UNCALLED
