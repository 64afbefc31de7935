"""PEFT's folders as spec text: an `adapt` with one line per adapted weight, and the layout of the stored tensors.

An adapter needs no mechanism of its own: what is imported is a spec as a person would have written it, over the blocks
of specs/adapters.  Those keep the names of PEFT, so that ``base_model.model.fc1.lora_A.weight`` becomes
``fc1.lora.lora_A.weight``, `lora` being the label of the attachment.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from repc.checkpoints import errors
from repc.checkpoints.checkpoint import Checkpoint
from repc.checkpoints.layout import Layout, each
from repc.checkpoints.peft.config import Config, read_config
from repc.checkpoints.peft.forms import find_form
from repc.checkpoints.peft.keys import PREFIX, SHARED, UNCALLED, Keys, adapted_modules, layer_of, sort_keys
from repc.checkpoints.peft.method import Form, Values, spelled
from repc.checkpoints.peft.methods import CORE
from repc.checkpoints.peft.names import Names, find_names
from repc.checkpoints.peft.parameters import MATRIX, Adapted, find_parameters, parts_of
from repc.checkpoints.reading import read
from repc.diagnostics import Failure
from repc.ir.types import TensorType

CONFIG, TENSORS, OLD_TENSORS = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"

OTHER_LAYERS = "layers of the base are repeated, each copy with an adapter of its own, which no network here has"
SHARED_RESIDUALS = "what is repeated is one weight, and the adapter of each copy has changed it in the beginning"
UNKNOWN_PRECISION = (
    "the projections are not stored, and the library draws them in a precision that depends on the machine"
)

RENAMED = "the file of the base has other names than transformers has in memory, of which the adapter speaks"

SAVED = "saved"
"""The label of what replaces a tensor of the base, and the name of the value in ``adapters.replaced``."""
VALUE = "value"


@dataclass(frozen=True, eq=False)
class AdapterImport:
    """An adapter as spec text, with its tensors.

    `key_map` maps each key of the file to the path of the parameter in the adapted model `name`; `layout` is the same
    for `match`, which takes the parameters of the adapter from `checkpoint`.  `modules` are those that are adapted, and
    `relative` those whose adapter reads the weight of the base, so that it must be the first.
    """

    spec: str
    name: str
    key_map: dict[str, str]
    checkpoint: Checkpoint
    notes: tuple[str, ...]
    modules: frozenset[str] = frozenset()
    relative: frozenset[str] = frozenset()

    @property
    def layout(self) -> Layout:
        keys = {path: key for key, path in self.key_map.items()}
        return Layout("peft", each(lambda path: keys.get(path, path)))


@dataclass(frozen=True)
class _Line:
    """What is attached where: a module, the place in it, the block, and the tensors of the block by their keys.

    A `stack` of experts that the file has in parts has the form of the whole, and the block of a part.
    """

    module: str
    place: str
    label: str
    call: str
    keys: Mapping[str, str]
    relative: bool = False
    stack: Form | None = None

    @property
    def paths(self) -> dict[str, str]:
        return {key: f"{self.module}.{self.label}.{part}" for part, key in self.keys.items()}


def read_peft(
    folder: str | Path,
    base: str | None = None,
    source: str | None = None,
    *,
    label: str | None = None,
    compat: bool = False,
    types: Mapping[str, TensorType] | None = None,
    rebuilt: bool = False,
) -> AdapterImport:
    """The adapter in a folder that PEFT's `save_pretrained` wrote, attached to the model `base` of the import `source`.

    `source` is a dotted name or the name of a .rep file, as an import states it; without one the text does not import
    the base.  `base` is by default the class that PEFT noted, and `label` the name of the method.  With `compat` the
    library's own arithmetic is kept where it differs from the mathematics, which the notes tell.  `types` are those of
    the base's tensors, without which parameters that are no layer's weight cannot be found.  `rebuilt` says that
    the base has the layers that `layer_ranges` tells.  Raises `Failure`: E620 to E623 for the configuration, E624 to
    E627 for the stored tensors, and what `read` raises.
    """
    folder = Path(folder)
    config = read_config(folder / CONFIG)
    _check_layers(config, folder / CONFIG, rebuilt)
    checkpoint, keys, names = _opened(folder, config, types or {})
    _check_biases(keys, config, names.types, folder / CONFIG)
    label = label or config.method.label
    lines = [*_replacements(keys, label), *_attachments(checkpoint, keys, config, label, compat, names)]
    notes = (*_notes(config, keys, lines, compat), *_differences(config, lines, names.types))
    checkpoint, lines = _stored(checkpoint, lines, names)
    base = base or config.base or "Base"
    key_map = {key: name for name, key in keys.shared.items()} | {k: p for line in lines for k, p in line.paths.items()}
    return AdapterImport(
        "\n".join(_spec(checkpoint, keys, lines, config, f"{base} as {base}_{label}", source)),
        f"{base}_{label}",
        key_map,
        Checkpoint(checkpoint.name, {key: checkpoint[key] for key in key_map}, checkpoint.notes, checkpoint.path),
        (*notes, *([RENAMED] if names.types != (types or {}) else [])),
        frozenset(line.module for line in lines),
        frozenset(line.module for line in lines if line.relative),
    )


def _opened(folder: Path, config: Config, types: Mapping[str, TensorType]) -> tuple[Checkpoint, Keys, Names]:
    """The tensors as the blocks want them, the places of their keys, and the names that the modules have in memory."""
    stored = read(tensors_of(folder))
    names = find_names(types, adapted_modules(stored, config))
    checkpoint = _completed(stored, config, names.types, folder / CONFIG)
    keys = sort_keys(checkpoint, config)
    return _with_1d_cores(checkpoint, keys, config, names.types), keys, names


def layer_ranges(path: Path) -> tuple[tuple[int, int], ...]:
    """The layers of the base that an adapter was trained on, by ranges; none, as for most, where it has its own.

    Raises `Failure` E620 to E623 for the configuration.
    """
    return read_config(path / CONFIG).layers if path.is_dir() else ()


def tensors_of(folder: Path) -> Path:
    """The file of the tensors, which was a torch file once; raises `Failure` E620 where there is none."""
    for name in (TENSORS, OLD_TENSORS):
        if (folder / name).exists():
            return folder / name
    raise Failure(errors.no_adapter_file(folder, TENSORS))


def _check_layers(config: Config, path: Path, rebuilt: bool) -> None:
    """Raises `Failure` E623 where the adapter is of other layers than the base has, or of one that cannot be had."""
    if not config.layers:
        return
    value = json.dumps(config.layers)
    if not rebuilt:
        remedy = "make a checkpoint of all these layers first: repc merge BASE ADAPTER -o OUT"
        raise Failure(errors.refused_setting(path, "layer_replication", value, OTHER_LAYERS, remedy))
    if config.values("").get("base", "kept") != "kept":
        raise Failure(errors.refused_setting(path, "layer_replication", value, SHARED_RESIDUALS))


def _completed(checkpoint: Checkpoint, config: Config, types: Mapping[str, TensorType], path: Path) -> Checkpoint:
    """The tensors of a file, with those that it has only the seed of, or has for several modules in one place."""
    method = config.method
    if method.spread is not None:
        found = method.spread(checkpoint, config.settings)
    elif method.draw is not None and not config.settings["save_projection"]:
        adapted = {key.removeprefix(PREFIX).removesuffix(f".{p}") for key in checkpoint for p in method.parts}
        shapes = [types[key].concrete() for module in adapted if (key := f"{module}.weight") in types]
        if not shapes:  # the tensors are missed then
            return checkpoint
        outputs, inputs = (max(sizes) for sizes in zip(*shapes, strict=True))
        drawn = method.draw(config.settings, *((inputs, outputs) if config.transposed else (outputs, inputs)))
        shared = {f"{SHARED}{name}": tensor for name, tensor in (drawn or {}).items()}
        found = {**checkpoint, **shared} if drawn else UNKNOWN_PRECISION
    else:
        return checkpoint
    if isinstance(found, str):
        raise Failure(errors.refused_setting(path, "save_projection", "false", found))
    return Checkpoint(checkpoint.name, found, checkpoint.notes, checkpoint.path)


def _with_1d_cores(checkpoint: Checkpoint, keys: Keys, config: Config, types: Mapping[str, TensorType]) -> Checkpoint:
    """The tensors with the cores of 1-d kernels as such; PEFT stores them as if these were 2-d, n x 1."""
    cores = {part for form in config.method.forms for part, sizes in form.parts.items() if sizes == CORE}
    flat = {
        key: checkpoint[key].squeeze(3)
        for module, parts in keys.modules.items()
        if (kernel := types.get(f"{module}.weight")) and kernel.rank == 3
        for key in (parts[part] for part in cores & parts.keys())
        if checkpoint[key].dim() == 4
    }
    return Checkpoint(checkpoint.name, {**checkpoint, **flat}, checkpoint.notes, checkpoint.path)


def _check_biases(keys: Keys, config: Config, types: Mapping[str, TensorType], path: Path) -> None:
    """Raises `Failure` E623 where an older version of the library did not store the biases that were trained."""
    biases = [bias for module in keys.modules if (bias := f"{module}.bias") in types]
    if config.only_own_biases and any(bias not in keys.replaced for bias in biases):
        value = f'"{config.settings["bias"]}"'
        raise Failure(errors.refused_setting(path, "bias", value, "the trained biases are not in the file"))


def _replacements(keys: Keys, label: str) -> Iterator[_Line]:
    for place, key in keys.replaced.items():
        module, _, leaf = place.rpartition(".")
        yield _Line(module, place, f"{label}_{SAVED}.{leaf}", "Replaced()", {VALUE: key})


def _attachments(
    checkpoint: Checkpoint, keys: Keys, config: Config, label: str, compat: bool, names: Names
) -> list[_Line]:
    """A line for each module; raises `Failure` for tensors that are missing, not called for, or fit no block."""
    lines: list[_Line] = []
    missing: list[str] = []
    surplus: list[str] = []
    misfits: list[str] = []
    every = {
        m: {part: tuple(checkpoint[key].shape) for part, key in parts.items()} for m, parts in keys.modules.items()
    }
    parameters = find_parameters(every, config, names.types) if config.parameters else {}
    for module, parts in keys.modules.items():
        parameter, shapes = parameters.get(module), every[module]
        if isinstance(parameter, str):
            misfits.append(f"{module}: {parameter}")
            continue
        values = config.values(parameter.path if parameter else keys.named(module))
        found = find_form((parameter.form,) if parameter else config.method.forms, shapes, values)
        missing.extend(f"{module}.{part}" for part in found.missing)
        surplus.extend(f"{parts[part]} {list(shapes[part])}: {UNCALLED}" for part in found.surplus)
        if found.misfit:
            misfits.append(f"{module}: {found.misfit}")
        if found.form is None:
            continue
        if compat and module in keys.outputs:
            values = {**values, "alpha": f"2 * {values['alpha']}"}
        stack = found.form if parameter and names.is_stack(parameter.path) else None
        call = _call(MATRIX if stack else found.form, {**values, **found.sizes}, config)
        lines.append(replace(_line(module, label, call, found.form, parts, keys, parameter), stack=stack))
    messages = ((errors.missing_adapter_keys, missing), (errors.unexpected_adapter_keys, surplus))
    faults = [
        message(checkpoint.name, given) for message, given in (*messages, (errors.unfit_factors, misfits)) if given
    ]
    if faults:
        raise Failure(faults)
    return lines


def _stored(checkpoint: Checkpoint, lines: Sequence[_Line], names: Names) -> tuple[Checkpoint, list[_Line]]:
    """The lines by the names in the base's file, and the tensors; of a stack of experts each has factors of its own."""
    tensors = dict(checkpoint)
    found: list[_Line] = []
    for line in lines:
        if line.stack is None:
            place = names.stored(line.place)
            module = place if line.place == line.module else place.rpartition(".")[0]
            found.append(replace(line, module=module, place=place))
            continue
        factors = {part: tensors.pop(key) for part, key in line.keys.items()}
        for place, parts in parts_of(line.stack, factors, line.place, names):
            keys = {part: f"{place}.{line.keys[part]}" for part in parts}
            tensors |= {keys[part]: tensor for part, tensor in parts.items()}
            experts = re.sub(r"\bexperts\.\d+\.", "experts.*.", place)
            found.append(replace(line, module=place.rpartition(".")[0], place=experts, keys=keys))
    return Checkpoint(checkpoint.name, tensors, checkpoint.notes, checkpoint.path), found


