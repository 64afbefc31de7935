"""The tensors of a program: its state_dict with tied keys as aliases, and constants beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import TypeAlias

import torch
from torch import Tensor, nn

from repc.diagnostics import Source, Span
from repc.evaluate.dtypes import DTYPES
from repc.ir.expr import Param, apply
from repc.ir.graph import Graph
from repc.ir.node import Parameter
from repc.ir.types import TensorType
from repc.ops import BatchNorm, Fill, GroupNorm, LayerNorm, RMSNorm

Types: TypeAlias = Mapping[torch.dtype, str]

NAMES = {dtype: name for name, dtype in DTYPES.items()}
COMPUTED = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def compute_type(weights: Iterable[Tensor], inputs: Iterable[Tensor]) -> torch.dtype:
    """The floating-point type of most weights; without any, that of the first input with one."""
    counts = dict.fromkeys(COMPUTED, 0)
    for tensor in weights:
        if tensor.dtype in counts:
            counts[tensor.dtype] += tensor.numel()
    given = (x.dtype for x in inputs if x.dtype in counts)
    return max(COMPUTED, key=counts.__getitem__) if any(counts.values()) else next(given, torch.float32)


def element_types(compute: torch.dtype) -> dict[torch.dtype, str]:
    """What repc calls each element type of a network that computes in this one, which it calls f32.

    In a network of another type, float32 is what some values are raised to.  The next type that is at least as exact is
    float64.
    """
    return NAMES | {torch.float32: "f64", compute: "f32"}


def aliases(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Each key and the first key of the same tensor."""
    first: dict[object, str] = {}
    return {key: first.setdefault(_identity(tensor), key) for key, tensor in state.items()}


def declare(graph: Graph, types: Mapping[str, TensorType], own: Mapping[str, Tensor], same: Mapping[str, str]) -> None:
    """Give the graph a parameter for each type by path: `own` are those of the state_dict, the rest are constants.

    Their initial values are those that people start from: ones where a norm scales, zeros elsewhere.
    """
    source = Source(f"{graph.name}.state_dict", "\n".join(types))
    ones = _scales(graph)
    offset = 0
    for path, type in types.items():
        span = Span(source, offset, offset + len(path))
        offset += len(path) + 1
        buffer = not isinstance(own.get(path), nn.Parameter)
        further = tuple(key for key, first in same.items() if first == path and key != path)
        init = apply(Fill(type.concrete(), Fraction(int(path in ones)), type.dtype))
        graph.parameters[path] = Parameter(path, type, init, buffer, not buffer, span, further)


def _scales(graph: Graph) -> set[str]:
    """The parameters that norms multiply by, or divide by."""
    norms = [graph[id].weights for id in graph if isinstance(graph[id].op, BatchNorm | GroupNorm | LayerNorm | RMSNorm)]
    operands = [weights.get(name) for weights in norms for name in ("weight", "running_var")]
    return {expr.path for expr in operands if isinstance(expr, Param)}


def _identity(tensor: Tensor) -> object:
    """What two keys of one tensor have in common; tensors without memory of their own are each for itself."""
    if not tensor.numel() or tensor.is_meta:
        return id(tensor)
    return tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype
