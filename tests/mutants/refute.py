"""The two ways in which a wrong fold must be refuted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from repc.evaluate import evaluate, run
from repc.evaluate.floating import TorchField
from repc.ir.expr import Expr
from repc.ir.graph import Graph
from repc.ir.trace import Trace
from repc.verify import Options, Proof, certify
from repc.verify.sampling import batches
from tests.verify.networks import random_parameters

FAR = 1e-10  # what two computations of one network in float64 may differ by


def difference(train: Graph, fused: Graph, **sizes: int) -> float:
    """The largest ‖Δ‖∞/‖y‖∞ of an output in float64, with random parameters, for inputs of two sizes.

    `sizes` sets free dimensions that are otherwise large enough for every stage.
    """
    given, field, largest = random_parameters(train), TorchField(), 0.0
    for batch in batches(train, Options(sizes=sizes, samples=2), torch.float64):
        before, after = (run(graph, field, batch.inputs, given) for graph in (train, fused))
        for name, id in train.outputs.items():
            largest = max(largest, apart(after[fused.outputs[name]], before[id]))
    return largest


def proved(train: Graph, fused: Graph, trace: Trace) -> Proof | None:
    """The proof of a fold; None where a fact that it rests on does not hold for the random parameters."""
    values = weights_of(train)
    sound = all(fact.holds(values(fact.expr)) for fact in trace.facts)
    return certify(train, fused, trace.steps) if sound else None


def weights_of(train: Graph) -> Callable[[Expr], Sequence[float]]:
    """What weights are with the random parameters, for folds that look at them."""
    return lambda expr: evaluate({"": expr}, TorchField(), random_parameters(train))[""].flatten().tolist()


def apart(found: Tensor, exact: Tensor) -> float:
    """‖Δ‖∞/‖exact‖∞; infinite for another shape, or where anything is not finite."""
    if found.shape != exact.shape or not (found.isfinite().all() and exact.isfinite().all()):
        return float("inf")
    off = float((found - exact).abs().max())
    return off and off / max(float(exact.abs().max()), 1e-300)
