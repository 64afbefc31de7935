"""Adapters in the key style of kohya's scripts and LyCORIS as spec text, as `peft` does it for PEFT's.

A file has one tensor for each part of a module whose path was flattened: ``lora_unet_mid_block_0_proj.lora_up.weight``
is of ``mid_block.0.proj`` or of ``mid_block_0.proj``, which only the names of the base can tell.  There is no
configuration: ranks are read off the shapes, and alpha is a tensor, which where it is missing is the rank.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from repc.checkpoints import errors
from repc.checkpoints.checkpoint import Checkpoint
from repc.checkpoints.kohya_forms import BESIDE, DECOMPOSED, FORMS, MODULES, PARTS, RANKS, RELATIVE, SETTINGS
from repc.checkpoints.peft.forms import find_form
from repc.checkpoints.peft.method import Form, spelled
from repc.checkpoints.peft.reading import AdapterImport
from repc.checkpoints.reading import read
from repc.diagnostics import Diagnostic, Failure

ROOTS = {
    "lora_unet": ("", "unet", "model.diffusion_model", "diffusion_model"),
    "lora_te1": ("", "text_encoder", "conditioner.embedders.0.transformer"),
    "lora_te2": ("", "text_encoder_2", "conditioner.embedders.1.model"),
    "lora_te3": ("", "text_encoder_3"),
    "lora_te": ("", "text_encoder", "cond_stage_model.transformer"),
    "lora_transformer": ("", "transformer"),
    "lycoris": ("",),
}
"""What a key begins with, and where in a base its modules may lie."""


@dataclass(frozen=True)
class _Module:
    """The tensors of one module of the file by their parts, `alpha` among them."""

    path: str
    keys: Mapping[str, str]


@dataclass(frozen=True)
class _Line:
    """A line of the spec, the file of its block, and the keys of the block's tensors by their paths."""

    text: str
    home: str
    keys: Mapping[str, str]


def modules_of(keys: Iterable[str]) -> list[str]:
    """The modules that tensors of these names lie in."""
    return list(dict.fromkeys(key.rpartition(".")[0] for key in keys))


def read_kohya(
    path: str | Path,
    modules: Collection[str],
    base: str = "Base",
    source: str | None = None,
    *,
    label: str = "kohya",
) -> AdapterImport:
    """The adapter in a file, attached to the model `base` of the import `source`, whose modules have these paths.

    Raises `Failure`: E624 for parts that are not known, E625 and E626 for tensors that are missing or fit no block,
    E629 for modules that the base has not, or has several of under one flattened name; and what `read` raises.
    """
    checkpoint = read(path)
    named = _named(checkpoint, modules)
    lines = _attached(checkpoint, named, label)
    header = ["repc 1", *(f"import adapters.{name}" for name in sorted({line.home for line in lines}))]
    if any(">>" in line.text for line in lines):
        header.append("import adapters.decomposed")
    if source:
        header.append(f'import "{source}"' if source.endswith(".rep") else f"import {source}")
    text = [*header, "", f"adapt {base} as {base}_{label} {{", *(f"  {line.text}" for line in lines), "}", ""]
    key_map = {key: path for line in lines for path, key in line.keys.items()}
    plain = sum("alpha" not in module.keys and not module.keys.keys().isdisjoint(RANKS) for module in named)
    return AdapterImport(
        "\n".join(text),
        f"{base}_{label}",
        key_map,
        Checkpoint(checkpoint.name, {k: checkpoint[k] for k in key_map}, checkpoint.notes, checkpoint.path),
        (f"{checkpoint.name}: no alpha in {plain} of {len(named)} modules: it is then the rank",) if plain else (),
        frozenset(module.path for module in named),
        frozenset(module.path for module in named if not module.keys.keys().isdisjoint(RELATIVE)),
    )


# ------------------------------------------------------------------------------------ names


def _named(checkpoint: Checkpoint, modules: Collection[str]) -> list[_Module]:
    """The modules of the file by their paths in the base; every key is of one of them."""
    flat: dict[str, list[str]] = {}
    for path in modules:
        flat.setdefault(path.replace(".", "_"), []).append(path)
    parts: dict[str, dict[str, str]] = {}
    unknown: list[str] = []
    for key in checkpoint:
        name, _, part = key.partition(".")
        if part in PARTS and any(name.startswith(f"{prefix}_") for prefix in ROOTS):
            parts.setdefault(name, {})[part] = key
        else:
            unknown.append(f"{key} {list(checkpoint[key].shape)}: no part of an adapter of this kind")
    found = {name: _candidates(name, flat) for name in parts}
    wrong = [
        f"{name}: {' or '.join(paths) if paths else 'no module of the base'}"
        for name, paths in found.items()
        if len(paths) != 1
    ]
    taken = [path for paths in found.values() for path in paths]
    wrong += [f"{path}: adapted twice" for path in sorted({p for p in taken if taken.count(p) > 1}) if not wrong]
    faults = [errors.foreign_keys(checkpoint.name, unknown)] if unknown else []
    faults += [errors.unresolved_modules(checkpoint.name, wrong)] if wrong else []
    if faults:
        raise Failure(faults)
    return [_Module(found[name][0], keys) for name, keys in parts.items()]


def _candidates(name: str, flat: Mapping[str, list[str]]) -> list[str]:
    """The modules of the base that a flattened name may mean."""
    prefix = next(prefix for prefix in ROOTS if name.startswith(f"{prefix}_"))
    rest = name.removeprefix(f"{prefix}_")
    names = [f"{root.replace('.', '_')}_{rest}" if root else rest for root in ROOTS[prefix]]
    return [path for flattened in names for path in flat.get(flattened, ())]


# ------------------------------------------------------------------------------------ blocks


def _attached(checkpoint: Checkpoint, named: Sequence[_Module], label: str) -> list[_Line]:
    """The lines for all modules; raises `Failure` with the faults of all."""
    lines: list[_Line] = []
    faults: list[Diagnostic] = []
    for module in named:
        try:
            lines += _lines(checkpoint, module, label)
        except Failure as failure:
            faults += failure.diagnostics
    if faults:
        raise Failure(faults)
    return lines


def _lines(checkpoint: Checkpoint, module: _Module, label: str) -> Iterator[_Line]:
    """What is attached to a module: its factors, and beside them whole differences."""
    for part in sorted(BESIDE & module.keys.keys()):
        leaf = "bias" if part.startswith("b_") or part.endswith("_b") else "weight"
        own = f"{label}_{part}"
        text = f"at {module.path}.{leaf} expect 1 use {own}: Added()"
        yield _Line(text, "replaced", {f"{module.path}.{own}.difference": module.keys[part]})
    others = {part: key for part, key in module.keys.items() if part not in BESIDE}
    factors = {part: key for part, key in others.items() if part not in SETTINGS}
    if factors:
        yield _factors(checkpoint, module, factors, label)
    elif others:
        alone = [f"{key} {list(checkpoint[key].shape)}: there are no factors" for key in others.values()]
        raise Failure(errors.foreign_keys(checkpoint.name, alone))


def _factors(checkpoint: Checkpoint, module: _Module, factors: Mapping[str, str], label: str) -> _Line:
    alpha, on_input = (_number(checkpoint, module, part) for part in ("alpha", "on_input"))
    shapes = {part: tuple(checkpoint[key].shape) for part, key in factors.items()}
    rank = next((shapes[part][axis] for part, axis in RANKS.items() if part in shapes), None)
    # a whole Kronecker product has neither rank nor scale
    scale = 1 if rank is None else rank if alpha is None else alpha
    values = {"r": rank or 1, "alpha": scale, "bound": alpha or 0, "on_input": bool(on_input)}
    found = find_form(FORMS, shapes, values)
    form = _checked(checkpoint.name, module, found.form, [*found.missing], [*found.surplus], found.misfit)
    call = form.block.format_map({name: spelled(value) for name, value in {**values, **found.sizes}.items()})
    keys = {f"{module.path}.{label}.{PARTS[part]}": key for part, key in factors.items()}
    if "dora_scale" in module.keys:
        magnitude = module.keys["dora_scale"]
        call += f" >> {DECOMPOSED[checkpoint[magnitude].shape[0] > 1]}()"
        keys[f"{module.path}.{label}.dora_scale"] = magnitude
    home = MODULES[form.block.partition("(")[0]]
    return _Line(f"at {module.path}.weight expect 1 use {label}: {call}", home, keys)


def _number(checkpoint: Checkpoint, module: _Module, part: str) -> float | None:
    """A setting that is stored as a tensor of one element."""
    if part not in module.keys:
        return None
    tensor = checkpoint[module.keys[part]]
    if not (tensor.numel() == 1 and tensor.isfinite().all()):
        raise Failure(errors.unfit_factors(checkpoint.name, [f"{module.path}: {part} is no number"]))
    return tensor.item()


def _checked(
    name: str, module: _Module, form: Form | None, missing: list[str], surplus: list[str], misfit: str
) -> Form:
    faults: list[Diagnostic] = []
    if missing:
        faults.append(errors.missing_adapter_keys(name, [f"{module.path}.{part}" for part in missing]))
    if surplus:
        faults.append(errors.foreign_keys(name, [module.keys[part] for part in surplus]))
    if misfit:
        faults.append(errors.unfit_factors(name, [f"{module.path}: {misfit}"]))
    if faults or form is None:
        raise Failure(faults)
    return form