def _call(form: Form, values: Values, config: Config) -> str:
    call = form.block.format_map({name: spelled(value) for name, value in values.items()})
    return f"permute([1, 0]) >> {call} >> permute([1, 0])" if config.transposed and form.turned else call


def _line(
    module: str, label: str, call: str, form: Form, parts: Mapping[str, str], keys: Keys, parameter: Adapted | None
) -> _Line:
    if parameter is not None:
        leaf = parameter.path.rpartition(".")[2]
        return _Line(layer_of(module), parameter.path, f"{label}_{leaf}", call, parts)
    parts = {form.names.get(part, part): key for part, key in parts.items()}
    place = module if form.layer else f"{module}.in_proj_weight" if keys.attends(module) else f"{module}.weight"
    return _Line(module, place, label, call, parts, form.relative)


def _spec(
    checkpoint: Checkpoint, keys: Keys, lines: list[_Line], config: Config, adapt: str, source: str | None
) -> Iterator[str]:
    yield "repc 1"
    replaces = any(line.call.startswith(("Replaced", "Rows")) for line in lines)
    yield from (f"import adapters.{name}" for name in sorted({config.method.module, *["replaced"] * replaces}))
    if source:
        yield f'import "{source}"' if source.endswith(".rep") else f"import {source}"
    yield ""
    yield f"adapt {adapt} {{"
    for name, key in keys.shared.items():
        yield f"  weight {name}: {list(checkpoint[key].shape)} = zeros"
    for (place, label, call), count in Counter((line.place, line.label, line.call) for line in lines).items():
        yield f"  at {place} expect {count} use {label}: {call}"
    yield "}"
    yield ""


