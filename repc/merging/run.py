"""A merge from files to files: headers, plan, stream, and the folder that appears whole."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch

from repc.checkpoints import TORCH, TYPES, Stored, open_stored
from repc.diagnostics import Failure
from repc.evaluate import evaluate
from repc.evaluate.floating import TorchField
from repc.ir.expr import Expr, Param, walk
from repc.ir.files import unwritable, write_whole
from repc.ir.printer import expression
from repc.merging import errors
from repc.merging.carried import CONFIG, carried, carry, write_index
from repc.merging.computed import MEASURED, Computed, Loss
from repc.merging.destroyed import destroyed
from repc.merging.hashes import Digests, Kind
from repc.merging.layers import rebuilt
from repc.merging.layout import Created, Output, outputs
from repc.merging.operands import Given, Operands, Stack, entry_type
from repc.merging.plan import Plan, Planner
from repc.merging.precision import difference
from repc.merging.report import Change, MergeReport
from repc.merging.staging import Staging
from repc.merging.stream import Say, Settings, Stream, quiet
from repc.merging.tied import Resolved, Tied, find_ties, resolve

MEMORY = 512 << 20
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Options:
    """How to merge.

    `arithmetic` is the type that is computed in, before the one rounding; a wider stored type is never narrowed.
    `tied` says what becomes of two tensors that are one when one of them changes.  `memory` is how many bytes the
    tensors in work may use; given, it is a limit.  `every` is one row of large tensors in how many is measured.
    Without a `hash` the manifest names files by their paths alone, and a merge that was killed begins anew.
    """

    arithmetic: Literal["f32", "f64"] = "f32"
    tied: Literal["untie", "share"] | None = None
    memory: int | None = None
    threads: int | None = None
    every: int = MEASURED
    hash: Kind | None = "xxh128"
    force: bool = False


@dataclass(frozen=True, eq=False)
class Job:
    """A merge that is planned: what is computed, what is stored where, and what else is changed."""

    base: Stored
    plan: Plan
    operands: Operands
    computed: Mapping[str, Computed]
    outputs: Sequence[Output]
    settings: Mapping[str, Any]
    options: Options


def merge_files(
    base: str | Path, planner: Planner, out: str | Path | None, options: Options, say: Say = quiet
) -> MergeReport:
    """Merge into a checkpoint what a planner finds for its tensors; without `out` only say what would change.

    Raises `Failure`: what `open_stored`, the planner and `prepare` raise, E634 where the result cannot go there, E637
    where a value is not finite in its type, E701 where the system refuses.
    """
    say("reading headers", None)
    stored = open_stored(base)
    place = None if out is None else Path(out)
    if place is not None:
        _check_place(stored, place, options.force)
    with _one_thread(), Digests(options.hash) as digests:
        if place is not None:
            for name in stored.files:  # beside the planning, which is for one thread
                digests.of(stored.file(name))
        ties = find_ties(stored)
        entries = {key: stored.entry(tie.stored) for tie in ties for key in tie.keys}
        entries |= {key: stored.entry(key) for key in stored.homes}
        found = planner({key: entry_type(entry) for key, entry in entries.items()}, ties)
        if place is not None:
            _check_read([*found.files, *(path for given in found.given.values() for path in _paths(given))], place)
        if found.layers is not None:
            stored = rebuilt(stored, found.layers)
        job = prepare(stored, ties, found, place, options)
        if place is None:
            return _report(job, None, {}, {}, 0, [])
        try:
            return _carry_out(job, place, digests, say)
        except OSError as error:
            raise unwritable(place, error) from error


@contextmanager
def _one_thread() -> Generator[None]:
    """Operators that compute alone: what is planned and looked at is small, and tiles have threads of their own.

    Threads of an operator that have nothing to do wait by turning, and take the time from others.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def prepare(base: Stored, ties: list[Tied], found: Plan, out: Path | None, options: Options) -> Job:
    """What is computed and stored where.

    `base` has the keys of the result.  Raises `Failure`: E632 and E633 about tied tensors, E635 for a type without
    arithmetic, E636 for too little memory, E643 where the configuration speaks of other layers than are rebuilt.
    """
    resolved = resolve(base, ties, found.weights, found.tied or options.tied)
    operands = Operands(
        base, {key: tie.stored for tie in ties for key in tie.keys if key not in base.homes}, found.given
    )
    _check_types(base, operands, resolved.weights)
    compute = torch.float32 if options.arithmetic == "f32" else torch.float64
    made = _made(base, operands, resolved, compute)
    computed = {
        key: Computed(key, expr, compute, _dtype(base, made, key), operands)
        for key, expr in resolved.weights.items()
        if key in base.homes or key in made
    }
    if options.memory is not None:
        short = {key: one.cost for key, one in computed.items() if one.cost > options.memory}
        if short:
            raise Failure(errors.too_large(short, options.memory))
    name = out.name if out is not None and not base.is_folder else None
    settings = found.layers.settings(base.path) if found.layers is not None else {}
    rewritten = [f"{CONFIG} is written anew: {', '.join(settings)}"] if settings else []
    notes = [*found.notes, *rewritten, *resolved.notes]
    if found.quantised:
        apart = difference(found.quantised, operands)
        notes.append(f"the weights beside which the adapters were trained differ by {apart:.2%}: ‖Q(W) − W‖ / ‖W‖")
    large = {key: one.cost for key, one in computed.items() if one.cost > MEMORY}
    if large and options.memory is None:
        key = max(large, key=lambda key: large[key])
        notes.append(f"tensors that do not go by rows: {len(large)}, of which {key} takes up to {large[key] >> 20} MiB")
    plan = replace(found, weights=resolved.weights, notes=tuple(notes))
    return Job(base, plan, operands, computed, outputs(base, made, name), {**settings, **resolved.settings}, options)


