"""Small networks with random parameters, folded and compared with themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from repc.diagnostics import Source, Span
from repc.evaluate import run
from repc.evaluate.floating import TorchField
from repc.ir.expr import Expr, Param
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId
from repc.ir.operator import Operator
from repc.ir.storage import storage
from repc.ir.trace import Trace
from repc.ir.types import TensorType
from repc.ops import Affine, AvgPool, BatchNorm, Conv, ConvTranspose, Function, Input, Linear, Pad, Reshape, Sum
from repc.passes import Options, fold

EPS = Fraction(1, 1000)  # large, so that an eps that is lost shows
EXACT = 1e-11


class Net:
    """A graph under construction and the values of its parameters; every value is random, and no default."""

    def __init__(self, seed: int = 0) -> None:
        self.graph = Graph("net")
        self.values: dict[str, Tensor] = {}
        self.random = torch.Generator().manual_seed(seed)

    def input(self, *shape: Any, name: str = "x") -> NodeId:
        type = TensorType(tuple(shape))
        self.graph.inputs[name] = self.graph.add(Node(Input(name, type), (), {}, type, name, (span(name),)))
        return self.graph.inputs[name]

    def param(self, path: str, *shape: int) -> Param:
        self.values[path] = torch.randn(shape, dtype=torch.float64, generator=self.random)
        return Param(path, TensorType(shape))

    def node(self, op: Operator, path: str = "", named: bool = False, /, **operands: Any) -> NodeId:
        given = {name: value for name, value in operands.items() if value is not None}
        types = {n: self.graph[v].type if isinstance(v, int) else v.type for n, v in given.items()}
        inputs = tuple(v for v in given.values() if isinstance(v, int))
        weights = {n: v for n, v in given.items() if not isinstance(v, int)}
        return self.graph.add(Node(op, inputs, weights, op.infer(types), path, (span(path),), named))

    def output(self, *ids: NodeId) -> Net:
        self.graph.outputs = {f"y{i}": id for i, id in enumerate(ids)}
        return self

    # ------------------------------------------------------------ layers

    def conv(
        self,
        x: NodeId,
        path: str,
        out: int,
        kernel: Sequence[int] = (3, 3),
        *,
        padding: Sequence[tuple[int, int]] | int = 0,
        stride: Sequence[int] | int = 1,
        dilation: Sequence[int] | int = 1,
        groups: int = 1,
        mode: str = "constant",
        bias: bool = True,
        weight: Expr | None = None,
    ) -> NodeId:
        rank = len(kernel)
        op = Conv(ints(stride, rank), pairs(padding, rank), ints(dilation, rank), groups, mode)
        weight = weight or self.param(f"{path}.weight", out, self.channels(x) // groups, *kernel)
        return self.node(op, path, x=x, weight=weight, bias=self.param(f"{path}.bias", out) if bias else None)

    def conv_transpose(
        self,
        x: NodeId,
        path: str,
        out: int,
        kernel: Sequence[int] = (3, 3),
        *,
        padding: Sequence[tuple[int, int]] | int = 0,
        stride: int = 1,
        dilation: Sequence[int] | int = 1,
        groups: int = 1,
        extra: int = 0,
        bias: bool = True,
    ) -> NodeId:
        rank = len(kernel)
        op = ConvTranspose((stride,) * rank, pairs(padding, rank), ints(dilation, rank), groups, ints(extra, rank))
        weight = self.param(f"{path}.weight", self.channels(x), out // groups, *kernel)
        return self.node(op, path, x=x, weight=weight, bias=self.param(f"{path}.bias", out) if bias else None)

    def linear(self, x: NodeId, path: str, out: int, bias: bool = True) -> NodeId:
        weight = self.param(f"{path}.weight", out, self.channels(x, -1))
        return self.node(Linear(), path, x=x, weight=weight, bias=self.param(f"{path}.bias", out) if bias else None)

    def batch_norm(self, x: NodeId, path: str, *, affine: bool = True, tracked: bool = True) -> NodeId:
        """With a negative and a zero γ."""
        c = self.channels(x)
        parts: dict[str, Expr] = {}
        if affine:
            parts = {"weight": self.param(f"{path}.weight", c), "bias": self.param(f"{path}.bias", c)}
            self.values[f"{path}.weight"][0] = -0.7
            self.values[f"{path}.weight"][c // 2] = 0.0 if c > 1 else -0.7
        if tracked:
            parts["running_mean"] = self.param(f"{path}.running_mean", c)
            parts["running_var"] = self.param(f"{path}.running_var", c)
            self.values[f"{path}.running_var"].abs_().add_(0.05)
        return self.node(BatchNorm(EPS), path, x=x, **parts)

    def affine(self, x: NodeId, path: str, axis: int = 1, *, scale: bool = True, shift: bool = True) -> NodeId:
        c = self.channels(x, axis)
        weight = self.param(f"{path}.weight", c) if scale else None
        bias = self.param(f"{path}.bias", c) if shift else None
        return self.node(Affine(axis), path, x=x, weight=weight, bias=bias)

    def avg_pool(
        self, x: NodeId, path: str, kernel: Sequence[int] = (3, 3), *, padding: int = 0, stride: int = 1, **flags: bool
    ) -> NodeId:
        rank = len(kernel)
        return self.node(AvgPool(tuple(kernel), (stride,) * rank, pairs(padding, rank), **flags), path, x=x)

    def pad(self, x: NodeId, width: int, path: str = "pad", *, value: Expr | None = None) -> NodeId:
        """Along the spatial axes."""
        widths = ((0, 0), (0, 0), *pairs(width, self.graph[x].type.rank - 2))
        return self.node(Pad(widths), path, x=x, value=value)

    def sum(self, *terms: NodeId | Expr, path: str = "sum", weights: Sequence[Any] = (), named: bool = False) -> NodeId:
        coefficients = tuple(Fraction(c) for c in weights or (1,) * len(terms))
        return self.node(Sum(coefficients), path, named, **{str(i): term for i, term in enumerate(terms)})

    def relu(self, x: NodeId, path: str = "relu") -> NodeId:
        return self.node(Function("relu"), path, x=x)

    def reshape(self, x: NodeId, *shape: Any) -> NodeId:
        return self.node(Reshape(tuple(shape)), x=x)

    def channels(self, x: NodeId, axis: int = 1) -> int:
        size = self.graph[x].type.shape[axis]
        assert isinstance(size, int)
        return size


def span(text: str) -> Span:
    return Span(Source("net.rep", text or "?"), 0, 1)


def pairs(padding: Sequence[tuple[int, int]] | int, rank: int) -> tuple[tuple[int, int], ...]:
    return ((padding, padding),) * rank if isinstance(padding, int) else tuple(padding)


def ints(value: Sequence[int] | int, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


@dataclass
class Folded:
    """A folded network beside what it was."""

    net: Net
    graph: Graph
    trace: Trace

    def count(self) -> dict[str, int]:
        """How many operators of each kind are left, inputs aside."""
        counted = Counter(self.graph[id].op.name for id in self.graph)
        return {name: count for name, count in counted.items() if name != "input"}

    def rules(self) -> list[str]:
        return [step.rule for step in self.trace.steps]

    def stored(self) -> list[str]:
        return sorted(storage(self.graph).tensors)

    def error(self, sizes: dict[str, int] | None = None) -> float:
        """The largest difference of an output, relative to its largest value."""
        before = self._outputs(self.net.graph, sizes or {})
        after = self._outputs(self.graph, sizes or {})
        assert [y.shape for y in before] == [y.shape for y in after]
        assert all(y.any() for y in before), "zeros compare with nothing"
        return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(after, before, strict=True))

    def _outputs(self, graph: Graph, sizes: dict[str, int]) -> list[Tensor]:
        random = torch.Generator().manual_seed(1)
        inputs = {
            name: torch.randn(
                [d if isinstance(d, int) else d.evaluate(sizes) for d in graph[id].type.shape],
                dtype=torch.float64,
                generator=random,
            )
            for name, id in self.net.graph.inputs.items()
        }
        found = run(graph, TorchField(), inputs, self.net.values)
        return [found[id] for id in graph.outputs.values()]


def folded(net: Net, **options: Any) -> Folded:
    """The network folded; what it was is untouched."""
    before = list(net.graph)
    graph, trace = fold(net.graph, Options(**options))
    assert list(net.graph) == before
    return Folded(net, graph, trace)
