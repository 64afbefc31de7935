"""What can be wrong with a merge (E63x); E630 and E631 are those of the folder itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from repc.diagnostics import Diagnostic

SHOWN = 5


def tied_weights(pairs: Sequence[str], adapted: Sequence[str]) -> Diagnostic:
    """An adapter changes one of two tensors that are one: whether the other follows is not the adapter's to say."""
    return Diagnostic(
        "E632",
        f"what changes is the same tensor as another: {_some(adapted)} in {_some(pairs)}",
        help="say --tied untie to change this one alone (both are stored, the configuration says so), or --tied share "
        "to change both; in Python tied=…",
    )


def tied_twice(pair: str) -> Diagnostic:
    """Two tensors that are one get different new values, so that they cannot stay one."""
    return Diagnostic("E633", f"both of {pair} are changed, each by its own adapter", help="say --tied untie")


def already_there(path: Path) -> Diagnostic:
    """The result of a merge would replace what is there."""
    return Diagnostic("E634", f"{path} exists already", help="give another path, or say --force to replace it")


def in_use(path: Path) -> Diagnostic:
    """Two merges write one result."""
    return Diagnostic("E634", f"another merge is writing {path}", help="wait until it ends, or give another path")


def onto_itself(path: Path) -> Diagnostic:
    """The result of a merge would replace what it is made from."""
    return Diagnostic("E634", f"{path} is, has in it, or lies in what is merged", help="give another path")


def wrong_output(path: Path, folder: bool) -> Diagnostic:
    """A folder is merged into a folder, and a file into a safetensors file."""
    remedy = "give a folder: no suffix" if folder else "end the name in .safetensors"
    return Diagnostic("E634", f"{path} is no name for a {'folder' if folder else 'file'}", help=remedy)


def no_arithmetic(lines: Sequence[str]) -> Diagnostic:
    """A tensor of an element type without arithmetic: eight bits, whole numbers, packed values."""
    return Diagnostic(
        "E635",
        "tensors would change that repc does not compute with",
        help="dequantise the base first: merging into quantised weights and quantising again is not exact",
        notes=_first(lines),
    )


def too_large(needed: Mapping[str, int], given: int) -> Diagnostic:
    """Parts of some tensors need more memory than is allowed; a whole tensor where its value does not go by rows."""
    largest = max(needed, key=lambda key: needed[key])
    return Diagnostic(
        "E636",
        f"there are tensors that need more at once than the {given >> 10} KiB of --memory",
        help=f"say --memory {(needed[largest] >> 10) + 1}K",
        notes=_first([f"{key}: {needed[key] >> 10} KiB" for key in sorted(needed, key=lambda key: -needed[key])]),
    )


def not_finite(key: str, dtype: str, largest: float) -> Diagnostic:
    """The new value has NaN or infinity, or does not fit into the stored type."""
    return Diagnostic(
        "E637",
        f"{key} would not be finite in {dtype}: its largest value is {largest:g}",
        help="check the base and the adapters; float16 ends at 65504, so that the base may have to be bfloat16",
    )


def quantised_base(folder: Path, why: str) -> Diagnostic:
    """An adapter was trained beside quantised weights, and partly corrects what these had lost."""
    return Diagnostic(
        "E641",
        f"{folder} was trained on a quantised base: {why}",
        help="say which base is meant: --base-precision full merges it into the weights that are given, which is usual "
        "but also corrects errors that these have not; --base-precision trained into what quantising leaves of them "
        "(--quantised nf4 or int8), as in training; in Python base_precision=… with `out`.  How far apart the two are "
        "is measured and told",
    )


def other_modules(adapter: str, lines: Sequence[str], prefix: str | None) -> Diagnostic:
    """An adapter of modules that the base does not have, perhaps only because another class saved it."""
    remedy = (
        f"the names differ by `{prefix}`: save the base with the class that the adapter was trained on, as in "
        "AutoModelForCausalLM.from_pretrained(BASE).save_pretrained(NEW), or rename the keys of one of the two"
        if prefix
        else "give the base that the adapter was trained on; where its names are those of transformers in memory, but "
        "not in files, save the base under these: save_pretrained(NEW, save_original_format=False)"
    )
    return Diagnostic(
        "E642", f"the base lacks {len(lines)} of the modules that {adapter} adapts", help=remedy, notes=_first(lines)
    )


def no_layers(reason: str, remedy: str) -> Diagnostic:
    """An adapter was trained on layers of the base that are in another order, and these cannot be had."""
    return Diagnostic("E643", f"the base cannot be rebuilt as layer_replication says: {reason}", help=remedy)


def no_choice(name: str, given: object, remedy: str) -> Diagnostic:
    """An option that Python gives has a value that it cannot have."""
    return Diagnostic("E644", f"{name} cannot be {given!r}", help=remedy)


def folder_in_memory(path: Path) -> Diagnostic:
    """A folder has more to it than its tensors: a configuration that ties some of them, a tokenizer."""
    return Diagnostic(
        "E645", f"{path} is a folder, which is not merged in memory", help="give `out`, a folder to write"
    )


def no_method(reason: str, remedy: str) -> Diagnostic:
    """What was given with --with is no block that combines models, or its settings are not its parameters."""
    return Diagnostic("E638", reason, help=remedy)


def other_tensors(model: Path, lines: Sequence[str]) -> Diagnostic:
    """A model has other tensors than the base, so that there is nothing to combine them with."""
    return Diagnostic(
        "E639",
        f"{model} has other tensors than the base",
        help="only models of one architecture can be combined; check that all are saved in the same way",
        notes=_first(lines),
    )


def buffers(keys: Sequence[str]) -> Diagnostic:
    """Statistics and counters are no parameters: no arithmetic on weights makes them right."""
    return Diagnostic(
        "E640",
        f"no method is for buffers: {_some(keys)}",
        help="say --buffers keep for those of the base, or --buffers average; then run data through the merged model "
        "in training mode to renew batch norm",
    )


def _first(lines: Sequence[str]) -> tuple[str, ...]:
    more = (f"and {len(lines) - SHOWN} more",) if len(lines) > SHOWN else ()
    return (*lines[:SHOWN], *more)


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more
