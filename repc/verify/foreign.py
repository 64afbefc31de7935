"""A file that somebody else made: is it this network with these weights?

What its weights are is told by their values: an initializer that is close to one of the tensors that repc would
deploy, or to a parameter, is taken for that expression.  Which of its values are those of the network is told over the
prime field, on a small input: equal values are proposed as cuts.  Neither is believed.  With expressions in the place
of its initializers, the file is proved to be the network, segment by segment.  Where that fails, because it was made in
another way or is another network, a sample has to say it alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from math import inf, sqrt
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor

from repc.diagnostics import Failure
from repc.evaluate import evaluate
from repc.evaluate.floating import TorchField
from repc.evaluate.graphs import compute
from repc.evaluate.prime import PrimeField
from repc.evaluate.proof import drawn
from repc.evaluate.raw import raw
from repc.evaluate.segments import least
from repc.importers import import_onnx
from repc.ir.expr import Expr, Param, apply, parameters
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ir.storage import storage
from repc.ir.substitute import with_weights
from repc.ops import Constant, build
from repc.verify.certify import Proof, prove_at
from repc.verify.checks import Noise, accuracy, algebra, matched
from repc.verify.compare import positions
from repc.verify.cuts import corresponding
from repc.verify.errors import other_inputs, other_outputs
from repc.verify.options import Options
from repc.verify.report import NOT_COVERED, Report
from repc.verify.runs import GraphRun, OnnxRun, read_model
from repc.verify.sampling import EXTENT, batches, describe
from repc.verify.subject import Progress, Subject, compare_all, quiet

CLOSE = 1e-5  # of a tensor's largest magnitude: what folding in float32 may cost
SMALL = 64  # elements: a constant that is no weight


@dataclass(frozen=True, eq=False)
class Likeness:
    """How far a file could be proved to be a network.

    `matched` counts the initializers that stand for an expression, by at most `far` of their largest magnitude, and
    `others` names those that stand for none.  `proof` is there where one was tried.
    """

    matched: int
    far: float
    others: tuple[str, ...]
    proof: Proof | None

    @property
    def reason(self) -> str:
        """Why it is not proved; empty where it is."""
        if self.others:
            return f"{len(self.others)} initializers stand for no weight of the network: {', '.join(self.others[:3])}"
        if self.proof is None:
            return "its outputs are not those of the network on a small input"
        wrong = self.proof.first_wrong
        return f"{wrong[0]} is computed in a way that was not followed: {wrong[1].reason}" if wrong else ""


def recognise(
    train: Graph, folded: Sequence[Graph], given: Mapping[str, Tensor], file: Path, seed: int = 0
) -> Likeness:
    """Prove that a file is a network with these parameters, as far as that can be done.

    `folded` are graphs that repc makes of the network, one of which may have its weights.  Raises `Failure` E814 or
    E815 where the file has other inputs or outputs, and what reading it raises.
    """
    imported = import_onnx(_with_inputs_of(train, read_model(file, external=True)), {})
    wanted = set(parameters(_weights(imported.graph)))
    stored = {name: value for name, value in imported.parameters.items() if name in wanted}
    found = _Matching(_candidates(train, folded, given), stored)
    if found.others:
        return Likeness(len(found.exprs), found.far, tuple(found.others), None)
    graph = with_weights(_renamed(imported.graph, train), found.exprs)
    pairs = _meetings(train, graph, seed)
    if any(id not in pairs for id in train.outputs.values()):
        return Likeness(len(found.exprs), found.far, (), None)
    proof = prove_at(train, graph, corresponding(train, pairs), seed=seed)
    return Likeness(len(found.exprs), found.far, (), proof)


def verify_file(
    train: Graph,
    folded: Sequence[Graph],
    given: Mapping[str, Tensor],
    file: Path,
    *,
    options: Options | None = None,
    progress: Progress = quiet,
) -> Report:
    """Whether a file is a network with these parameters: proved if it can be, and on a sample in ONNX Runtime.

    On the sample, its outputs may be off as far as `repc.verify.verify` allows.  What is proved holds up to the
    rounding of the file's weights.  Raises `Failure` as `recognise` does.
    """
    options = options or Options()
    results = corresponding(train, {id: id for id in train.outputs.values()}).train
    sample = batches(train, options, torch.float32)
    oracle = Subject("train form, float64", GraphRun(train, results, given, torch.float64))
    noise = Subject("unfused", GraphRun(train, results, given, torch.float32))
    found = Subject("ONNX Runtime CPU float32", OnnxRun(file, list(results), {}))
    with torch.no_grad():
        compare_all(oracle, [noise, found], sample, progress)
    unit = torch.finfo(torch.float32).eps
    slack = dict.fromkeys(results, options.limit * unit * sqrt(positions(sample)))
    checks = [accuracy(found.name, found, Noise(noise, torch.float32, options.limit, slack))]
    absent: list[str] = [*NOT_COVERED]
    if options.level == "certify":
        progress("algebra", 0.0)
        like = recognise(train, folded, given, file, options.seed)
        checks.insert(0, matched(like.matched, like.far, CLOSE))
        if like.proof and not like.reason:
            checks.insert(0, algebra(like.proof, "algebra (train = file)"))
        else:
            absent.insert(0, f"other weights and inputs, as the file was not proved: {like.reason}")
    return Report(train.name, describe(sample, "random"), tuple(checks), tuple(absent))


# ------------------------------------------------------------------------------------------------ inputs and outputs


def _with_inputs_of(train: Graph, model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the free sizes of its inputs called as those of the network, input by input."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    types = [train[id].type for id in train.inputs.values()]
    ranks = [len(value.type.tensor_type.shape.dim) for value in inputs]
    if ranks != [type.rank for type in types]:
        raise Failure(other_inputs([value.name for value in inputs], list(train.inputs)))
    for value, type in zip(inputs, types, strict=True):
        for dim, size in zip(value.type.tensor_type.shape.dim, type.shape, strict=True):
            if dim.dim_value and dim.dim_value != size:
                raise Failure(other_inputs([f"{value.name} of size {dim.dim_value}"], [f"{size}"]))
            if isinstance(size, int):
                dim.dim_value = size
            else:
                dim.dim_param = str(size)
    del model.graph.value_info[:]
    return model


def _renamed(graph: Graph, train: Graph) -> Graph:
    """The graph with the names of the network's inputs and outputs, in their order."""
    if len(graph.outputs) != len(train.outputs):
        raise Failure(other_outputs(list(graph.outputs), list(train.outputs)))
    renamed = graph.copy()
    renamed.inputs = dict(zip(train.inputs, graph.inputs.values(), strict=True))
    renamed.outputs = dict(zip(train.outputs, graph.outputs.values(), strict=True))
    return renamed


