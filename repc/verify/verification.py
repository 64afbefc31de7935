"""Train form, folded form, emitted module and emitted file, compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from typing import Any, TypeAlias

import onnx
import torch
from torch import Tensor, nn

from repc.backends.onnx import value_names
from repc.backends.torch.plan import inference_plan
from repc.evaluate import sizes
from repc.evaluate.stored import exact
from repc.ir.graph import Graph
from repc.ir.trace import Step
from repc.ops.work import nominal_sizes
from repc.verify.certificate import certificate
from repc.verify.certify import Proof, certify
from repc.verify.checks import Noise, accuracy, agreement, algebra, true_facts
from repc.verify.cuts import Correspondence, Cut, correspondence, deployed, longest_sums, outputs
from repc.verify.fragility import fragility
from repc.verify.options import Options
from repc.verify.report import NOT_COVERED, PARTS, ROUNDING, Check, Report
from repc.verify.runs import Call, GraphRun, ModuleRun, OnnxRun, by_place
from repc.verify.sampling import Batch, batches, describe
from repc.verify.subject import Progress, Subject, compare_all, quiet
from repc.verify.weights import OnnxTensors, check_weights

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
    steps: Sequence[Step] = (),
    progress: Progress | None = None,
) -> Report:
    """Compare the network as trained with the network as deployed: by proof, and on a sample of inputs.

    `parameters` are those of the training graph, `values` the stored tensors of the fused one, in the deployed type;
    `model` is the emitted ONNX file (a path where it has external data), `module` the emitted torch module, `original`
    the one that the training graph was imported from; `call` says how modules take their inputs, `steps` what folding
    did.  At level "certify" the two graphs are proved equal over a prime field for all parameters.
    The further reference is the training graph in float64.  Against it, at every value that both graphs have:

    - the fused graph in float64 agrees to 1e-11 relative (‖Δ‖∞/‖y‖∞);
    - the fused graph, the modules and the file are in the deployed type at most `options.limit` times as far off as the
      unfused network is, by root mean squares over elements and inputs, of at least a unit in the last place.

    The stored tensors, wherever they are held, are their expressions' values to half a unit in the last place.
    Raises `Failure` where parameters, inputs or sizes do not fit the graph.
    """
    with torch.no_grad():
        same = correspondence(train, fused)
        task = _Task(train, fused, parameters, values, same, options or Options(), tuple(steps))
        return _verify(task, model, _Modules(module, original, call), progress or quiet)


@dataclass(frozen=True, eq=False)
class _Modules:
    """Torch modules that compute the network, and how they are called."""

    emitted: nn.Module | None
    original: nn.Module | None
    call: Call


@dataclass(frozen=True, eq=False)
class _Task:
    """What is compared, where, and how."""

    train: Graph
    fused: Graph
    parameters: Tensors
    values: Tensors
    same: Correspondence
    options: Options
    steps: tuple[Step, ...]

    @property
    def dtype(self) -> torch.dtype:
        """The deployed type."""
        return next((tensor.dtype for tensor in self.values.values() if tensor.is_floating_point()), torch.float32)

    @property
    def type_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    def noise(self, unfused: Subject) -> Noise:
        return Noise(unfused, self.dtype, self.options.limit)


def _verify(task: _Task, model: onnx.ModelProto | Path | None, modules: _Modules, progress: Progress) -> Report:
    checks: list[Check] = []
    proof = None
    if task.options.level == "certify":
        progress("algebra", 0.0)
        proof = certify(task.train, task.fused, task.steps, seed=task.options.seed)
        checks.append(algebra(proof))
    facts = [fact for step in task.steps for fact in step.facts]
    if facts:
        checks.append(true_facts(facts, task.parameters))
    progress("weights", 0.0)
    recomputed = exact(task.fused, task.parameters)
    checks.append(check_weights(task.fused, recomputed, _holders(task, model, modules.emitted)))
    internal = _internal(task)
    artifacts = list(_artifacts(task, model, modules))
    sample = batches(task.train, task.options, task.dtype)
    oracle = Subject("train form, float64", GraphRun(task.train, task.same.train, task.parameters, torch.float64))
    compare_all(oracle, [*internal, *artifacts], sample, progress)
    if oracle.fault:
        checks.append(agreement("train form (float64)", oracle))
    else:
        checks += [*_internal_checks(task, *internal), *_artifact_checks(task, internal[1], artifacts, sample)]
    kind = "given" if task.options.inputs else f"random (seed {task.options.seed})"
    absent = tuple(_absent(task, artifacts, model, modules.emitted))
    remarks = fragility(task.train, task.fused, task.parameters, task.values, internal[0].tally)
    return Report(
        task.train.name,
        describe(sample, kind),
        tuple(checks),
        (*NOT_COVERED, *absent),
        remarks,
        _certificate(task, proof) if proof and model is not None else None,
    )


def _certificate(task: _Task, proof: Proof) -> dict[str, Any] | None:
    try:
        return certificate(task.fused, task.steps, proof, value_names(task.fused))
    except ValueError:  # a weight is made by a call without a meaning
        return None


def _holders(task: _Task, model: onnx.ModelProto | Path | None, module: nn.Module | None) -> dict[str, Tensors]:
    """Where the deployed weights are stored."""
    holders: dict[str, Tensors] = {"computed weights": task.values}
    if model is not None:
        holders["ONNX file"] = OnnxTensors(model)
    if module is not None:
        holders["torch module"] = dict(module.state_dict())
    return holders


def _internal(task: _Task) -> tuple[Subject, Subject, Subject]:
    """What repc's own evaluator computes: fold in float64, unfused network and fold in the deployed type."""
    same = task.same
    return (
        Subject("folded, float64", GraphRun(task.fused, same.fused, task.parameters, torch.float64)),
        Subject("unfused", GraphRun(task.train, same.train, task.parameters, task.dtype)),
        Subject("folded", GraphRun(deployed(task.fused), same.fused, task.values, task.dtype)),
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
        yield Subject(f"torch CPU {task.type_name}", ModuleRun(modules.emitted, results, paths, call=modules.call))
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
        longest = longest_sums(task.fused, {**nominal_sizes(task.fused), **sizes(task.fused, dict(shapes))})
        found = {cut: max(found[cut], noise * sqrt(longest[id])) for cut, id in task.same.fused.items()}
    return found


def _absent(task: _Task, artifacts: Sequence[Subject], model: object, module: object) -> Iterator[str]:
    if task.options.level != "certify":
        yield "other weights"
    yield from (subject.fault for subject in artifacts if subject.unsupported)
    if model is None:
        yield "ONNX Runtime"
    if module is None:
        yield "the torch module"