def _made(base: Stored, operands: Operands, resolved: Resolved, compute: torch.dtype) -> dict[str, Created]:
    """The tensors that the base does not have: a bias that an adapter makes is kept where it is not zero."""
    made = dict(resolved.created)
    new = {key: expr for key, expr in resolved.weights.items() if key not in base.homes and key not in made}
    params = {part.path for part in walk(new.values()) if isinstance(part, Param)}
    values = {path: operands.read(path, None, 0, 0) for path in sorted(params)}
    for key, value in evaluate(new, TorchField(compute), values).items():
        weight = f"{key.rpartition('.')[0]}.weight"
        if value.any():
            made[key] = Created(base.entry(weight).dtype, tuple(value.shape), weight)
    return made


def _dtype(base: Stored, made: Mapping[str, Created], key: str) -> torch.dtype:
    return TORCH[made[key].dtype if key in made else base.entry(key).dtype]


def _check_types(base: Stored, operands: Operands, weights: Mapping[str, Expr]) -> None:
    read = {part.path for part in walk(weights.values()) if isinstance(part, Param) and part.path not in operands.given}
    keys = sorted({operands.stored(path) for path in read} | (set(weights) & set(base.homes)))
    lines = [f"{key}: {base.entry(key).dtype}" for key in keys if TORCH.get(base.entry(key).dtype) not in FLOATS]
    if lines:
        raise Failure(errors.no_arithmetic(lines))


def _check_place(base: Stored, out: Path, force: bool) -> None:
    if base.is_folder == (out.suffix in (".safetensors", ".pt", ".pth", ".bin")):
        raise Failure(errors.wrong_output(out, base.is_folder))
    if not base.is_folder and out.suffix != ".safetensors":
        raise Failure(errors.wrong_output(out, False))
    _check_read([base.path], out)
    if base.path.resolve() in out.resolve().parents:
        raise Failure(errors.onto_itself(out))
    if out.exists() and not force:
        raise Failure(errors.already_there(out))


def _check_read(read: Sequence[Path], out: Path) -> None:
    """Even --force replaces nothing of what is read."""
    place = out.resolve()
    if any(place == path or place in path.parents for path in {path.resolve() for path in read}):
        raise Failure(errors.onto_itself(out))


def _paths(given: Given) -> Sequence[Path]:
    return [model.path for model in given.models] if isinstance(given, Stack) else []


# ---------------------------------------------------------------- doing it


def _carry_out(job: Job, out: Path, digests: Digests, say: Say) -> MergeReport:
    inputs = {str(path): digests.at_once(path) for path in job.plan.files}  # few, and not behind the base's
    options = job.options
    threads = max(1, options.threads or os.cpu_count() or 1)
    settings = Settings(threads, options.memory or MEMORY, options.every)
    by_source = dict(zip(job.base.files, job.outputs, strict=True))
    with Staging(out, _identity(job, inputs)) as staging:
        resumed = Stream(job.operands, job.computed, staging, digests, settings, say).write(by_source)
        say("finishing", None)
        names, _ = carried(job.base)
        carry(job.base, names, job.settings, staging.folder)
        write_index(job.base, job.outputs, staging.folder)
        gone = list(destroyed(job.operands, job.computed, job.outputs, staging.folder))
        report = _report(job, out, staging.finished(), inputs, resumed, gone)
        manifest = {"repc": version("repc"), **report.to_dict()}
        text = json.dumps(manifest, indent=1, ensure_ascii=False)
        write_whole(staging.folder / manifest_name(out, job.base.is_folder), f"{text}\n".encode())
        staging.publish(folder=job.base.is_folder)
    return report


def manifest_name(out: Path, folder: bool) -> str:
    """What the manifest is called: in a folder, or beside a file."""
    return "repc_merge.json" if folder else f"{out.stem}.merge.json"


def _report(
    job: Job,
    out: Path | None,
    records: Mapping[str, Mapping[str, Any]],
    inputs: Mapping[str, str | None],
    resumed: int,
    gone: Sequence[str],
) -> MergeReport:
    losses = {key: Loss(**loss) for record in records.values() for key, loss in record["losses"].items()}
    changes = {
        key: Change(
            expression(job.plan.weights[key]),
            TYPES[computed.stored],
            job.plan.weights[key].type.concrete(),
            key not in job.base.homes,
            losses.get(key),
        )
        for key, computed in job.computed.items()
    }
    read = {path: sha for record in records.values() for path, sha in record["inputs"].items()}
    _, left = carried(job.base)
    notes = (*job.plan.notes, *gone, *([f"not carried along: {', '.join(left)}"] if left else []))
    files = {name: record["hash"] for name, record in sorted(records.items())}
    inputs = dict(sorted({**read, **inputs}.items()))
    arithmetic = "float32" if job.options.arithmetic == "f32" else "float64"
    kept = sum(key not in job.computed for key in job.base.homes)
    base, adapters = str(job.base.path), job.plan.adapters
    return MergeReport(out, base, adapters, arithmetic, changes, kept, job.options.hash, files, inputs, notes, resumed)


def _identity(job: Job, inputs: Mapping[str, str | None]) -> str:
    """What tells a merge from every other one, but for the bytes of checkpoints, which are compared by their hashes."""
    told = {
        "repc": version("repc"),
        "options": [job.options.arithmetic, job.options.every, job.options.hash],
        "weights": {key: expression(expr) for key, expr in job.plan.weights.items()},
        "inputs": list(inputs.values()),
        "outputs": {output.name: hashlib.sha256(output.header).hexdigest() for output in job.outputs},
    }
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()
