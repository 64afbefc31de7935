"""Arithmetic on checkpoints of one architecture: a block of a spec, over each tensor of the base and of other models.

The block has one port, the tensor of the base, and a weight `models` with those of the others under the same key, one
above the other: `n` of them.  Statistics of batch norm and counters are no parameters: no sum of models has the mean
and variance of its own activations, so that the user says what becomes of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from repc.checkpoints import Stored, open_stored
from repc.diagnostics import Diagnostic, Failure, Source
from repc.ir.expr import Expr, Param
from repc.ir.types import TensorType
from repc.merging import errors
from repc.merging.operands import Given, Stack
from repc.merging.plan import BASE, Plan, Planner
from repc.merging.tied import Tied, find_ties
from repc.ops.build import reduce
from repc.semantics import FileLibrary, Module, adapt_stored, block_of, load, open_spec
from repc.syntax import tree

Policy: TypeAlias = Literal["keep", "average"]

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
LABEL, MODELS = "merged", "models"
NUMBER, SITE = "n", "site"
"""What a block is told where it asks for it: how many models there are, and which tensor this is, for its seed."""


@dataclass(frozen=True, eq=False)
class Method:
    """A block, the text that imports it, and the settings of its parameters."""

    name: str
    definition: tree.Definition
    imports: str
    settings: Mapping[str, str]
    file: Path | None

    def call(self, count: int, site: int) -> str:
        """The block with its settings."""
        known = {parameter.name for parameter in self.definition.parameters}
        told = {NUMBER: str(count), SITE: str(site), **self.settings}
        return f"{self.name}({', '.join(f'{name}={value}' for name, value in told.items() if name in known)})"


def method(spec: str, settings: Mapping[str, object]) -> Method:
    """The block behind ``repc:ties``, ``FILE.rep`` or ``FILE.rep:BLOCK``.

    Raises `Failure`: what `open_spec` raises, E638 where it is no block for models, or has not such parameters.
    """
    opened = open_spec(spec)
    module = load(opened.source, FileLibrary())
    name = opened.model or _only(spec, module)
    definition, _ = block_of(module, name)
    parameters = {parameter.name for parameter in definition.parameters} - {NUMBER, SITE}  # which are not the user's
    if len(definition.ports) != 1:
        raise Failure(errors.no_method(f"{spec}: {name} has {len(definition.ports)} ports", "give a block with one"))
    unknown = [key for key in settings if key not in parameters]
    if unknown:
        known = ", ".join(sorted(parameters)) or "none"
        raise Failure([errors.no_method(f"{name} has no parameter {key}", f"it has {known}") for key in unknown])
    source = opened.import_name
    shipped = opened.source.name.startswith("repc:")
    imports = f"import {source}" if shipped else f'import "{source}"'
    written = {key: _written(value) for key, value in settings.items()}
    return Method(name, definition, imports, written, None if shipped else Path(source))


def _only(spec: str, module: Module) -> str:
    blocks = [name for name, item in module.definitions.items() if isinstance(item, tree.Definition)]
    if len(blocks) != 1:
        raise Failure(errors.no_method(f"{spec} has {len(blocks)} blocks", f"name one of them: {', '.join(blocks)}"))
    return blocks[0]


def _written(value: object) -> str:
    """A setting as a spec writes it."""
    match value:
        case bool() | None:
            return str(value).lower()
        case str():
            return f'"{value}"'
        case tuple() | list():
            return f"[{', '.join(map(_written, cast('Sequence[object]', value)))}]"
        case Fraction():
            return f"{value.numerator} / {value.denominator}"
        case _:
            return str(value)


def combine(
    types: Mapping[str, TensorType],
    ties: Sequence[Tied],
    models: Sequence[str | Path],
    method: Method,
    buffers: Policy | None = None,
) -> Plan:
    """What a method makes of a checkpoint with these names and types, and of models with the same.

    Tensors that are one in all of them are combined once, and stay one.

    Raises `Failure`: what `open_stored` raises, E638 where the method does not apply, E639 where a model has other
    tensors, E640 where there are buffers and no policy for them.
    """
    opened = tuple(open_stored(model) for model in models)
    doubles = {key for tie in ties for key in tie.keys if key != tie.stored}
    types = {key: type for key, type in types.items() if key not in doubles}
    faults = [fault for model in opened for fault in _misfits(types, ties, model)]
    unlearned = [key for key, type in types.items() if type.dtype != "f32" or key.endswith(STATISTICS)]
    if unlearned and buffers is None:
        faults.append(errors.buffers(unlearned))
    if faults:
        raise Failure(faults)
    places = [key for key, type in types.items() if key not in unlearned and prod(type.concrete())]
    weights, paths = _applied(method, types, places, len(opened))
    given: dict[str, Given] = {path: Stack(opened, key) for key, path in paths.items()}
    averaged = [key for key in unlearned if buffers == "average" and types[key].dtype == "f32"]
    for key in averaged:
        path = f"{key}.{MODELS}"
        given[path] = Stack(opened, key)
        weights[key] = reduce(Param(path, types[key].with_shape((len(opened), *types[key].shape))), "mean", (0,))
    notes = _notes(unlearned, averaged)
    named = tuple(str(model.path) for model in opened)
    return Plan(weights, given, named, tuple(notes), (method.file,) if method.file else (), "share")


def combining(
    models: Sequence[str | Path], spec: str, settings: Mapping[str, Any], buffers: Policy | None = None
) -> Planner:
    """The planner that combines models by the method of a spec."""
    found = method(spec, settings)
    return lambda types, ties: combine(types, ties, models, found, buffers)


def _applied(
    method: Method, types: Mapping[str, TensorType], places: Sequence[str], count: int
) -> tuple[dict[str, Expr], dict[str, str]]:
    """The method at every place, by the ordinary way of an adapter; and the path of each place's models."""
    lines = [f"repc 1\n\n{method.imports}\n\nadapt {BASE} as Merged {{"]
    paths: dict[str, str] = {}
    for site, key in enumerate(places):
        module, _, leaf = key.rpartition(".")
        lines.append(f"  at {key} expect 1 use {LABEL}.{leaf}: {method.call(count, site)}")
        paths[key] = f"{module}.{LABEL}.{leaf}.{MODELS}".lstrip(".")
    text = "\n".join([*lines, "}", ""])
    try:
        stored = adapt_stored(load(Source("merge", text), FileLibrary()), "Merged", types)
    except Failure as failure:
        raise Failure(list(_of_each_kind(failure.diagnostics))) from None
    wanted = {path: (count, *types[key].shape) for key, path in paths.items()}
    own = {path: parameter.type.shape for path, parameter in stored.graph.parameters.items() if path not in types}
    if own != wanted:
        parts = sorted({path.rpartition(".")[2] for path in {**own, **wanted} if own.get(path) != wanted.get(path)})
        reason = f"{method.name} has other weights than `weight {MODELS}: [n, ...s]`: {', '.join(parts)}"
        raise Failure(errors.no_method(reason, "a method reads the models and nothing else"))
    return dict(stored.weights), paths


