"""Random networks, with modules that lie and share in every way that an importer might find."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from repc.backends.spec import Lifted, lift
from repc.diagnostics import Source, Span
from repc.ir.dims import symbol
from repc.ir.expr import Expr, Param, apply
from repc.ir.foreign import Dtype, Hole, Named, OnnxCall, TorchCall
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId, Parameter
from repc.ir.operator import Operator
from repc.ir.types import TensorType
from repc.ops import Affine, BatchNorm, Concat, Conv, Fill, Function, Input, Multiply, PRelu, Reduce, Slice, Sum
from repc.ops.build import add, mul, reshape, scale
from repc.ops.opaque import Opaque
from repc.syntax.printer import format_text
from repc.verify import check_spec

Draw = Callable[[st.SearchStrategy[Any]], Any]
SPAN = Span(Source("test", "text"), 0, 4)
ZERO, ONE = Fraction(0), Fraction(1)
CHANNELS = 4
PLACES = [
    "",
    "a",
    "a.b",
    "a.b.c",
    "blocks.0",
    "blocks.1",
    "blocks.2",
    "blocks.0.d",
    "blocks.1.d",
    "s.0.0",
    "s.0.1",
    "s.1",
]


class Network:
    """A graph under construction, all values of which have one shape, so that any may follow any."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.graph = Graph("Network")
        self.shape = (symbol("b"), CHANNELS, symbol("h"), symbol("w"))
        self.values = [self.input("x"), self.input("z")]

    def input(self, name: str) -> NodeId:
        type = TensorType(self.shape)
        self.graph.inputs[name] = self.graph.add(Node(Input(name, type), (), {}, type, name, (SPAN,)))
        return self.graph.inputs[name]

    def node(self, op: Operator, path: str, named: bool = False, /, **operands: Any) -> NodeId:
        types = {n: self.graph[v].type if isinstance(v, int) else v.type for n, v in operands.items()}
        inputs = tuple(v for v in operands.values() if isinstance(v, int))
        weights = {n: v for n, v in operands.items() if not isinstance(v, int)}
        return self.graph.add(Node(op, inputs, weights, op.infer(types), path, (SPAN,), named))

    def weight(self, path: str, *shape: int, dtype: str = "f32", buffer: bool = False) -> Param:
        """A parameter, which another part of the network may have declared; it has another key now and then."""
        if path not in self.graph.parameters:
            type = TensorType(shape, dtype)
            taken = {alias for parameter in self.graph.parameters.values() for alias in parameter.aliases}
            alias = f"{self.draw(st.sampled_from(PLACES[1:]))}.tied{len(self.graph.parameters)}"
            aliases = (alias,) if alias not in taken and not self.draw(st.integers(0, 9)) else ()
            init = apply(Fill(shape, Fraction(0), dtype))
            self.graph.parameters[path] = Parameter(path, type, init, buffer, not buffer, SPAN, aliases)
        return Param(path, self.graph.parameters[path].type)

    def value(self) -> NodeId:
        """Any value, a late one rather than an early one."""
        return self.values[-self.draw(st.integers(1, min(4, len(self.values))))]

    def key(self, place: str, name: str) -> str:
        """The key of a parameter: of the module, of a part of it, or of any other module."""
        place = self.draw(st.sampled_from([place, place, place, f"{place}.part" if place else "part", *PLACES]))
        return f"{place}.{name}" if place else name

    def step(self) -> None:
        make = self.draw(st.sampled_from(STEPS))
        place = self.draw(st.sampled_from(PLACES))
        self.values.append(make(self, place, self.draw))

    def finish(self) -> Graph:
        """Nodes that nothing reads are no part of a network."""
        outputs = self.draw(st.integers(1, 2))
        self.graph.outputs = dict(zip(("logits", "features")[:outputs], self.values[::-1], strict=False))
        return self.graph


def vector(net: Network, place: str, draw: Draw) -> Expr:
    """A weight with a size for each channel, computed or not."""
    a = net.weight(net.key(place, "gamma"), CHANNELS)
    b = net.weight(net.key(place, "beta"), CHANNELS)
    return draw(st.sampled_from([a, a, add(a, b), mul(a, b), scale(a, Fraction(1, 3)), add(mul(a, b), b)]))


