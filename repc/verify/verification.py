"""Train form, folded form, emitted module and emitted file, compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import onnx
import torch
from torch import Tensor, nn

from repc.backends.onnx import value_names
from repc.backends.torch.plan import inference_plan
from repc.evaluate import evaluate
from repc.evaluate.floating import TorchField
from repc.ir.graph import Graph
from repc.ir.storage import storage
from repc.verify.checks import TOLERANCE, accuracy, agreement
from repc.verify.cuts import Correspondence, correspondence, deployed
from repc.verify.options import Options
from repc.verify.report import NOT_COVERED, Check, Report
from repc.verify.runs import GraphRun, ModuleRun, OnnxRun
from repc.verify.sampling import batches, describe
from repc.verify.subject import Progress, Subject, compare_all, quiet
from repc.verify.weights import check_weights, onnx_tensors

Tensors: TypeAlias = Mapping[str, Tensor]


def verify(
    train: Graph,
    fused: Graph,
    parameters: Tensors,
    values: Tensors,
    *,
    options: Options | None = None,
    model: onnx.ModelProto | Path | None = None,
    module: nn.Module | None = None,
    progress: Progress | None = None,
) -> Report:
    """Compare the network as trained with the network as deployed, on a sample of inputs.

    `parameters` are those of the training graph, `values` the stored tensors of the fused one, in the deployed type;
    `model` is the emitted ONNX file (a path where it has external data), `module` the emitted torch module.  The
    reference is the training graph in float64.  Against it, at every value that both graphs have:

    - the fused graph in float64 agrees to 1e-11 relative (‖Δ‖∞/‖y‖∞);
    - the fused graph, the module and the file are in the deployed type at most `options.limit` times as far off as the
      unfused network is, as root mean square over the inputs.

    And the stored tensors, wherever they are held, are their expressions' values to half a unit in the last place.
    Raises `Failure` where parameters, inputs or sizes do not fit the graph.
    """
    with torch.no_grad():
        task = _Task(train, fused, parameters, values, correspondence(train, fused), options or Options())
        return _verify(task, model, module, progress or quiet)


@dataclass(frozen=True, eq=False)
class _Task:
    """What is compared, where, and how."""

    train: Graph
    fused: Graph
    parameters: Tensors
    values: Tensors
    same: Correspondence
    options: Options

    @property
    def dtype(self) -> torch.dtype:
        """The deployed type."""
        return next((tensor.dtype for tensor in self.values.values() if tensor.is_floating_point()), torch.float32)

    @property
    def type_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")


def _verify(task: _Task, model: onnx.ModelProto | Path | None, module: nn.Module | None, progress: Progress) -> Report:
    progress("weights", 0.0)
    exact = evaluate(storage(task.fused).tensors, TorchField(torch.float64), task.parameters)
    holders = {"computed weights": task.values}
    if model is not None:
        holders["ONNX file"] = onnx_tensors(model)
    if module is not None:
        holders["torch module"] = dict(module.state_dict())
    weights = check_weights(task.fused, exact, holders)
    internal = _internal(task, exact)
    artifacts = list(_artifacts(task, model, module))
    sample = batches(task.train, task.options, task.dtype)
    oracle = Subject("train form, float64", GraphRun(task.train, task.same.train, task.parameters, torch.float64))
    compare_all(oracle, [*internal, *artifacts], sample, progress)
    kind = "given" if task.options.inputs else f"random (seed {task.options.seed})"
    return Report(
        task.train.name,
        describe(sample, kind),
        (weights, *_checks(task, oracle, internal, artifacts)),
        (*NOT_COVERED, *_absent(task, model, module)),
    )


def _internal(task: _Task, exact: Tensors) -> tuple[Subject, Subject, Subject]:
    """What repc's own evaluator computes: fold in float64, unfused network and fold in the deployed type."""
    stored, same = deployed(task.fused), task.same
    return (
        Subject("folded, float64", GraphRun(stored, same.fused, exact, torch.float64)),
        Subject("unfused", GraphRun(task.train, same.train, task.parameters, task.dtype)),
        Subject("folded", GraphRun(stored, same.fused, task.values, task.dtype)),
    )


def _artifacts(task: _Task, model: onnx.ModelProto | Path | None, module: nn.Module | None) -> Iterator[Subject]:
    outputs = task.same.outputs(task.fused)
    if model is not None and task.dtype != torch.bfloat16:
        names = value_names(task.fused)
        cuts = {cut: names[id] for cut, id in task.same.fused.items()}
        yield Subject(f"ONNX Runtime CPU {task.type_name}", OnnxRun(model, outputs, cuts))
    if module is not None:
        layers = inference_plan(task.fused).layers
        paths = {cut: layers[id] for cut, id in task.same.fused.items() if id in layers}
        yield Subject(f"torch CPU {task.type_name}", ModuleRun(module, outputs, paths))


def _checks(
    task: _Task, oracle: Subject, internal: tuple[Subject, Subject, Subject], artifacts: list[Subject]
) -> Iterator[Check]:
    if oracle.fault:
        yield agreement("train form (float64)", oracle)
        return
    exact, noise, folded = internal
    limit = task.options.limit
    # In float64 the reference is no better than what it judges.
    floor = max(torch.finfo(task.dtype).eps, TOLERANCE / limit)
    yield agreement("float64 (folded = train)", exact)
    rows = [
        accuracy("rounding, interior", folded, noise, floor, limit, "interior"),
        accuracy("rounding, border", folded, noise, floor, limit, "border"),
        *(accuracy(subject.name, subject, noise, floor, limit) for subject in artifacts),
    ]
    yield from (row for row in rows if row.figures or not row.passed)


def _absent(task: _Task, model: onnx.ModelProto | Path | None, module: nn.Module | None) -> Iterator[str]:
    if model is None:
        yield "ONNX Runtime"
    elif task.dtype == torch.bfloat16:
        yield "ONNX Runtime, whose CPU provider lacks bfloat16"
    if module is None:
        yield "the torch module"
