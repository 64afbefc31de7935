"""Every message about checkpoints (E60x: the file, E61x: its fit to a network) and adapter folders (E62x)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from repc.diagnostics import Diagnostic, nearest

AS_SAFETENSORS = "safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"

# ------------------------------------------------------------------------------------------------ the file


def missing_file(path: Path) -> Diagnostic:
    """There is no such file; its folder may have one of a similar name."""
    siblings = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    meant = nearest(path.name, siblings)
    return Diagnostic("E601", f"no checkpoint at {path}", help=f"did you mean {meant}?" if meant else "check the path")


def unreadable_file(path: Path, reason: str) -> Diagnostic:
    """The system does not let the file be read."""
    return Diagnostic("E602", f"cannot read {path}: {reason.lower()}", help="give a file that you may read")


def not_a_checkpoint(path: Path, looks: str) -> Diagnostic:
    """The first bytes are of neither format."""
    remedy = "run `git lfs pull`" if "git-lfs" in looks else "give a .safetensors, .pt or .pth file with a state_dict"
    return Diagnostic("E603", f"{path} is not a checkpoint: it {looks}", help=remedy)


def not_a_state_dict(path: Path, kind: str) -> Diagnostic:
    """A torch file that holds something else than names and tensors."""
    return Diagnostic(
        "E603",
        f"{path} is not a checkpoint: it holds a {kind} instead of names and tensors",
        help="save the state_dict: torch.save(model.state_dict(), 'weights.pth')",
    )


def needs_code(path: Path, wanted: str) -> Diagnostic:
    """A pickle that wants a function or class, which repc never gives it."""
    return Diagnostic(
        "E604",
        f"{path} cannot be read without executing code: it wants {wanted}",
        help=f"where you trust the file, load it there and save the weights alone: {AS_SAFETENSORS}",
        notes=("a torch file with whole objects runs what its maker wrote; repc reads tensors only",),
    )


def damaged_file(path: Path, announced: int | None, reason: str) -> Diagnostic:
    """The bytes do not hold together; `announced` is the size that the header promises, where it can be read."""
    size = path.stat().st_size
    what = f"cut off after {size} of {announced} bytes" if announced and announced > size else "damaged or cut off"
    lines = reason.strip().splitlines() or ["no reason given"]
    return Diagnostic("E605", f"{path} is {what}", help="copy or download the file again", notes=(lines[0][:200],))


def no_tensors(name: str) -> Diagnostic:
    """Nothing in the file is a tensor under a name."""
    return Diagnostic("E606", f"{name} holds no tensors", help="give a file with a state_dict")


def several_containers(name: str, found: Sequence[str]) -> Diagnostic:
    """Several state_dicts, none of which is the obvious one."""
    return Diagnostic(
        "E607",
        f"{name} holds {len(found)} state_dicts: {', '.join(found)}",
        help=f"choose one by its name, such as container={found[0]}",
    )


def no_such_container(name: str, wanted: str, found: Sequence[str]) -> Diagnostic:
    """The state_dict that was asked for is not there."""
    meant = nearest(wanted, found)
    choice = f"it holds {', '.join(found)}" if found else "its tensors are not inside a container: ask for none"
    return Diagnostic(
        "E608", f"{name} has no state_dict called {wanted}", help=f"did you mean {meant}?" if meant else choice
    )


def unknown_suffix(path: Path) -> Diagnostic:
    """The name of a file to write does not tell the format."""
    return Diagnostic(
        "E609",
        f"{path} does not say which format to write",
        help="end the name in .safetensors, or in .pth for a torch file",
    )


def no_weights_in_folder(folder: Path, found: Sequence[str], wanted: Sequence[str]) -> Diagnostic:
    """A folder without weights in the safetensors format, whole or in shards."""
    remedy = "save the model again: model.save_pretrained(FOLDER) writes safetensors"
    return Diagnostic(
        "E630", f"{folder} has no {' and no '.join(wanted)}", help=remedy, notes=(f"it has {_sample(found)}",)
    )


def index_contradicted(index: Path, keys: Sequence[str]) -> Diagnostic:
    """An index of shards that names tensors which are not in their shard, or leaves some out."""
    remedy = "download the folder again; the index or a shard is of another version"
    return Diagnostic("E631", f"{index} and its shards differ in {_sample(keys)}", help=remedy)


# ------------------------------------------------------------------------------------------------ fit to a network


def not_of_this_model(
    name: str, layout: str, share: float, keys: Sequence[str], wanted: Sequence[str], *, folded: bool
) -> Diagnostic:
    """Under every layout most of the network's keys are missing: another model, or its deployed form."""
    remedy = "give the checkpoint of the model that the spec describes, or the spec of the checkpoint's model"
    if folded:
        remedy = "the file is of a deployed form, from which branches cannot be recovered: give the training checkpoint"
    return Diagnostic(
        "E610",
        f"{name} is not of this model: it has {share:.0%} of the wanted keys in the best layout ({layout})",
        help=remedy,
        notes=(f"the file has {_sample(keys)}", f"the model wants {_sample(wanted)}"),
    )


