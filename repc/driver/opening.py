"""From what a person names to a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from repc.checkpoints import read_adapter
from repc.diagnostics import Failure, Source
from repc.driver import errors
from repc.driver.model import Model
from repc.importers import import_onnx, import_program
from repc.ir.collection import uninterrupted
from repc.ir.target import Bound
from repc.semantics import FileLibrary, elaborate, open_spec, targets
from repc.semantics import load as load_module
from repc.semantics.values import Value

IMPORTED = (".onnx", ".pt2")
"""Suffixes of files that bring a network with its weights."""


@uninterrupted()
def load(
    spec: str | Path,
    model: str | None = None,
    *,
    sizes: Mapping[str, int] | None = None,
    adapter: str | Path | None = None,
    bind: Mapping[str, Bound] | None = None,
    **parameters: Value,
) -> Model:
    """The model of a spec: ``FILE.rep``, ``FILE.rep:MODEL`` or ``repc:NAME`` for a shipped one; or of another tool's
    file, ``FILE.onnx`` or ``FILE.pt2``, which brings its weights.

    `parameters` set the model's parameters, `sizes` pin free dimensions of its inputs, `adapter` attaches a folder that
    PEFT's ``save_pretrained`` wrote or a file of kohya's scripts, `bind` pins inputs.  Raises `Failure` with every
    error found.
    """
    return open_model(spec, model, parameters, sizes, adapter).bound(bind or {})


def open_model(
    spec: str | Path,
    model: str | None = None,
    parameters: Mapping[str, Value] | None = None,
    sizes: Mapping[str, int] | None = None,
    adapter: str | Path | None = None,
) -> Model:
    """As `load`, for parameters of any name."""
    if Path(spec).suffix in IMPORTED:
        return _open_imported(str(spec), {"model": model, "parameter": parameters, "adapter": adapter}, sizes or {})
    opened = open_spec(str(spec), model)
    module = load_module(opened.source, FileLibrary())
    name = opened.choose(module)
    known = targets(module)[name]
    graph = elaborate(module, name, parameters, sizes)
    if adapter is None:
        return Model(opened.source.name, graph, known)
    imported = read_adapter(adapter, {path: p.type for path, p in graph.parameters.items()}, name, opened.import_name)
    adapted = load_module(Source(f"{adapter}", imported.spec), FileLibrary())
    graph = elaborate(adapted, imported.name, parameters, sizes)
    return Model(opened.source.name, graph, known, imported)


def _open_imported(path: str, others: Mapping[str, object], sizes: Mapping[str, int]) -> Model:
    """The model of a file that another tool wrote, for which much of what a spec can be asked has no meaning."""
    if Path(path).suffix == ".onnx":
        imported = import_onnx(path, sizes)
    else:
        imported, others = import_program(path), {**others, "size": sizes}
    unfit = [errors.not_of_a_spec(path, what) for what, given in others.items() if given]
    if unfit:
        raise Failure(unfit)
    return Model(path, imported.graph, own=imported)