def _of_each_kind(faults: Sequence[Diagnostic]) -> Iterator[Diagnostic]:
    """The first fault of each kind: what is wrong with a method is wrong at every tensor."""
    kinds: dict[tuple[str, str], list[Diagnostic]] = {}
    for fault in faults:
        kinds.setdefault((fault.code, fault.title), []).append(fault)
    for first, *others in kinds.values():
        yield replace(first, notes=(*first.notes, f"and {len(others)} times more")) if others else first


def _misfits(types: Mapping[str, TensorType], ties: Sequence[Tied], model: Stored) -> Iterator[Diagnostic]:
    tied = {tie.keys for tie in ties}
    lines = [f"{' and '.join(keys)} are one in one of them" for keys in tied ^ {t.keys for t in find_ties(model)}]
    doubles = {key for keys in tied for key in keys} - types.keys()
    lines += [
        f"{key}: {_shape(types.get(key))} in the base, {list(model.entry(key).shape) if key in model.homes else 'none'}"
        for key in dict.fromkeys([*types, *model.homes])
        if key not in doubles
        if key not in types or key not in model.homes or types[key].shape != model.entry(key).shape
    ]
    if lines:
        yield errors.other_tensors(model.path, lines)


def _shape(type: TensorType | None) -> str:
    return "none" if type is None else str(list(type.concrete()))


def _notes(unlearned: Sequence[str], averaged: Sequence[str]) -> Iterator[str]:
    kept = len(unlearned) - len(averaged)
    if averaged:
        remedy = "run data through the model to renew them"
        yield f"running statistics are the mean of those of the models, {len(averaged)} in all: {remedy}"
    if kept:
        yield f"buffers are those of the base, {kept} in all"
