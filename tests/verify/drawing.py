"""Random parameters, under which a wrong fold shows whatever the given weights are.

Weights as they are initialised hide most wrong folds: a shift of zero can be dropped and a scale of one misplaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor

from repc.ir.expr import Apply, parameters
from repc.ir.graph import Graph
from repc.ir.node import Parameter
from repc.ops import BatchNorm, Fill

FACTOR = (0.5, 1.5)  # magnitudes; a factor has either sign
ZEROS = 0.125  # the share of factors that are exactly zero
SHIFT = 0.3  # the standard deviation of what is added
VARIANCE = (1.0, 4.0)  # above 1, so that a sum of several branches does not grow from block to block


def random_parameters(graph: Graph, given: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Every floating-point parameter of a graph drawn anew, and the others as given, by path.

    Values stay near unit scale.  What a parameter is to the network is told by its use and its initial value: what
    feeds a running variance stays positive, what starts as a constant other than zero is a factor, any other vector is
    added, and the rest are kernels, scaled by their fan-in.
    """
    generator = torch.Generator().manual_seed(seed)
    norms = [graph[id].weights for id in graph if isinstance(graph[id].op, BatchNorm)]
    positive = parameters(weights["running_var"] for weights in norms if "running_var" in weights)
    drawn = dict(given)
    for path, parameter in graph.parameters.items():
        if parameter.type.dtype in ("i64", "bool"):
            continue
        shape = parameter.type.concrete()
        if path in positive:
            drawn[path] = torch.empty(shape).uniform_(*VARIANCE, generator=generator)
        elif _is_factor(parameter):
            drawn[path] = _factors(shape, generator)
        else:
            is_vector = prod(shape) == max(shape, default=1)
            limit = 3**0.5 * (SHIFT if is_vector else prod(shape[1:]) ** -0.5)
            drawn[path] = torch.empty(shape).uniform_(-limit, limit, generator=generator)
    return drawn


def _is_factor(parameter: Parameter) -> bool:
    init = parameter.init
    return isinstance(init, Apply) and isinstance(init.op, Fill) and init.op.value != 0


def _factors(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    magnitude = torch.empty(shape).uniform_(*FACTOR, generator=generator)
    sign = torch.randint(0, 2, shape, generator=generator) * 2 - 1
    # A single factor of zero would hide all that it multiplies.
    kept = torch.rand(shape, generator=generator) >= ZEROS if magnitude.numel() > 1 else 1
    return magnitude * sign * kept
