"""The stored tensors against their expressions, recomputed in float64."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from repc.evaluate.rounding import LIMIT, distances, reals, slack
from repc.ir.graph import Graph
from repc.ir.storage import storage
from repc.verify.cuts import place
from repc.verify.report import Check, Figure
from repc.verify.runs import read_model

EDGES = torch.tensor([0.0, 0.125, 0.25, 0.375, 0.5], dtype=torch.float64)
LABELS = ("0", "<= 0.125", "<= 0.25", "<= 0.375", "<= 0.5", "> 0.5")
CHUNK = 2**16  # elements that are compared at once, so that they stay in the cache


@dataclass(frozen=True, eq=False)
class _Finding:
    """How far one stored tensor is from its expression, which of its elements is why, and the distances counted."""

    figure: Figure
    reason: str
    counts: Tensor


def check_weights(
    graph: Graph, exact: Iterable[tuple[str, Tensor]], holders: Mapping[str, Mapping[str, Tensor]]
) -> Check:
    """Every stored tensor, wherever it is held, is its expression's value to half a unit in the last place.

    `exact` are the values of the expressions in float64 by name, `holders` the stored tensors by the name of what holds
    them.
    Beyond the half unit, `slack` is allowed for.  Equal tensors of several holders are compared once.
    """
    places = _places(graph)
    found = [
        _compare(name, places[name], holder, stored, value)
        for name, value in exact
        for holder, stored in _distinct(name, holders)
    ]
    worst = max(found, key=lambda finding: finding.figure.error, default=None)
    largest = worst.figure.error if worst else 0.0
    counts = torch.stack([finding.counts for finding in found]).sum(0) if found else torch.zeros(len(LABELS))
    return Check(
        name="weights (recomputed)",
        passed=largest <= LIMIT,
        result="equal" if largest <= LIMIT else "FAILED",
        detail=f"{len(storage(graph).tensors)} tensors, max {largest:.3g} ulp, in {', '.join(holders)}",
        reason=worst.reason if worst else "",
        figures=tuple(finding.figure for finding in found),
        histogram=tuple(zip(LABELS, map(int, counts), strict=True)),
    )


class OnnxTensors(Mapping[str, Tensor]):
    """The initializers of a model by name, from its data file too; each is made when it is asked for."""

    def __init__(self, model: onnx.ModelProto | Path) -> None:
        loaded = read_model(model, external=True) if isinstance(model, Path) else model
        self._protos = {tensor.name: tensor for tensor in loaded.graph.initializer}

    def __getitem__(self, name: str) -> Tensor:
        return _tensor(self._protos[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._protos)

    def __len__(self) -> int:
        return len(self._protos)


def _tensor(proto: onnx.TensorProto) -> Tensor:
    if proto.data_type == onnx.TensorProto.BFLOAT16:  # numpy has no such type
        return torch.frombuffer(bytearray(proto.raw_data), dtype=torch.bfloat16).reshape(tuple(proto.dims))
    return torch.as_tensor(numpy_helper.to_array(proto).copy())


def _distinct(name: str, holders: Mapping[str, Mapping[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of that name that differ from those of the holders before."""
    seen: list[Tensor] = []
    for holder, tensors in holders.items():
        tensor = tensors.get(name)
        if tensor is not None and not any(_same(tensor, other) for other in seen):
            seen.append(tensor)
            yield holder, tensor


def _same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b)


def _compare(name: str, where: str, holder: str, stored: Tensor, exact: Tensor) -> _Finding:
    title = f"{name} in the {holder}"
    if stored.shape != exact.shape:
        reason = f"{title} ({where}) has the shape {list(stored.shape)} instead of {list(exact.shape)}"
        return _Finding(Figure(title, where, "", inf, 1.0, LIMIT), reason, torch.zeros(len(LABELS), dtype=torch.int64))
    stored, exact = reals(stored), reals(exact)
    allowed = slack(exact)
    counts = torch.zeros(len(LABELS), dtype=torch.int64)
    worst, at = 0.0, 0
    a, b = stored.flatten(), exact.flatten()
    for start in range(0, exact.numel(), CHUNK):
        piece = slice(start, start + CHUNK)
        distance = distances(a[piece], b[piece], allowed)
        counts += torch.bincount(torch.bucketize(distance, EDGES), minlength=len(LABELS))
        if float(distance.max()) > worst:
            worst, at = float(distance.max()), start + int(distance.argmax())
    figure = Figure(title, where, "", worst, 1.0, LIMIT)
    return _Finding(figure, _reason(figure, stored, exact, at) if worst > LIMIT else "", counts)


def _reason(figure: Figure, stored: Tensor, exact: Tensor, at: int) -> str:
    index = [int(i) for i in torch.unravel_index(torch.tensor(at), exact.shape)]
    numbers = f"is {float(stored.flatten()[at])!r} at {index}, recomputed {float(exact.flatten()[at])!r}"
    return f"{figure.where} ({figure.place}) {numbers}: {figure.error:.3g} ulp, at most {LIMIT}"


def _places(graph: Graph) -> dict[str, str]:
    """Where the spec has the operator that reads each stored tensor first."""
    found: dict[str, str] = {}
    for (id, _), name in storage(graph).names.items():
        found.setdefault(name, place(graph[id].origin))
    return found
