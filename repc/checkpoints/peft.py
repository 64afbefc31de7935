"""PEFT's LoRA folders as spec text: an `adapt` with one line per adapted weight, and the layout of the stored factors.

An adapter needs no mechanism of its own: what is imported is a spec as a person would have written it, over the blocks
of ``adapters.lora``.  Those keep the names of PEFT, so that ``base_model.model.fc1.lora_A.weight`` becomes
``fc1.lora.lora_A.weight``, `lora` being the label of the attachment.  Rank stabilisation, alpha / sqrt(r), is a
matter of alpha, since every block divides by r; so it needs no further block for each of them.

Formulas: Hu et al. 2021 (LoRA), Kalajdzievski 2023 (rsLoRA), Liu et al. 2024 (DoRA).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from torch import Tensor

from repc.checkpoints import errors
from repc.checkpoints.checkpoint import Checkpoint
from repc.checkpoints.layout import Layout
from repc.checkpoints.peft_config import LoraConfig, read_config
from repc.checkpoints.reading import read
from repc.diagnostics import Failure

LABEL = "lora"
BLOCKS = ("LoRA", "LoRABias", "LoRAConv", "LoRATransposed", "DoRA", "DoRAConv")
"""The blocks of ``adapters.lora`` that an import uses; `LoRABias` adapts a layer, the others its weight."""

A, B, BETA, MAGNITUDE = "lora_A.weight", "lora_B.weight", "lora_B.bias", "lora_magnitude_vector"

_KEY = re.compile(rf"base_model\.model\.(?P<module>\w+(\.\w+)*)\.(?P<part>{A}|{B}|{BETA}|{MAGNITUDE})", re.ASCII)

_Modules: TypeAlias = Mapping[str, Mapping[str, Tensor]]  # module → part → factor


@dataclass(frozen=True, eq=False)
class AdapterImport:
    """An adapter as spec text, with its tensors.

    `key_map` maps each key of the file to the path of the parameter in the adapted model `name`; `layout` is the same
    for `match`, which takes the parameters of the adapter from `checkpoint`.
    """

    spec: str
    name: str
    key_map: dict[str, str]
    checkpoint: Checkpoint
    notes: tuple[str, ...]

    @property
    def layout(self) -> Layout:
        keys = {path: key for key, path in self.key_map.items()}
        return Layout("peft", lambda path: keys.get(path, path))


def read_peft(folder: str | Path, base: str | None = None, source: str | None = None) -> AdapterImport:
    """The adapter in a folder that PEFT's `save_pretrained` wrote, attached to the model `base` of the import `source`.

    `source` is a dotted name or the name of a .rep file, as an import states it; without one the text does not import
    the base.  `base` is by default the class that PEFT noted.  Raises `Failure`: E620 to E623 for the configuration,
    E624 to E626 for the stored factors, and what `read` raises.
    """
    folder = Path(folder)
    config = read_config(folder / "adapter_config.json")
    stored = folder / "adapter_model.safetensors"
    if not stored.exists():
        raise Failure(errors.no_adapter_file(folder, stored.name))
    checkpoint = read(stored)
    parts = (A, B, *[MAGNITUDE] * config.dora, *[BETA] * config.bias)
    key_map, modules = _modules(checkpoint, parts)
    _check_complete(checkpoint.name, modules, parts)
    _check_fit(checkpoint.name, modules, config)
    base = base or config.base or "Base"
    spec = "\n".join(_spec(modules, config, base, source))
    return AdapterImport(spec, f"{base}_{LABEL}", key_map, checkpoint, tuple(_notes(config, list(modules))))


def _modules(checkpoint: Checkpoint, parts: tuple[str, ...]) -> tuple[dict[str, str], _Modules]:
    """Every key → its parameter's path, and the factors by module, `layers.2` before `layers.10`."""
    key_map: dict[str, str] = {}
    modules: dict[str, dict[str, Tensor]] = {}
    unexpected: list[str] = []
    for key in sorted(checkpoint, key=_natural):
        found = _KEY.fullmatch(key)
        if not found or found["part"] not in parts or "base_layer" in found["module"].split("."):
            unexpected.append(f"{key} {list(checkpoint[key].shape)}: {_what(key)}")
            continue
        key_map[key] = f"{found['module']}.{LABEL}.{found['part']}"
        modules.setdefault(found["module"], {})[found["part"]] = checkpoint[key]
    if unexpected:
        raise Failure(errors.unexpected_adapter_keys(checkpoint.name, unexpected))
    return key_map, modules


