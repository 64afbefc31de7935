"""Train form, folded form, emitted module and emitted file, compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from typing import TypeAlias

import onnx
import torch
from torch import Tensor, nn

from repc.backends.onnx import value_names
from repc.backends.torch.plan import inference_plan
from repc.evaluate import evaluate, sizes
from repc.evaluate.floating import TorchField
from repc.ir.graph import Graph
from repc.ir.storage import storage
from repc.verify.checks import RANDOM_TOLERANCE, Noise, accuracy, agreement
from repc.verify.cuts import Correspondence, Cut, correspondence, deployed, longest_sums, outputs
from repc.verify.drawing import random_parameters
from repc.verify.options import Options
from repc.verify.report import NOT_COVERED, PARTS, ROUNDING, Check, Report
from repc.verify.runs import Call, GraphRun, ModuleRun, OnnxRun, by_place
from repc.verify.sampling import Batch, batches, describe, few_batches
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
    original: nn.Module | None = None,
    call: Call = by_place,
    progress: Progress | None = None,
) -> Report:
    """Compare the network as trained with the network as deployed, on a sample of inputs.

    `parameters` are those of the training graph, `values` the stored tensors of the fused one, in the deployed type;
    `model` is the emitted ONNX file (a path where it has external data), `module` the emitted torch module, `original`
    the one that the training graph was imported from; `call` says how modules take their inputs.  The reference is the
    training graph in float64.  Against it, at every value that both graphs have:

    - the fused graph in float64 agrees to 1e-11 relative (‖Δ‖∞/‖y‖∞);
    - with random parameters in place of the given ones, which may hide a wrong fold, it agrees to 1e-10;
    - the fused graph, the modules and the file are in the deployed type at most `options.limit` times as far off as the
      unfused network is, by root mean squares over elements and inputs, of at least a unit in the last place.

    The stored tensors, wherever they are held, are their expressions' values to half a unit in the last place.
    Raises `Failure` where parameters, inputs or sizes do not fit the graph.
    """
    with torch.no_grad():
        task = _Task(train, fused, parameters, values, correspondence(train, fused), options or Options())
        return _verify(task, model, _Modules(module, original, call), progress or quiet)


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

    def noise(self, unfused: Subject) -> Noise:
        return Noise(unfused, torch.finfo(self.dtype).eps, self.options.limit)


@dataclass(frozen=True, eq=False)
class _Modules:
    """Torch modules that compute the network, and how they are called."""

    emitted: nn.Module | None
    original: nn.Module | None
    call: Call


def _verify(task: _Task, model: onnx.ModelProto | Path | None, modules: _Modules, progress: Progress) -> Report:
    progress("weights", 0.0)
    exact = _exact(task, task.parameters)
    weights = check_weights(task.fused, exact, _holders(task, model, modules.emitted))
    progress("random parameters", 0.0)
    algebra, unfit = _algebra(task)
    internal = _internal(task, exact)
    artifacts = list(_artifacts(task, model, modules))
    sample = batches(task.train, task.options, task.dtype)
    oracle = Subject("train form, float64", GraphRun(task.train, task.same.train, task.parameters, torch.float64))
    compare_all(oracle, [*internal, *artifacts], sample, progress)
    if oracle.fault:
        checks = [weights, agreement("train form (float64)", oracle)]
    else:
        checks = [weights, *_internal_checks(task, *internal), *_artifact_checks(task, internal[1], artifacts, sample)]
        if not unfit:
            checks.insert(1, algebra)
    kind = "given" if task.options.inputs else f"random (seed {task.options.seed})"
    absent = tuple(_absent(unfit, artifacts, model, modules.emitted))
    return Report(task.train.name, describe(sample, kind), tuple(checks), (*NOT_COVERED, *absent))


def _holders(task: _Task, model: onnx.ModelProto | Path | None, module: nn.Module | None) -> dict[str, Tensors]:
    """Where the deployed weights are stored."""
    holders = {"computed weights": task.values}
    if model is not None:
        holders["ONNX file"] = onnx_tensors(model)
    if module is not None:
        holders["torch module"] = dict(module.state_dict())
    return holders


def _exact(task: _Task, parameters: Tensors) -> Tensors:
    """The values of the weight expressions in float64."""
    return evaluate(storage(task.fused).tensors, TorchField(torch.float64), parameters)


def _algebra(task: _Task) -> tuple[Check, str]:
    """Whether both graphs agree in float64 with random parameters in place of the given ones.

    Also why that says nothing, where the training graph is not finite with such parameters; empty where it is.
    """
    drawn = random_parameters(task.train, task.parameters, task.options.seed)
    original = Subject("train form", GraphRun(task.train, task.same.train, drawn, torch.float64))
    run = GraphRun(deployed(task.fused), task.same.fused, _exact(task, drawn), torch.float64)
    folded = Subject("folded", run)
    compare_all(original, [folded], few_batches(task.train, task.options))
    return agreement("algebra (random parameters)", folded, RANDOM_TOLERANCE), original.fault


def _internal(task: _Task, exact: Tensors) -> tuple[Subject, Subject, Subject]:
    """What repc's own evaluator computes: fold in float64, unfused network and fold in the deployed type."""
    stored, same = deployed(task.fused), task.same
    return (
        Subject("folded, float64", GraphRun(stored, same.fused, exact, torch.float64)),
        Subject("unfused", GraphRun(task.train, same.train, task.parameters, task.dtype)),
        Subject("folded", GraphRun(stored, same.fused, task.values, task.dtype)),
    )


