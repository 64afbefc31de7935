"""A small builder of graphs, and the networks that the tests of the torch backends share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from repc.diagnostics import Source, Span
from repc.evaluate import evaluate
from repc.evaluate.floating import TorchField
from repc.ir.dims import symbol
from repc.ir.expr import Expr, Param, apply
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId, Parameter
from repc.ir.operator import Operator
from repc.ir.storage import storage
from repc.ir.types import TensorType
from repc.ops import (
    AdaptiveAvgPool,
    BatchNorm,
    Concat,
    Conv,
    Dropout,
    Fill,
    Function,
    Input,
    Linear,
    Random,
    Reshape,
    Sum,
)
from repc.ops.build import add, matmul, scale

SPAN = Span(Source("test.rep", "model"), 0, 5)
EPS = Fraction(1, 100_000)
B, H, W = symbol("b"), symbol("h"), symbol("w")


class Builder:
    """Adds nodes to a graph. Operands are given by name: node ids or weight expressions, typed loosely for brevity."""

    def __init__(self, name: str = "Model") -> None:
        self.graph = Graph(name)

    def input(self, name: str, *shape: Any, dtype: str = "f32") -> NodeId:
        type = TensorType(tuple(shape), dtype)
        self.graph.inputs[name] = self.graph.add(Node(Input(name, type), (), {}, type, "", (SPAN,)))
        return self.graph.inputs[name]

    def weight(self, path: str, *shape: int, init: Expr | None = None, dtype: str = "f32", **facts: Any) -> Param:
        """Declare a weight, by default with normal random numbers as its initial value."""
        param = Param(path, TensorType(shape, dtype))
        init = init or apply(Random("normal", shape, 0.0, 0.3))
        declared = {"buffer": False, "trainable": True, "span": SPAN} | facts
        self.graph.parameters[path] = Parameter(path, param.type, init, **declared)
        return param

    def buffer(self, path: str, *shape: int, init: Expr | None = None, dtype: str = "f32") -> Param:
        return self.weight(path, *shape, init=init, dtype=dtype, buffer=True, trainable=False)

    def node(self, op: Operator, path: str = "", **operands: Any) -> NodeId:
        inputs = tuple(value for value in operands.values() if isinstance(value, int))
        weights = {name: value for name, value in operands.items() if not isinstance(value, int)}
        types = {n: self.graph[v].type if isinstance(v, int) else v.type for n, v in operands.items()}
        return self.graph.add(Node(op, inputs, weights, op.infer(types), path, (SPAN,)))

    def output(self, **outputs: NodeId) -> Graph:
        self.graph.outputs.update(outputs)
        return self.graph

    # ------------------------------------------------------------ layers as a spec declares them

    def conv(self, x: NodeId, path: str, co: int, k: int = 3, stride: int = 1, bias: bool = False) -> NodeId:
        rank = self.graph[x].type.rank - 2
        op = Conv((stride,) * rank, ((k // 2, k // 2),) * rank, (1,) * rank)
        weights: dict[str, Expr] = {"weight": self.weight(f"{path}.weight", co, self.channels(x), *(k,) * rank)}
        if bias:
            weights["bias"] = self.weight(f"{path}.bias", co)
        return self.node(op, path, x=x, **weights)

    def batch_norm(self, x: NodeId, path: str, momentum: float | None = 0.1) -> NodeId:
        return self.node(BatchNorm(EPS, momentum), path, x=x, **self.statistics(path, self.channels(x)))

    def statistics(self, path: str, c: int) -> dict[str, Expr]:
        """Random numbers everywhere, so that nothing is a default."""
        return {
            "weight": self.weight(f"{path}.weight", c),
            "bias": self.weight(f"{path}.bias", c),
            "running_mean": self.buffer(f"{path}.running_mean", c),
            "running_var": self.buffer(f"{path}.running_var", c, init=apply(Random("uniform", (c,), 0.5, 2.0))),
            "num_batches_tracked": self.buffer(
                f"{path}.num_batches_tracked", init=apply(Fill((), Fraction(3), "i64")), dtype="i64"
            ),
        }

    def linear(self, x: NodeId, path: str, out: int) -> NodeId:
        features = self.graph[x].type.shape[-1]
        assert isinstance(features, int)
        weight, bias = self.weight(f"{path}.weight", out, features), self.weight(f"{path}.bias", out)
        return self.node(Linear(), path, x=x, weight=weight, bias=bias)

    def sum(self, *terms: NodeId, path: str = "") -> NodeId:
        return self.node(Sum((Fraction(1),) * len(terms)), path, **numbered(terms))

    def concat(self, *parts: NodeId) -> NodeId:
        return self.node(Concat(1), "", **numbered(parts))

    def relu(self, x: NodeId, path: str = "") -> NodeId:
        return self.node(Function("relu"), path, x=x)

    def head(self, x: NodeId, classes: int) -> NodeId:
        """Global average pool and a linear layer."""
        flat = self.node(
            Reshape((self.graph[x].type.shape[0], self.channels(x))), x=self.node(AdaptiveAvgPool((1, 1)), x=x)
        )
        return self.linear(flat, "linear", classes)

    def channels(self, x: NodeId) -> int:
        channels = self.graph[x].type.shape[1]
        assert isinstance(channels, int)
        return channels


def numbered(operands: Sequence[NodeId]) -> dict[str, Any]:
    return {str(i): operand for i, operand in enumerate(operands)}


def repvgg(depth: int = 2, width: int = 4, dropout: float = 0.0) -> Graph:
    """A narrow RepVGG in its training form: a stem and a stage of `depth` blocks."""
    build = Builder("RepVGG")
    x = build.input("image", B, 3, H, W)
    for path, stride in (("stage0", 2), *((f"stage1.{i}", 1) for i in range(depth))):
        dense = build.conv(x, f"{path}.rbr_dense.conv", width, stride=stride)
        branches = [build.batch_norm(dense, f"{path}.rbr_dense.bn")]
        point = build.conv(x, f"{path}.rbr_1x1.conv", width, 1, stride=stride)
        branches.append(build.batch_norm(point, f"{path}.rbr_1x1.bn"))
        if stride == 1:
            branches.append(build.batch_norm(x, f"{path}.rbr_identity"))
        x = build.relu(build.sum(*branches, path=path), path)
    if dropout:
        x = build.node(Dropout(dropout), x=x)
    return build.output(logits=build.head(x, 5))


def repvgg_deploy(depth: tuple[int, ...] = (2, 4), widths: tuple[int, ...] = (4, 8)) -> Graph:
    """The same in its deployed form, with several stages."""
    build = Builder("RepVGG")
    x = build.relu(build.conv(build.input("image", B, 3, H, W), "stage0.rbr_reparam", widths[0], 3, 2, True), "stage0")
    for stage, (count, width) in enumerate(zip(depth, widths, strict=True), start=1):
        for i in range(count):
            path = f"stage{stage}.{i}"
            x = build.relu(build.conv(x, f"{path}.rbr_reparam", width, 3, 1 if i else 2, True), path)
    return build.output(logits=build.head(x, 5))


def lora() -> Graph:
    """Two linear layers, the first with a low-rank update of a frozen weight."""
    build = Builder("Tuned")
    x = build.input("x", B, 6)
    frozen = build.weight("fc.weight", 8, 6, trainable=False)
    a, b = build.weight("fc.lora.A.weight", 2, 6), build.weight("fc.lora.B.weight", 8, 2)
    tuned = add(frozen, scale(matmul(b, a), Fraction(3, 2)))
    x = build.node(Linear(), "fc", x=x, weight=tuned, bias=build.weight("fc.bias", 8, trainable=False))
    return build.output(y=build.linear(build.relu(x), "out", 3))


def stored_values(graph: Graph, state: Mapping[str, Tensor], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """What an inference module of the graph stores, from the state_dict of its training module."""
    values = evaluate(storage(graph).tensors, TorchField(torch.float64), dict(state))
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in values.items()}