def missing_keys(name: str, layout: str, lines: Sequence[str]) -> Diagnostic:
    """Parameters for which the file has no tensor."""
    return Diagnostic(
        "E611",
        f"{name} lacks {_count(len(lines), 'key')} of the model (layout {layout})",
        help="check that the spec's parameters are those the checkpoint was trained with",
        notes=_listed(lines),
    )


def unexpected_keys(name: str, layout: str, lines: Sequence[str]) -> Diagnostic:
    """Tensors that belong to no parameter."""
    return Diagnostic(
        "E612",
        f"{name} has {_count(len(lines), 'key')} that the model does not know (layout {layout})",
        help="add what they belong to to the spec, or take them out of the file",
        notes=_listed(lines),
    )


def wrong_shapes(name: str, lines: Sequence[str], remedy: str) -> Diagnostic:
    """Tensors of another shape than the parameter."""
    return Diagnostic(
        "E613", f"{name} has {_count(len(lines), 'tensor')} of a wrong shape", help=remedy, notes=_listed(lines)
    )


def wrong_kinds(name: str, lines: Sequence[str]) -> Diagnostic:
    """Integers where floating-point values belong, or the reverse, or storage that is no plain array."""
    return Diagnostic(
        "E614",
        f"{name} has {_count(len(lines), 'tensor')} of a wrong element type",
        help="convert them when saving; quantised weights have to be dequantised first",
        notes=_listed(lines),
    )


def not_finite(name: str, lines: Sequence[str]) -> Diagnostic:
    """NaN or infinity among the values."""
    return Diagnostic(
        "E615",
        f"{name} has NaN or infinite values in {_count(len(lines), 'tensor')}",
        help="the training diverged or the file is damaged: use an earlier checkpoint",
        notes=_listed(lines),
    )


def tied_keys_differ(name: str, lines: Sequence[str]) -> Diagnostic:
    """Keys that the spec calls one tensor hold different values."""
    return Diagnostic(
        "E616",
        f"{name} has different values under {_count(len(lines), 'tied parameter')}",
        help="drop the alias in the spec if they are separate weights; else keep one key in the file",
        notes=_listed(lines),
    )


# ------------------------------------------------------------------------------------------------ adapter folders

MERGE_WITH_PEFT = "merge with PEFT (model.merge_and_unload()) and give the merged checkpoint as weights"


def no_adapter_file(folder: Path, wanted: str) -> Diagnostic:
    """A folder without the files that PEFT writes."""
    return Diagnostic(
        "E620", f"{folder} has no {wanted}", help="give the folder that model.save_pretrained() of PEFT wrote"
    )


def bad_config(path: Path, reason: str) -> Diagnostic:
    """adapter_config.json is no JSON object, or a setting in it has no sensible value."""
    return Diagnostic("E621", f"{path}: {reason}", help="give the adapter_config.json that PEFT wrote")