def _artifacts(task: _Task, model: onnx.ModelProto | Path | None, modules: _Modules) -> Iterator[Subject]:
    nodes = task.same.fused
    results = outputs(task.fused, nodes)
    if model is not None:
        names = value_names(task.fused)
        run = OnnxRun(model, results, {cut: names[id] for cut, id in nodes.items()})
        yield Subject(f"ONNX Runtime CPU {task.type_name}", run)
    if modules.emitted is not None:
        layers = inference_plan(task.fused).layers
        paths = {cut: layers[id] for cut, id in nodes.items() if id in layers}
        run = ModuleRun(modules.emitted, results, paths, call=modules.call)
        yield Subject(f"torch CPU {task.type_name}", run)
    if modules.original is not None:
        yield Subject(f"original {task.type_name}", ModuleRun(modules.original, results, {}, call=modules.call))


def _internal_checks(task: _Task, exact: Subject, unfused: Subject, folded: Subject) -> Iterator[Check]:
    yield agreement("float64 (train = folded)", exact)
    for part in PARTS:
        check = accuracy(f"{ROUNDING}, {part}", folded, task.noise(unfused), part)
        if check.figures or not check.passed:
            yield check


def _artifact_checks(
    task: _Task, unfused: Subject, artifacts: Sequence[Subject], sample: Sequence[Batch]
) -> Iterator[Check]:
    noise = replace(task.noise(unfused), slack=_slack(task, sample))
    yield from (accuracy(subject.name, subject, noise) for subject in artifacts if not subject.unsupported)


def _slack(task: _Task, sample: Sequence[Batch]) -> dict[Cut, float]:
    """What a runtime may be off by in any case, since it may add the terms of a sum in any order.

    One after another costs about √n units in the last place for n terms, where torch's own sums, whose noise is the
    measure, cost one.  ONNX Runtime's pools do so, and a convolution that starts from its bias.
    """
    found = dict.fromkeys(task.same.fused, 0.0)
    noise = task.options.limit * torch.finfo(task.dtype).eps
    for shapes in {tuple((name, tuple(value.shape)) for name, value in batch.inputs.items()) for batch in sample}:
        longest = longest_sums(task.fused, sizes(task.fused, dict(shapes)))
        found = {cut: max(found[cut], noise * sqrt(longest[id])) for cut, id in task.same.fused.items()}
    return found


def _absent(unfit: str, artifacts: Sequence[Subject], model: object, module: object) -> Iterator[str]:
    if unfit:
        yield f"other parameters, since with random ones {unfit}"
    yield from (subject.fault for subject in artifacts if subject.unsupported)
    if model is None:
        yield "ONNX Runtime"
    if module is None:
        yield "the torch module"
