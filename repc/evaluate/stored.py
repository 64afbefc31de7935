"""The values of the tensors that a graph stores."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from repc.evaluate.dtypes import DTYPES
from repc.evaluate.expressions import evaluate
from repc.evaluate.floating import TorchField
from repc.ir.graph import Graph
from repc.ir.storage import storage


def deployed(graph: Graph, parameters: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Every stored tensor of a graph, computed in float64 and rounded once, to `dtype` where that is its type."""
    tensors = storage(graph).tensors
    computed = evaluate(tensors, TorchField(torch.float64), parameters)
    types = {name: dtype if expr.type.dtype == "f32" else DTYPES[expr.type.dtype] for name, expr in tensors.items()}
    return {name: tensor.to(types[name]).contiguous() for name, tensor in computed.items()}
