"""What the text of a forward pass calls besides torch, and how that text becomes a function."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import cast
from zlib import crc32

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from repc.evaluate.dtypes import DTYPES
from repc.ir.dims import Polynomial, free_dimension, symbol
from repc.ir.graph import Graph
from repc.ir.types import TensorType


@dataclass(frozen=True, eq=False)
class Port:
    """A runtime input: name, type as text, and its sizes as numbers, free dimensions by name, or formulas of them.

    `gives` names the free dimension that is read off each axis, None for axes that give none.  `dtype` is None where
    any floating-point type will do that the weights have.
    """

    name: str
    type: str
    sizes: tuple[int | str | Polynomial, ...]
    gives: tuple[str | None, ...]
    dtype: torch.dtype | None


def ports(graph: Graph) -> tuple[Port, ...]:
    """The runtime inputs in order."""
    return tuple(_port(name, graph[id].type) for name, id in graph.inputs.items())


def _port(name: str, type: TensorType) -> Port:
    gives = tuple(map(free_dimension, type.shape))
    sizes = tuple(free if free and dim == symbol(free) else dim for free, dim in zip(gives, type.shape, strict=True))
    return Port(name, str(type), sizes, gives, None if type.dtype == "f32" else DTYPES[type.dtype])


@cache
def compiled(name: str, source: str) -> Callable[..., object]:
    """The function `forward` that a source defines. Its lines show in tracebacks and profiles."""
    file = f"<repc {name} {crc32(source.encode()):08x}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space: dict[str, object] = {"torch": torch, "F": F, "check": check, "batch_norm": batch_norm}
    space |= {"_same": same, "_structure": structure, "_holds": holds, "_packed": packed}
    exec(compile(source, file, "exec"), space)
    forward = space["forward"]
    assert callable(forward)
    return forward


def check(network: nn.Module, ports: Sequence[Port], given: Sequence[object]) -> None:
    """Raise `TypeError` for an input of the wrong element type, `ValueError` for one of the wrong shape."""
    free: dict[str, int] = {}
    found: list[Tensor] = []
    for port, value in zip(ports, given, strict=True):
        if not isinstance(value, Tensor):
            raise TypeError(f"input {port.name} is a {type(value).__name__}, expected a tensor {port.type}")
        _check_dtype(network, port, value)
        if value.dim() != len(port.sizes):
            raise ValueError(f"{_misfit(port, value)}: it has {value.dim()} axes instead of {len(port.sizes)}")
        for name, size in zip(port.gives, value.shape, strict=True):
            if name is not None:
                free.setdefault(name, size)
        found.append(value)
    for port, value in zip(ports, found, strict=True):
        _check_sizes(port, value, free)


def batch_norm(
    training: bool,
    momentum: float | None,
    eps: float,
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    tracked: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """What `nn.BatchNorm2d` does, for weights that are not parameters of their own."""
    if training and tracked is not None:
        tracked.add_(1)
        momentum = 1 / float(tracked) if momentum is None else momentum
    return F.batch_norm(x, mean, var, weight, bias, training, momentum or 0.0, eps)


def same(name: str, given: object, folded: object) -> None:
    """Raise `ValueError` unless an argument that is no tensor is the one that the network was made for."""
    if given is not folded and not (type(given) is type(folded) and given == folded):
        raise ValueError(f"{name} is {given!r}, and this network was made for {folded!r} alone")


def structure(name: str, given: object, keys: Sequence[object]) -> None:
    """Raise `ValueError` unless a list or a mapping has the elements that the network was made for."""
    found: list[object] = []
    if isinstance(given, Mapping):
        found += cast("Mapping[object, object]", given)
    elif isinstance(given, Sequence):
        found += range(len(cast("Sequence[object]", given)))
    if len(found) != len(keys) or set(found) != set(keys):
        raise ValueError(f"{name} has {found}, and this network was made for {list(keys)}")


def holds(condition: bool, text: str) -> None:
    """Raise `ValueError` where the inputs have sizes for which the original network is another one."""
    if not condition:
        raise ValueError(f"this network was made for inputs with {text}")


def packed(kind: type, children: list[object], context: object) -> object:
    """Results as the original returned them, in a class that torch knows to take apart."""
    return pytree.SUPPORTED_NODES[kind].unflatten_fn(children, context)


def _check_sizes(port: Port, value: Tensor, free: Mapping[str, int]) -> None:
    for axis, wanted in enumerate(port.sizes):
        if isinstance(wanted, str):
            expected = free[wanted]
        else:
            expected = wanted if isinstance(wanted, int) else wanted.evaluate(free)
        if value.shape[axis] != expected:
            found = f"axis {axis} has size {value.shape[axis]} instead of {expected}"
            raise ValueError(f"{_misfit(port, value)}: {found}")


def _check_dtype(network: nn.Module, port: Port, value: Tensor) -> None:
    if port.dtype is not None:
        if value.dtype != port.dtype:
            raise TypeError(_misfit(port, value))
    elif not value.is_floating_point():
        raise TypeError(f"{_misfit(port, value)}: convert it with .float()")
    elif not torch.is_autocast_enabled(value.device.type):
        first = next((p for p in network.parameters() if p.is_floating_point()), None)
        if first is not None and first.dtype != value.dtype and _lacks(network, value.dtype):
            raise TypeError(f"{_misfit(port, value)}: the weights are {_name(first.dtype)}, convert one of them")


def _lacks(network: nn.Module, dtype: torch.dtype) -> bool:
    return all(parameter.dtype != dtype for parameter in network.parameters())


def _misfit(port: Port, value: Tensor) -> str:
    return f"input {port.name} is {_name(value.dtype)}{list(value.shape)}, expected {port.type}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
