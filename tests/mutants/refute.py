"""The two ways in which a wrong fold must be refuted."""

from __future__ import annotations

from torch import Tensor

from repc.evaluate import run
from repc.evaluate.floating import TorchField
from repc.ir.graph import Graph
from repc.verify import Options
from repc.verify.sampling import few_batches
from tests.verify.networks import random_parameters

FAR = 1e-10  # what two computations of one network in float64 may differ by


def difference(train: Graph, fused: Graph, **sizes: int) -> float:
    """The largest ‖Δ‖∞/‖y‖∞ of an output in float64, with random parameters, for inputs of two sizes.

    `sizes` sets free dimensions that are otherwise large enough for every stage.
    """
    given, field, largest = random_parameters(train), TorchField(), 0.0
    for batch in few_batches(train, Options(sizes=sizes)):
        before, after = (run(graph, field, batch.inputs, given) for graph in (train, fused))
        for name, id in train.outputs.items():
            largest = max(largest, apart(after[fused.outputs[name]], before[id]))
    return largest


def apart(found: Tensor, exact: Tensor) -> float:
    """‖Δ‖∞/‖exact‖∞; infinite for another shape, or where anything is not finite."""
    if found.shape != exact.shape or not (found.isfinite().all() and exact.isfinite().all()):
        return float("inf")
    off = float((found - exact).abs().max())
    return off and off / max(float(exact.abs().max()), 1e-300)