def unknown_method(path: Path, method: str, why: str | None, known: Sequence[str]) -> Diagnostic:
    """A method that is not in the table, or not mergeable."""
    return Diagnostic(
        "E622",
        f"{path}: adapters of type {method} cannot be imported" + (f": {why}" if why else ""),
        help=f"repc imports {', '.join(known)}; else {MERGE_WITH_PEFT}",
    )


def refused_setting(path: Path, setting: str, value: str, meaning: str, remedy: str = MERGE_WITH_PEFT) -> Diagnostic:
    """A setting that changes what the adapter means in a way that repc does not model."""
    shown = value if len(value) <= 60 else value[:60] + "…"
    return Diagnostic("E623", f"{path}: {setting} = {shown}: {meaning}", help=remedy)


def unexpected_adapter_keys(name: str, lines: Sequence[str]) -> Diagnostic:
    """Keys that are no part of an adapter of this method and configuration."""
    return Diagnostic(
        "E624",
        f"{name} has {_count(len(lines), 'key')} that cannot be imported",
        help=MERGE_WITH_PEFT,
        notes=_listed(lines),
    )


def foreign_keys(name: str, lines: Sequence[str]) -> Diagnostic:
    """A file with keys that neither kohya's scripts nor LyCORIS write."""
    return Diagnostic(
        "E624",
        f"{name} has {_count(len(lines), 'key')} that cannot be imported",
        help="give a file with keys as in lora_unet_mid_block_0_proj.lora_up.weight, or a folder that PEFT saved; "
        "whole models are combined with repc merge --with",
        notes=_listed(lines),
    )


def file_of_a_folder(path: Path) -> Diagnostic:
    """The tensors of an adapter without the configuration that says what they mean."""
    return Diagnostic(
        "E624",
        f"{path} alone is no adapter: adapter_config.json says what its tensors mean",
        help=f"this is a file of a folder that PEFT saved: give {path.parent}",
    )


def missing_adapter_keys(name: str, lines: Sequence[str]) -> Diagnostic:
    """A module whose adapter is incomplete."""
    return Diagnostic(
        "E625",
        f"{name} lacks {_count(len(lines), 'key')} of its own adapters",
        help="save the adapter again; the file is incomplete or from another configuration",
        notes=_listed(lines),
    )


def unfit_factors(name: str, lines: Sequence[str]) -> Diagnostic:
    """Factors that fit neither each other nor the configuration, or no block."""
    return Diagnostic(
        "E626",
        f"{name} has {_count(len(lines), 'fault')} in its factors",
        help=f"check that the two files are of one adapter; else {MERGE_WITH_PEFT}",
        notes=_listed(lines),
    )


def copies_differ(name: str, lines: Sequence[str]) -> Diagnostic:
    """A tensor that all modules share is stored again with other values."""
    return Diagnostic(
        "E627",
        f"{name} has {_count(len(lines), 'tensor')} that should repeat a shared one and does not",
        help="save the adapter again: one set of projections belongs to all modules",
        notes=_listed(lines),
    )


def relative_after_another(name: str, modules: Sequence[str]) -> Diagnostic:
    """Several adapters, of which a later one is defined by the weight of the base itself."""
    return Diagnostic(
        "E628",
        f"{name} is defined relative to the weights of the base, and comes after another adapter of them",
        help="give this adapter first",
        notes=_listed(modules),
    )


def unresolved_modules(name: str, lines: Sequence[str]) -> Diagnostic:
    """Flattened names that are of no module of the base, or of several."""
    return Diagnostic(
        "E629",
        f"{name} has {_count(len(lines), 'name')} that do not lead to one module of the base",
        help="give the base that the adapter was trained on; rename the keys where a flattened name is ambiguous",
        notes=_listed(lines),
    )


def _count(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def _listed(lines: Sequence[str], shown: int = 20) -> tuple[str, ...]:
    """The first of many lines: a checkpoint of another model would fill the screen."""
    return (*lines[:shown], *([f"and {len(lines) - shown} more"] if len(lines) > shown else []))


def _sample(keys: Iterable[str], shown: int = 3) -> str:
    listed = list(keys)
    more = f" and {len(listed) - shown} more" if len(listed) > shown else ""
    return (", ".join(listed[:shown]) or "nothing") + more
