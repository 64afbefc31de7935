"""Torch modules and exported programs as typed graphs.

A program is not decomposed, so that a convolution, a batch norm and an attention are one call each, with names, module
paths and source lines on them.  `record` writes the calls of one run down, which is quick and takes the plain modules;
`capture` asks `torch.export` for the others, and gets the same.  `translate` walks its calls once: `table` is the one
table from the operators of torch to those of repc; a call that it lacks is what torch makes it of (`composed`), and
`opaque` keeps every other one as it is.  What is computed from weights alone becomes a weight expression by itself
(`site`), and what is computed from nothing but constants is computed at once (`known`).  Torch says what type each
value has, and what the operators of repc make of it must be the same, else the call stays opaque.

`torch.fx` is not used: what it traces are functions and modules of Python, whose names, defaults and overloads would be
a second table, and it takes fewer models.  Of the calls that change
tensors in place, the usual ones are resolved here (`functional`), the rest by torch's own functionalisation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from torch import nn
from torch.export import ExportedProgram

from repc.diagnostics import Failure
from repc.importers import Imported
from repc.importers.torch import errors
from repc.importers.torch.conditions import Condition, conditions
from repc.importers.torch.export import (
    BATCH,
    Example,
    NotExported,
    capture,
    check_mode,
    example,
    hooked,
    shapes,
    without_autocast,
)
from repc.importers.torch.functional import functional
from repc.importers.torch.program import FreeResult, ports, translate
from repc.importers.torch.recording import record
from repc.importers.torch.sizes import Unrepresentable
from repc.ir.collection import uninterrupted

__all__ = ["import_module", "import_program"]


def import_module(
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    dynamic: Mapping[str, Any] | None,
    name: str | None,
) -> Imported:
    """See `repc.importers.import_module`."""
    return module_program(example(module, args, kwargs), dynamic, name)[1]


@uninterrupted()
@without_autocast()
def module_program(
    given: Example, dynamic: Mapping[str, Any] | None, name: str | None = None
) -> tuple[ExportedProgram, Imported, list[Condition]]:
    """A module as an exported program and as a graph; the batch is free where the module allows that.

    Also the conditions under which the program is the module.
    """
    check_mode(given.module)
    name = name or type(given.module).__name__
    try:
        return _attempt(given.of_two(), dynamic, name, batch=True)
    except (NotExported, Unrepresentable, FreeResult) as first:
        try:
            program, imported, asked = _attempt(given, dynamic, name, batch=False)
        except FreeResult as second:
            raise Failure(errors.free_result(str(second))) from second
        except (NotExported, Unrepresentable) as second:
            raise Failure(errors.not_exported(name, str(second), list(dynamic or {}))) from second
        note = f"the batch is fixed at {given.batch}: {_first_line(first)}"
        return program, replace(imported, notes=(note, *imported.notes)), asked


@uninterrupted()
def import_program(program: str | Path | ExportedProgram) -> Imported:
    """See `repc.importers.import_program`."""
    name = "program"
    if not isinstance(program, ExportedProgram):
        name = Path(program).stem
        program = _read(Path(program))
    try:
        return translate(functional(program), name)
    except Unrepresentable as size:
        raise Failure(errors.free_size(str(size))) from size
    except FreeResult as result:
        raise Failure(errors.free_result(str(result))) from result


def _read(path: Path) -> ExportedProgram:
    """The program of a file.  Raises `Failure`: E511, E512."""
    try:
        with path.open("rb") as file:
            packed = is_zipfile(file)
    except OSError as error:
        raise Failure(errors.unreadable(path, (error.strerror or str(error)).lower())) from error
    if not packed:
        raise Failure(errors.no_program(path, "it is no archive"))
    try:
        return torch.export.load(path)
    except Exception as error:  # whatever torch raises of an archive of something else
        raise Failure(errors.no_program(path, _first_line(error))) from error


def _attempt(
    given: Example, dynamic: Mapping[str, Any] | None, name: str, *, batch: bool
) -> tuple[ExportedProgram, Imported, list[Condition]]:
    asked = shapes(given, dynamic, batch=batch)
    program = record(given, asked)
    needed = conditions(program, given.arguments, asked.names) if program else []
    if program is None or needed:  # torch.export sometimes asks less of the sizes
        program = capture(given, asked)
        needed = conditions(program, given.arguments, asked.names)
    if batch:
        _check_batch(program, asked.names, needed)
    imported = translate(program, name, asked.names)
    return program, replace(imported, notes=(*_notes(given.module, needed), *imported.notes)), needed


def _check_batch(program: ExportedProgram, names: Sequence[Mapping[int, str]], needed: Sequence[Condition]) -> None:
    """Raise `NotExported` unless the program is the same for every batch."""
    bound = [condition.text for condition in needed if re.search(rf"\b{BATCH}\b", condition.text)]
    if bound:
        raise NotExported(f"the network asks whether {' and '.join(bound)}")
    for port, named in zip(ports(program), names, strict=True):
        if named.get(0) == BATCH and isinstance(port.meta["val"].shape[0], int):
            raise NotExported(f"{port.name} has one batch only")


def _notes(module: nn.Module, needed: Sequence[Condition]) -> Iterator[str]:
    hooks = hooked(module)
    if hooks:
        yield f"forward hooks were called while importing, and what they did is part of the graph: {', '.join(hooks)}"
    if needed:
        yield f"the graph is the network where {' and '.join(condition.text for condition in needed)}"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
