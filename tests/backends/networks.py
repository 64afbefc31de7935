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
from repc.ir.expr import Expr, Param, apply
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId, Parameter
from repc.ir.operator import Operator
from repc.ir.storage import storage
from repc.ir.types import TensorType
from repc.ops import BatchNorm, Conv, Fill, Function, Input, Linear, Random, Sum

SPAN = Span(Source("test.rep", "model"), 0, 5)
EPS = Fraction(1, 100_000)


class Builder:
    """Adds nodes to a graph. Operands are given by name: node ids, weight expressions, or shapes of new weights."""

    def __init__(self, name: str = "Model") -> None:
        self.graph = Graph(name)

    def input(self, name: str, *shape: Any, dtype: str = "f32") -> NodeId:
        type = TensorType(tuple(shape), dtype)
        self.graph.inputs[name] = self.graph.add(Node(Input(name, type), (), {}, type, "", (SPAN,)))
        return self.graph.inputs[name]

    def weight(self, path: str, *shape: int, init: Expr | None = None, **facts: Any) -> Param:
        """Declare a weight, by default with normal random numbers as its initial value."""
        dtype = facts.pop("dtype", "f32")
        init = init or apply(Random("normal", shape, 0.0, 0.3))
        param = Param(path, TensorType(shape, dtype))
        declared = {"buffer": False, "trainable": True, "span": SPAN} | facts
        self.graph.parameters[path] = Parameter(path, param.type, init, **declared)
        return param

    def node(self, op: Operator, path: str = "", **operands: NodeId | Expr) -> NodeId:
        inputs = tuple(value for value in operands.values() if isinstance(value, int))
        weights = {name: value for name, value in operands.items() if not isinstance(value, int)}
        types = {n: self.graph[v].type if isinstance(v, int) else v.type for n, v in operands.items()}
        return self.graph.add(Node(op, inputs, weights, op.infer(types), path, (SPAN,)))

    def output(self, **outputs: NodeId) -> Graph:
        self.graph.outputs.update(outputs)
        return self.graph

    # ------------------------------------------------------------ layers as a spec declares them

    def conv(self, x: NodeId, path: str, co: int, k: int = 3, stride: int = 1, groups: int = 1, **facts: Any) -> NodeId:
        bias, pad = facts.get("bias", False), facts.get("pad", k // 2)
        ci = self.channels(x)
        rank = self.graph[x].type.rank - 2
        op = Conv((stride,) * rank, ((pad, pad),) * rank, (1,) * rank, groups)
        weights: dict[str, Expr] = {"weight": self.weight(f"{path}.weight", co, ci // groups, *(k,) * rank)}
        if bias:
            weights["bias"] = self.weight(f"{path}.bias", co)
        return self.node(op, path, x=x, **weights)

    def batch_norm(self, x: NodeId, path: str, momentum: float | None = 0.1) -> NodeId:
        return self.node(BatchNorm(EPS, momentum), path, x=x, **self.statistics(path, self.channels(x)))

    def statistics(self, path: str, c: int) -> dict[str, Expr]:
        """Random numbers everywhere, so that nothing is a default."""
        positive = apply(Random("uniform", (c,), 0.5, 2.0))
        count = apply(Fill((), Fraction(3), "i64"))
        return {
            "weight": self.weight(f"{path}.weight", c),
            "bias": self.weight(f"{path}.bias", c),
            "running_mean": self.weight(f"{path}.running_mean", c, buffer=True, trainable=False),
            "running_var": self.weight(f"{path}.running_var", c, init=positive, buffer=True, trainable=False),
            "num_batches_tracked": self.weight(
                f"{path}.num_batches_tracked", init=count, dtype="i64", buffer=True, trainable=False
            ),
        }

    def linear(self, x: NodeId, path: str, out: int) -> NodeId:
        features = self.graph[x].type.shape[-1]
        assert isinstance(features, int)
        return self.node(
            Linear(),
            path,
            x=x,
            weight=self.weight(f"{path}.weight", out, features),
            bias=self.weight(f"{path}.bias", out),
        )

    def sum(self, *terms: NodeId, path: str = "") -> NodeId:
        return self.node(Sum((Fraction(1),) * len(terms)), path, **{str(i): term for i, term in enumerate(terms)})

    def function(self, name: str, x: NodeId, path: str = "") -> NodeId:
        return self.node(Function(name), path, x=x)

    def channels(self, x: NodeId) -> int:
        channels = self.graph[x].type.shape[1]
        assert isinstance(channels, int)
        return channels


def stored_values(graph: Graph, state: Mapping[str, Tensor], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """What an inference module of the graph stores, from the state_dict of its training module."""
    values = evaluate(storage(graph).tensors, TorchField(torch.float64), dict(state))
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in values.items()}
