"""The values of the tensors that a graph stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from repc.evaluate.dtypes import DTYPES
from repc.evaluate.expressions import Program
from repc.evaluate.floating import TorchField
from repc.evaluate.rounding import rounded
from repc.ir.graph import Graph
from repc.ir.storage import storage


def deployed(graph: Graph, parameters: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Every stored tensor of a graph, computed in float64 and rounded once, to `dtype` where that is its type."""
    declared = {name: expr.type.dtype for name, expr in storage(graph).tensors.items()}
    types = {name: dtype if kind == "f32" else DTYPES[kind] for name, kind in declared.items()}
    return {name: rounded(tensor, types[name]).contiguous() for name, tensor in exact(graph, parameters)}


def exact(graph: Graph, parameters: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Every stored tensor of a graph in float64, one at a time, since all of them are twice as large as the network."""
    return Program(storage(graph).tensors).run(TorchField(torch.float64), parameters)