def conv(net: Network, place: str, draw: Draw) -> NodeId:
    groups, mode = draw(st.sampled_from([(1, "constant"), (2, "reflect"), (4, "constant")]))
    kernel = draw(st.sampled_from([1, 3]))
    path = f"{place}.conv" if draw(st.booleans()) and place else place
    prefix = f"{path}." if path else ""
    key = prefix if draw(st.integers(0, 4)) else f"shared{groups}{kernel}."
    if f"{key}weight" in net.graph.parameters and net.graph.parameters[f"{key}weight"].type.shape != (
        CHANNELS,
        CHANNELS // groups,
        kernel,
        kernel,
    ):
        key = f"other{groups}{kernel}."
    weight = net.weight(f"{key}weight", CHANNELS, CHANNELS // groups, kernel, kernel)
    op = Conv((1, 1), ((kernel // 2,) * 2,) * 2, (1, 1), groups, mode)
    return net.node(op, path, x=net.value(), weight=weight)


def norm(net: Network, place: str, draw: Draw) -> NodeId:
    path = f"{place}.bn{draw(st.integers(0, 3))}" if place else "bn"
    names = ["weight", "bias", "running_mean", "running_var"][0 if draw(st.booleans()) else 2 :]
    parts = {name: net.weight(f"{path}.{name}", CHANNELS, buffer="running" in name) for name in names}
    count = net.weight(f"{path}.num_batches_tracked", dtype="i64", buffer=True)
    return net.node(BatchNorm(Fraction(1, 1000)), path, x=net.value(), **parts, num_batches_tracked=count)


def function(net: Network, place: str, draw: Draw) -> NodeId:
    op = draw(
        st.sampled_from([Function("relu"), Function("gelu_tanh"), Function("clip", (Fraction(-1), Fraction(1, 3)))])
    )
    return net.node(op, draw(st.sampled_from([place, "act", f"{place}.act" if place else "act"])), x=net.value())


def total(net: Network, place: str, draw: Draw) -> NodeId:
    terms = [net.value() for _ in range(draw(st.integers(1, 3)))]
    coefficients = draw(
        st.sampled_from(
            [
                (1,) * len(terms),
                (Fraction(1, len(terms)),) * len(terms),
                (1, -1)[: len(terms)],
                (-2, 3, 1)[: len(terms)],
            ]
        )
    )
    if len(coefficients) < len(terms):
        coefficients = (1,) * len(terms)
    named = draw(st.booleans())
    path = f"{place}.total" if named and place else "total" if named else place
    op = Sum(tuple(map(Fraction, coefficients)))
    return net.node(op, path, named, **{str(i): term for i, term in enumerate(terms)})


def product(net: Network, place: str, draw: Draw) -> NodeId:
    return net.node(Multiply(), place, a=net.value(), b=net.value())


def affine(net: Network, place: str, draw: Draw) -> NodeId:
    parts = {"weight": vector(net, place, draw), "bias": vector(net, place, draw)}
    chosen = draw(st.sampled_from([("weight",), ("bias",), ("weight", "bias")]))
    return net.node(Affine(1), place, x=net.value(), **{name: parts[name] for name in chosen})


def weighted(net: Network, place: str, draw: Draw) -> NodeId:
    turned = reshape(vector(net, place, draw), (CHANNELS, 1, 1))
    if draw(st.booleans()):
        return net.node(Sum((ONE, -ONE)), place, **{"0": turned, "1": net.value()})
    return net.node(Multiply(), place, a=net.value(), b=apply(Fill((), Fraction(draw(st.integers(-3, 9)), 7))))


def prelu(net: Network, place: str, draw: Draw) -> NodeId:
    return net.node(PRelu(), place, x=net.value(), weight=net.weight(net.key(place, "slopes"), 1))


def gate(net: Network, place: str, draw: Draw) -> NodeId:
    x = net.value()
    pooled = net.node(Reduce("mean", (2, 3), True), place, x=x)
    return net.node(Multiply(), place, a=x, b=net.node(Function("sigmoid"), place, x=pooled))


def halves(net: Network, place: str, draw: Draw) -> NodeId:
    """Parts of a tensor, put together in another order."""
    x = net.value()
    parts = [net.node(Slice(1, start, start + 2), place, x=x) for start in draw(st.permutations((0, 2, 0, 2)))]
    return net.node(Concat(1), draw(st.sampled_from(PLACES)), **{"0": parts[1], "1": parts[draw(st.integers(0, 3))]})


def unknown(net: Network, place: str, draw: Draw) -> NodeId:
    """A call that repc does not know, with two results, of which one may be read, or both."""
    x = net.value()
    type = net.graph[x].type
    args = (
        Hole(0),
        draw(st.integers(1, 3)),
        2.0,
        -0.5,
        float("inf"),
        (type.shape[2], Dtype("f16"), "mode", None),
        Named("torch.strided"),
    )
    call = TorchCall("aten.topk.default", args, ("f32",), (type, TensorType((), "i64"), type), {"largest": True})
    results = [net.node(Opaque(call, result), place, **{"0": x}) for result in (0, 1, 2)]
    if draw(st.booleans()):
        return results[draw(st.sampled_from([0, 2]))]
    node = OnnxCall("Mod", "ai.x", 18, bytes([draw(st.integers(0, 9)), 255]), ("a", "b"), ("f32", "f32"), (type,))
    return net.node(
        Opaque(node), draw(st.sampled_from(PLACES)), **{"0": results[0], "1": apply(Fill((), Fraction(1, 3)))}
    )


STEPS = [conv, conv, norm, function, function, total, product, affine, halves, weighted, gate, prelu, unknown]


@st.composite
def networks(draw: Draw) -> Graph:
    net = Network(draw)
    for _ in range(draw(st.integers(1, 14))):
        net.step()
    return net.finish()


def again(graph: Graph, classes: Mapping[str, str] | None = None) -> Lifted:
    """The text of a graph, which is canonical and means the graph."""
    lifted = lift(graph, classes)
    assert format_text(Source("lifted.rep", lifted.text)) == lifted.text
    return check_spec(lifted)
