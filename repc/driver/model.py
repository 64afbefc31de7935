"""A model as it is trained, and as it is deployed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx
from torch import Tensor, nn

from repc.backends import onnx as to_onnx
from repc.backends import source as to_source
from repc.backends import spec as to_spec
from repc.backends import torch as to_torch
from repc.backends.spec import Lifted
from repc.checkpoints import LAYOUTS, AdapterImport, match_adapted
from repc.diagnostics import Failure
from repc.driver import errors
from repc.driver.expand import Expanded, expand
from repc.driver.weights import Parameters, Weights, checkpoint_of
from repc.evaluate.dtypes import DTYPES
from repc.evaluate.floating import flat
from repc.evaluate.properties import lost
from repc.evaluate.stored import deployed
from repc.importers import Imported
from repc.ir.codec import fingerprint
from repc.ir.collection import uninterrupted
from repc.ir.expr import Param
from repc.ir.foreign import OnnxCall, TorchCall
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ir.paths import pattern
from repc.ir.storage import storage
from repc.ir.target import Bound, Expectation, Target
from repc.ir.trace import Trace
from repc.ops.arithmetic import Sum
from repc.ops.norm import BatchNorm
from repc.ops.opaque import Opaque
from repc.ops.work import multiply_adds, nominal_sizes
from repc.passes import Options, fold
from repc.semantics import bind
from repc.semantics.values import Value
from repc.verify import Options as Checks
from repc.verify import Report, check_spec
from repc.verify import verify as check_equal
from repc.verify import verify_file as check_file
from repc.verify.subject import quiet

OPSET = 18


@dataclass(frozen=True, eq=False)
class Model:
    """A model as people train it: of a spec, or imported, and then with weights of its own."""

    spec: str
    graph: Graph
    targets: Mapping[str, Target] = field(default_factory=dict[str, Target])
    adapter: AdapterImport | None = None
    own: Imported | None = None

    @property
    def name(self) -> str:
        return self.graph.name

    @uninterrupted()
    def module(self, seed: int | None = None) -> nn.Module:
        """An ordinary torch module to train, whose state_dict keys are the labels of the spec.

        With a `seed` the initial values are reproducible; without one torch's generator is used, or the weights are
        those that the model was imported with.
        """
        module = to_torch.train_module(self.graph, seed=seed)
        if self.own is not None and seed is None:
            keys = {key: p.path for p in self.graph.parameters.values() for key in (p.path, *p.aliases)}
            module.load_state_dict({key: self.own.parameters[path] for key, path in keys.items()})
        return module

    def target(self, name: str | None = None) -> Target:
        """A target of this model by name; by default `deploy`, or plain folding where the spec has none.

        An ONNX file keeps its opset, unless that is too old to be written.
        """
        if name is None:
            opset = self.own.opset if self.own else None
            plain = Target("deploy", "onnx", opset=opset and max(opset, to_onnx.OLDEST_OPSET))
            return self.targets.get("deploy", plain)
        if name not in self.targets:
            raise Failure(errors.unknown_target(name, self.name, list(self.targets)))
        return self.targets[name]

    def lift(self) -> Lifted:
        """The model as the text of a spec, which is checked to mean the same graph."""
        own = self.own or Imported(self.graph, {})
        return check_spec(to_spec.lift(self.graph, own.classes, own.parameters))

    def counts(self) -> dict[str, int]:
        """How many operators of each kind the train form has, in the names of ONNX."""
        return to_onnx.operators(self.graph, self.target().opset or OPSET)

    def multiply_adds(self) -> int:
        """The multiply-adds of the train form at its pinned sizes, or nominal ones (224, batch 1)."""
        return multiply_adds(self.graph, nominal_sizes(self.graph))

    @uninterrupted()
    def parameters(self, weights: Weights | None = None, container: str | None = None) -> Parameters:
        """The value of every parameter: from a checkpoint, or its own, or the initial values of seed 0.

        Raises `Failure` with every key that is missing, unknown, of another shape, or not finite.
        """
        declared = self.graph.parameters
        if weights is None and self.own is not None:
            return Parameters(self.own.parameters, self.spec, "own", 1.0)
        if weights is None and self.adapter is None:
            return Parameters(to_torch.initial_values(declared, seed=0), "initial values, seed 0", "none", 0.0)
        if weights is None:
            raise Failure(errors.adapter_without_base(self.name))
        checkpoint = checkpoint_of(weights, container)
        fixed = {path: self.own.parameters[path] for path in self.own.constants} if self.own else {}
        learnt = {path: parameter for path, parameter in declared.items() if path not in fixed}
        found = match_adapted(checkpoint, learnt, LAYOUTS, self.adapter)
        return Parameters({**fixed, **found.values}, checkpoint.name, found.layout, found.share, found.notes)

    def fuse(
        self,
        weights: Weights | Parameters | None = None,
        target: str | Target | None = None,
        *,
        dtype: str | None = None,
        container: str | None = None,
    ) -> Fused:
        """Fold the graph for a target and compute the deployed weights, in float64 and rounded once to `dtype`.

        By default that is f32, or the type that an imported model computes in.
        """
        dtype = dtype or (self.own.dtype if self.own else "f32")
        chosen = target if isinstance(target, Target) else self.target(target)
        given = weights if isinstance(weights, Parameters) else self.parameters(weights, container)
        return Fused(self.bound(chosen.bind), chosen, given, *self.fold(chosen, given), dtype)

    def bound(self, values: Mapping[str, Bound]) -> Model:
        """The model with inputs pinned, so that what depends on them alone is a weight."""
        return replace(self, graph=bind(self.graph, values)) if values else self

    def fold(self, target: Target, weights: Parameters | None = None) -> tuple[Graph, Trace]:
        """The folded graph and how it came about, for which weights are needed only where the target looks at them."""
        values = partial(flat, parameters=weights.values) if weights is not None and target.facts else None
        options = Options(
            target.keep, target.objective, target.overrides, values=values, border_maps=target.border_maps
        )
        return fold(self.bound(target.bind).graph, options)


@dataclass(frozen=True, eq=False)
class Missed:
    """An expectation of a target that does not hold, how many operators there are, and which nodes they are of."""

    expectation: Expectation
    actual: int
    nodes: tuple[NodeId, ...]


@dataclass(frozen=True, eq=False)
class Fused:
    """A folded model with its deployed weights."""

    model: Model
    target: Target
    parameters: Parameters
    graph: Graph
    trace: Trace
    dtype: str = "f32"
    _built: dict[int, onnx.ModelProto] = field(default_factory=dict[int, onnx.ModelProto])

    @cached_property
    def values(self) -> dict[str, Tensor]:
        """The stored tensors by name, rounded to the deployed type."""
        with uninterrupted():
            return deployed(self.graph, self.parameters.values, DTYPES[self.dtype])

    @cached_property
    def lost(self) -> tuple[str, ...]:
        """What merging destroyed, by weight: zeros, few values, orthogonality, and ties."""
        found: list[str] = []
        for name, expr in storage(self.graph).tensors.items():
            parameter = self.model.graph.parameters.get(name)
            if parameter is None or isinstance(expr, Param):
                continue
            found += [f"{name}: {words}" for words in lost(self.parameters.values[name], self.values[name])]
            if parameter.aliases:
                found.append(f"{name}: it is tied to {', '.join(parameter.aliases)}, and both change")
        return tuple(found)

    @property
    def idle(self) -> tuple[str, ...]:
        """What the target says of paths that the model does not have."""
        graph = self.model.graph
        paths = {graph[id].path for id in graph} | graph.parameters.keys()
        said = [(f"keep {text}", text) for text in self.target.keep]
        said += [(f"at {override.pattern}", override.pattern) for override in self.target.overrides]
        idle = [line for line, text in said if not any(map(pattern(text).covers, paths))]
        return tuple(f"target {self.target.name}: {line} matches nothing in {self.model.name}" for line in idle)

    @property
    def opset(self) -> int:
        """The ONNX opset of the target, or the default."""
        return self.target.opset or OPSET

    @property
    def expressible(self) -> tuple[str, ...]:
        """The backends that can express every operator: an opaque one only where it came from."""
        calls = [type(op.call) for op in (self.graph[id].op for id in self.graph) if isinstance(op, Opaque)]
        unfit = {"onnx": TorchCall, "torch": OnnxCall, "source": OnnxCall}
        return tuple(backend for backend, kind in unfit.items() if kind not in calls)

    def state_dict(self) -> dict[str, Tensor]:
        """The deployed weights: with target `official`, the authors' own deploy keys."""
        return dict(self.module().state_dict() if "torch" in self.expressible else self.values)

    def module(self) -> nn.Module:
        """An ordinary torch module for inference."""
        return to_torch.inference_module(self.graph, self.values)

    def onnx(self, opset: int | None = None) -> onnx.ModelProto:
        """The ONNX model, built from the graph and checked; built once for each opset."""
        opset = opset or self.opset
        if opset not in self._built:
            self._built[opset] = to_onnx.build(
                self.graph, self.values, opset=opset, dtype=self.dtype, metadata=self.provenance()
            )
        return self._built[opset]

    def save_onnx(self, path: str | Path, opset: int | None = None) -> tuple[Path, ...]:
        """Write the ONNX model, whole or not at all; weights beyond 2 GB go into a file beside it.

        The files written are returned, the model first.
        """
        return to_onnx.save(self.onnx(opset), path)

    def source(self) -> to_source.SourceArtifact:
        """A readable Python file that does not need repc, and its tensors."""
        lines = [f"{name.removeprefix('repc.')}: {value}" for name, value in self.provenance().items()]
        return to_source.emit(self.graph, self.values, provenance=lines)

    def counts(self) -> dict[str, int]:
        """How many operators of each kind are left, in the names of ONNX."""
        return to_onnx.operators(self.graph, self.opset)

    def multiply_adds(self) -> int:
        """The multiply-adds that are left, at the sizes of `Model.multiply_adds`."""
        return multiply_adds(self.graph, nominal_sizes(self.graph))

    def missed(self) -> list[Missed]:
        """What the target expected and did not get."""
        if not self.target.expect:
            return []
        kinds = {id: Counter(types) for id, types in to_onnx.written(self.graph, self.opset).items()}
        for id in self.graph:
            if isinstance(self.graph[id].op, BatchNorm):
                # Without running statistics it is written by other operators, and still is what is asked about.
                kinds[id] = Counter(["BatchNormalization"])
        found: list[Missed] = []
        for expected in self.target.expect:
            nodes = tuple(id for id in self.graph.order() if kinds.get(id, Counter())[expected.operator])
            actual = sum(kinds[id][expected.operator] for id in nodes)
            if not _COMPARE[expected.comparison](actual, expected.count):
                found.append(Missed(expected, actual, nodes))
        return found

    def expand(self, site: str, into: str, *, seed: int | None = 0, **given: Value) -> Expanded:
        """The deployed network as one to train on, with blocks in the place of the operators at a path pattern.

        ``fused.expand("stage1.*.*", "repvgg").model`` is a `Model` with weights of its own; see `repc.driver.expand`.
        Raises `Failure` with everything that does not fit.
        """
        return expand(self, site, into, given, seed=seed)

    def unfolded(self) -> Fused:
        """The train form with the same weights, in evaluation mode: what is to be compared with."""
        return replace(self, graph=self.model.graph, trace=Trace(), _built={})

    def verify(
        self,
        checks: Checks | None = None,
        progress: Callable[[str, float], None] | None = None,
        *,
        against: Sequence[str] = ("ort", "torch"),
        file: Path | None = None,
        tensors: Mapping[str, Tensor] | None = None,
    ) -> Report:
        """Compare train form, folded form, torch module and ONNX Runtime; see `repc.verify`.

        `against` names the runtimes, of which those are used that can express the model.  `file` is an ONNX file and
        `tensors` are deployed weights that were written earlier, to be compared instead of new ones.
        """
        on_file = "ort" in against and "onnx" in self.expressible
        on_module = "torch" in against and "torch" in self.expressible
        return check_equal(
            self.model.graph,
            self.graph,
            self.parameters.values,
            self.values,
            options=checks or Checks(),
            model=(file or self.onnx()) if on_file else None,
            module=to_torch.inference_module(self.graph, tensors or self.values) if on_module else None,
            steps=self.trace.steps,
            progress=progress,
        )

    def verify_file(
        self, file: str | Path, checks: Checks | None = None, progress: Callable[[str, float], None] = quiet
    ) -> Report:
        """Whether an ONNX file that somebody else made is this model with these weights; see `repc.verify`.

        It may be folded as here, not at all, or as exporters do: each batch norm into the convolution before it.
        """
        sums = {node.path for node in map(self.model.graph.__getitem__, self.model.graph) if isinstance(node.op, Sum)}
        apart, _ = self.model.fold(replace(self.target, keep=tuple(sums)))
        graphs = [self.graph, apart]
        given = self.parameters.values
        return check_file(self.model.graph, graphs, given, Path(file), options=checks, progress=progress)

    def certificate(self, report: Report) -> dict[str, Any] | None:
        """What `python -m repc.checker` needs to prove a report again; None where nothing was proved of an ONNX file.

        How the model was loaded and what the file is are for the caller to add.
        """
        if report.certificate is None:
            return None
        return {
            "repc": version("repc"),
            "model": self.model.name,
            "spec": {"name": self.model.spec, "sha256": fingerprint(self.model.graph)},
            "weights": {"name": self.parameters.source, "sha256": self.parameters.sha256},
            "target": self.target.name,
            **report.certificate,
        }

    def provenance(self) -> dict[str, str]:
        """What a deployed file says of where it is from."""
        return {
            "repc.spec": self.model.spec,
            "repc.model": self.model.name,
            "repc.target": self.target.name,
            "repc.weights": self.parameters.source,
            "repc.weights.sha256": self.parameters.sha256,
        }


_COMPARE: Mapping[str, Callable[[int, int], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
