"""Small graphs for tests, built by hand."""

from fractions import Fraction

from repc.diagnostics import Source, Span
from repc.ir.dims import Dim, symbol
from repc.ir.expr import Expr, Param
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId
from repc.ir.operator import Operator
from repc.ir.types import TensorType
from repc.ops import BatchNorm, Conv, Function, Input, Reshape, Sum

ORIGIN = (Span(Source("net.rep", "text"), 0, 4),)
B, H, W = symbol("b"), symbol("h"), symbol("w")
ONE = Fraction(1)


def param(path: str, *shape: int, dtype: str = "f32") -> Param:
    return Param(path, TensorType(shape, dtype))


def add_input(graph: Graph, name: str, *shape: Dim) -> NodeId:
    type = TensorType(shape)
    graph.inputs[name] = graph.add(Node(Input(name, type), (), {}, type, name, ORIGIN))
    return graph.inputs[name]


def add_node(graph: Graph, op: Operator, inputs: tuple[NodeId, ...], path: str, **weights: Expr) -> NodeId:
    """A node with the type that its operator infers."""
    draft = Node(op, inputs, weights, TensorType(()), path, ORIGIN)
    types = {
        name: graph[source].type if isinstance(source, int) else source.type
        for name, source in draft.operands().items()
    }
    return graph.add(Node(op, inputs, weights, op.infer(types), path, ORIGIN))


def conv_bn_net() -> Graph:
    """image → conv → bn → relu, plus conv itself, flattened."""
    graph = Graph("Net")
    x = add_input(graph, "image", B, 2, H, W)
    conv = add_node(
        graph, Conv((1, 1), ((1, 1), (1, 1)), (1, 1)), (x,), "conv", weight=param("conv.weight", 4, 2, 3, 3)
    )
    names = ("weight", "bias", "running_mean", "running_var")
    weights = {name: param(f"bn.{name}", 4) for name in names}
    counter = param("bn.num_batches_tracked", dtype="i64")
    bn = add_node(graph, BatchNorm(Fraction(1, 1000)), (conv,), "bn", **weights, num_batches_tracked=counter)
    relu = add_node(graph, Function("relu"), (bn,), "relu")
    total = add_node(graph, Sum((ONE, Fraction(-2))), (relu, conv), "")
    graph.outputs["out"] = add_node(graph, Reshape((B, 4 * H * W)), (total,), "flat")
    return graph
