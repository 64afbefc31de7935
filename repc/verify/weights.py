"""The stored tensors against their expressions, recomputed in float64."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from repc.ir.graph import Graph
from repc.ir.storage import storage
from repc.verify.cuts import place
from repc.verify.report import Check, Figure

LIMIT = 0.5  # units in the last place: what rounding once costs at most
RECOMPUTED = 2.0**-48  # of a tensor's largest magnitude: by how much two float64 evaluations may differ
EDGES = (0.0, 0.125, 0.25, 0.375, 0.5)


@dataclass(frozen=True, eq=False)
class _Finding:
    """How far one tensor in one place is from its expression, and the element that is farthest."""

    figure: Figure
    element: str
    counts: Tensor


def check_weights(graph: Graph, exact: Mapping[str, Tensor], holders: Mapping[str, Mapping[str, Tensor]]) -> Check:
    """Every stored tensor, wherever it is held, is its expression's value to half a unit in the last place.

    `exact` are the values of the expressions in float64, `holders` the stored tensors by the name of what holds them.
    Beyond the half unit, `RECOMPUTED` is allowed for.
    """
    places = _places(graph)
    found = [
        _compare(name, places[name], holder, stored[name], value)
        for holder, stored in holders.items()
        for name, value in exact.items()
        if name in stored
    ]
    worst = max(found, key=lambda finding: finding.figure.error, default=None)
    largest = worst.figure.error if worst else 0.0
    passed = largest <= LIMIT
    counts: list[int] = torch.stack([f.counts for f in found]).sum(0).tolist() if found else []
    return Check(
        name="weights (recomputed)",
        passed=passed,
        result="equal" if passed else "FAILED",
        detail=f"{len(exact)} tensors, max {largest:.2g} ulp, in {', '.join(holders)}",
        reason="" if passed or not worst else worst.element,
        figures=tuple(finding.figure for finding in found),
        histogram=tuple(zip(_labels(), counts, strict=False)),
    )


def onnx_tensors(model: onnx.ModelProto | Path) -> dict[str, Tensor]:
    """The initializers of a model by name, from its data file too."""
    loaded = onnx.load(model) if isinstance(model, Path) else model
    return {tensor.name: _tensor(tensor) for tensor in loaded.graph.initializer}


def _tensor(proto: onnx.TensorProto) -> Tensor:
    if proto.data_type == onnx.TensorProto.BFLOAT16:  # numpy has no such type
        return torch.frombuffer(bytearray(proto.raw_data), dtype=torch.bfloat16).reshape(tuple(proto.dims))
    return torch.from_numpy(numpy_helper.to_array(proto).copy())


def _compare(name: str, where: str, holder: str, stored: Tensor, exact: Tensor) -> _Finding:
    distance = _distance(stored, exact)
    largest = float(distance.max()) if distance.numel() else 0.0
    figure = Figure(f"{name} in the {holder}", where, "", largest, LIMIT)
    counts = torch.bincount(torch.bucketize(distance, torch.tensor(EDGES)).flatten(), minlength=len(EDGES) + 1)
    element = ""
    if largest > LIMIT:
        index = tuple(int(i) for i in torch.unravel_index(distance.argmax(), distance.shape))
        element = (
            f"{name}{list(index)} in the {holder} ({where}) is {float(stored[index])!r}, "
            f"recomputed {float(exact[index])!r}: {largest:.3g} ulp, at most {LIMIT}"
        )
    return _Finding(figure, element, counts)


def _distance(stored: Tensor, exact: Tensor) -> Tensor:
    """How far each element is from the exact value in units in the last place; integers in ones."""
    if stored.shape != exact.shape:
        return torch.full(exact.shape, torch.inf, dtype=torch.float64)
    if not stored.is_floating_point():
        return (stored - exact).abs().to(torch.float64)
    gap = (stored.to(torch.float64) - exact).abs_()
    if gap.numel() and not gap.any():
        return gap
    gap.sub_(RECOMPUTED * exact.abs().max()).clamp_(min=0) if exact.numel() else None
    return gap.div_(_unit(exact, stored.dtype)).nan_to_num_(nan=torch.inf)


def _unit(exact: Tensor, dtype: torch.dtype) -> Tensor:
    """The distance of neighbouring numbers of a type, at each value."""
    info = torch.finfo(dtype)
    magnitude = exact.abs().clamp_(min=info.smallest_normal)
    return torch.exp2((torch.frexp(magnitude).exponent - 1).to(torch.float64)) * info.eps


def _places(graph: Graph) -> dict[str, str]:
    """Where the spec has the operator that reads each stored tensor first."""
    found: dict[str, str] = {}
    for (id, _), name in storage(graph).names.items():
        found.setdefault(name, place(graph[id].origin))
    return found


def _labels() -> Iterator[str]:
    yield "0"
    yield from (f"<= {edge:g}" for edge in EDGES[1:])
    yield f"> {EDGES[-1]:g}"