def _notes(config: Config, keys: Keys, lines: list[_Line], compat: bool) -> Iterator[str]:
    for pattern in config.idle_patterns([*map(keys.named, keys.modules), *(line.place for line in lines)]):
        yield f"pattern {pattern} of the configuration fits no adapted module"
    if config.transposed:
        yield "fan_in_fan_out: the base is taken to keep the adapted linear weights as (in, out)"
    for module in sorted(keys.outputs):
        yield (
            f"{module}: the update is added twice, as PEFT does (compat)"
            if compat
            else f"{module}: the update is added once; PEFT adds it twice, which `compat` keeps"
        )
    for module in keys.whole:
        yield f"{module} was stored whole, as PEFT does with embeddings, and takes the place of the base's own"
    if keys.counters:
        leaves = ", ".join(sorted({key.rpartition(".")[2] for key in keys.counters}))
        yield f"{len(keys.counters)} {leaves} of the adapter not used, since nothing reads them"


def _differences(config: Config, lines: list[_Line], types: Mapping[str, TensorType]) -> Iterator[str]:
    """Where the library merges to another function than it trains, and no weight is what it trains."""
    wide = [
        line.module
        for line in lines
        if config.method.kind == "OFT" and (kind := types.get(line.place)) and max(kind.concrete()[2:], default=1) > 1
    ]
    if wide:
        yield f"{', '.join(wide)}: kernels are turned, as PEFT merges; before that it turns features of windows instead"