def _natural(key: str) -> list[tuple[int, str]]:
    return [(int(segment), "") if segment.isdecimal() else (-1, segment) for segment in key.split(".")]


def _what(key: str) -> str:
    if "lora_embedding" in key:
        return "an adapter on an embedding"
    if "base_layer" in key:
        return "an adapter on a layer inside an adapted layer, such as multi-head attention"
    return "no factor that the configuration calls for"


def _check_complete(name: str, modules: _Modules, parts: tuple[str, ...]) -> None:
    missing = [f"{module}.{part}" for module, found in modules.items() for part in parts if part not in found]
    if missing:
        raise Failure(errors.missing_adapter_keys(name, missing))


def _check_fit(name: str, modules: _Modules, config: LoraConfig) -> None:
    misfits = [f"{module}: {reason}" for module, parts in modules.items() for reason in _misfits(module, parts, config)]
    if misfits:
        raise Failure(errors.unfit_factors(name, misfits))


def _misfits(module: str, parts: Mapping[str, Tensor], config: LoraConfig) -> Iterator[str]:
    """Why the factors are not those of a linear layer, (r, in) and (out, r), or a 2-d convolution."""
    a, b = list(parts[A].shape), list(parts[B].shape)
    if len(a) not in (2, 4) or len(b) != len(a) or b[2:] != [1] * len(b[2:]):
        yield f"A is {a} and B {b}, which is neither of a linear layer nor of a 2-d convolution"
        return
    if b[1] != a[0]:
        yield f"A is {a} and B {b}, which do not compose" + (
            " unless the convolution has groups" if len(a) == 4 else ""
        )
    if a[0] != config.rank_of(module):
        yield f"A is {a}, of rank {a[0]}, and the configuration says {config.rank_of(module)}"
    if (block := _block(parts[A], config)) not in BLOCKS:
        yield f"it would need a block {block}, which adapters.lora does not have"
    for part in (BETA, MAGNITUDE):
        if part in parts and parts[part].numel() != b[0]:
            yield f"{part} is {list(parts[part].shape)} for {b[0]} outputs"


def _notes(config: LoraConfig, modules: list[str]) -> Iterator[str]:
    for pattern in config.idle_patterns(modules):
        yield f"pattern {pattern} of the configuration fits no adapted module"
    if config.transposed:
        yield "fan_in_fan_out: the base is taken to keep the adapted linear weights as (in, out)"


def _spec(modules: _Modules, config: LoraConfig, base: str, source: str | None) -> Iterator[str]:
    yield "repc 1"
    yield "import adapters.lora"
    if source:
        yield f'import "{source}"' if source.endswith(".rep") else f"import {source}"
    yield ""
    yield f"adapt {base} as {base}_{LABEL} {{"
    for module, parts in modules.items():
        alpha = _number(config.alpha_of(module))
        rank = parts[A].shape[0]
        given = f"(r={rank}, alpha={alpha} * sqrt({rank}))" if config.rank_stabilised else f"(r={rank}, alpha={alpha})"
        place = module if config.bias else f"{module}.weight"
        yield f"  at {place} expect 1 use {LABEL}: {_block(parts[A], config)}{given}"
    yield "}"
    yield ""


def _block(a: Tensor, config: LoraConfig) -> str:
    kind = "Conv" if a.dim() == 4 else "Transposed" if config.transposed else ""
    return ("DoRA" if config.dora else "LoRA") + kind + ("Bias" if config.bias else "")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