# ------------------------------------------------------------------------------------------------ weights


def _weights(graph: Graph) -> list[Expr]:
    return [expr for id in graph for expr in graph[id].weights.values()]


def _candidates(train: Graph, folded: Sequence[Graph], given: Mapping[str, Tensor]) -> Iterator[tuple[Expr, Tensor]]:
    """What an initializer may stand for: a deployed tensor, a parameter, or a matrix of these transposed."""
    known: list[tuple[Expr, Tensor]] = []
    for graph in folded:
        exprs = storage(graph).tensors
        exact = evaluate(exprs, TorchField(torch.float64), given)
        known += [(exprs[name], exact[name]) for name in exprs]
    known += [(Param(path, p.type), given[path].to(torch.float64)) for path, p in train.parameters.items()]
    yield from known
    yield from ((build.permute(expr, (1, 0)), value.T) for expr, value in known if value.dim() == 2)


class _Matching:
    """The expressions that initializers stand for, by name, and the names of the others."""

    def __init__(self, candidates: Iterator[tuple[Expr, Tensor]], stored: Mapping[str, Tensor]) -> None:
        self.exprs: dict[str, Expr] = {}
        self.others: list[str] = []
        self.far = 0.0
        by_shape: dict[tuple[int, ...], list[tuple[Expr, Tensor]]] = {}
        for expr, value in candidates:
            by_shape.setdefault(tuple(value.shape), []).append((expr, value))
        for name, value in stored.items():
            self._match(name, value.to(torch.float64), by_shape.get(tuple(value.shape), []))

    def _match(self, name: str, value: Tensor, known: list[tuple[Expr, Tensor]]) -> None:
        """The first that is close; it then comes last, since equal tensors are likely to be used in turn."""
        for i, (expr, exact) in enumerate(known):
            far = _distance(value, exact)
            if far <= CLOSE:
                self.exprs[name], self.far = expr, max(self.far, far)
                known.append(known.pop(i))
                return
        if value.numel() <= SMALL:
            self.exprs[name] = _constant(value)
        else:
            self.others.append(name)


def _constant(value: Tensor) -> Expr:
    """The numbers as a person would have written them."""
    numbers = tuple(Fraction(str(np.float32(number))) for number in value.flatten().numpy())
    return apply(Constant(tuple(value.shape), numbers))


def _distance(value: Tensor, exact: Tensor) -> float:
    """Relative to the largest magnitude; a first look at one element spares most of the work."""
    if not value.numel():
        return 0.0
    scale = float(exact.abs().max()) or 1.0
    if abs(float(value.flatten()[0] - exact.flatten()[0])) > CLOSE * scale:
        return inf
    return float((value - exact).abs().max()) / scale


# ------------------------------------------------------------------------------------------------ values


def _meetings(train: Graph, graph: Graph, seed: int) -> dict[NodeId, NodeId]:
    """Nodes of the training graph, and those of the other that have their type and value on a small random input."""
    field = PrimeField(f"{seed} meeting")
    sizes = least(train, [(dim, EXTENT) for id in train for dim in train[id].type.shape])
    inputs = {name: drawn(field, train[id].type, name, sizes) for name, id in train.inputs.items()}
    values = {
        path: drawn(field, param.type, path, {})
        for path, param in parameters([*_weights(train), *_weights(graph)]).items()
    }
    with torch.no_grad():
        theirs = {hash: id for id, hash in _hashes(graph, field, inputs, values, sizes)}
        ours = dict(_hashes(train, field, inputs, values, sizes))
    pairs = {id: theirs[hash] for id, hash in ours.items() if hash in theirs}
    return {id: pairs[id] for id in train.order() if id in pairs}


def _hashes(
    graph: Graph,
    field: PrimeField,
    inputs: Mapping[str, Tensor],
    values: Mapping[str, Tensor],
    sizes: Mapping[str, int],
) -> Iterator[tuple[NodeId, str]]:
    given = {id: inputs[name] for name, id in graph.inputs.items()}
    wanted = [id for id in graph if id not in given]
    for id, value in compute(graph, field, given, values, wanted, sizes).items():
        total = sha256(str(graph[id].type).encode())
        total.update((raw(value + 0.0 if value.is_floating_point() else value)).data)
        yield id, total.hexdigest()
