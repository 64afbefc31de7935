"""Two graphs are one network, or it is said where they differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest

from repc.diagnostics import Source, Span
from repc.ir.expr import Param, apply
from repc.ir.foreign import Hole, TorchCall
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId, Parameter
from repc.ir.same import difference
from repc.ir.types import TensorType
from repc.ops import Fill, Function, Input, Multiply, Opaque
from repc.ops.build import add, mul

SPAN = Span(Source("test", "text"), 0, 4)
TYPE = TensorType((2, 3))
X, ONE, TWO, FIRST, SECOND, PRODUCT, ACT = range(7)


def network(shift: int = 0) -> Graph:
    """x · w, twice with the same w, one of them through a call that repc does not know; ids may begin further on."""
    graph = Graph("Net")
    graph._next = shift
    a = Param("a", TensorType((3,)))
    graph.parameters["a"] = Parameter("a", a.type, apply(Fill((3,), Fraction(0))), False, True, SPAN, ("b",))
    weight = mul(add(a, mul(a, a)), apply(Fill((), Fraction(2))))
    call = TorchCall("aten.max.dim", (Hole(0), 1), ("f32",), (TYPE, TYPE))

    def node(op: object, inputs: tuple[NodeId, ...], path: str, named: bool = False, **weights: object) -> NodeId:
        ids = tuple(shift + id for id in inputs)
        return graph.add(Node(op, ids, weights, TYPE, path, (SPAN,), named))  # pyright: ignore[reportArgumentType]

    graph.inputs["x"] = node(Input("x", TYPE), (), "x")
    node(Multiply(), (X,), "one", b=weight)
    node(Multiply(), (X,), "two", b=weight)
    node(Opaque(call, 0), (ONE,), "max")
    node(Opaque(call, 1), (ONE,), "max")
    graph.outputs["y"] = node(Multiply(), (FIRST, TWO), "")
    graph.outputs["z"] = node(Function("relu"), (SECOND,), "act")
    return graph


def test_numbers_of_nodes_and_dead_ones_do_not_count() -> None:
    other = network(shift=5)
    other.add(Node(Function("tanh"), (5,), {}, TYPE, "dead", (SPAN,)))
    assert difference(network(), other) is None
    assert difference(other, network()) is None


def changed(id: NodeId, **facts: object) -> Callable[[Graph], None]:
    return lambda graph: graph.replace(id, replace(graph[id], **facts))


def weights_apart(graph: Graph) -> None:
    a = Param("a", TensorType((3,)))
    graph.replace(TWO, replace(graph[TWO], weights={"b": mul(add(a, mul(a, a)), apply(Fill((), Fraction(2))))}))


def weight_shared(graph: Graph) -> None:
    graph.replace(TWO, replace(graph[TWO], weights={"b": Param("a", TensorType((3,)))}))


def calls_apart(graph: Graph) -> None:
    op = graph[SECOND].op
    assert isinstance(op, Opaque)
    graph.replace(SECOND, replace(graph[SECOND], op=replace(op, call=replace(op.call))))


def another_call(graph: Graph) -> None:
    call = TorchCall("aten.max.dim", (Hole(0), 0), ("f32",), (TYPE, TYPE))
    for id in (FIRST, SECOND):
        graph.replace(id, replace(graph[id], op=Opaque(call, id - FIRST)))


def parameter(**facts: object) -> Callable[[Graph], None]:
    def change(graph: Graph) -> None:
        graph.parameters["a"] = replace(graph.parameters["a"], **facts)

    return change


def renamed_output(graph: Graph) -> None:
    graph.outputs = {"q": graph.outputs["y"], "z": graph.outputs["z"]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed(ACT, op=Function("gelu")), "relu.*gelu"),
        (changed(ACT, path="other"), "'act' and 'other'"),
        (changed(ACT, named=True), "is at 'act'"),
        (changed(ACT, type=TensorType((2, 3), "f16")), "f32.*f16"),
        (changed(PRODUCT, inputs=(TWO, FIRST)), "Multiply.* at 'two'.* and Opaque"),
        (changed(PRODUCT, inputs=(FIRST, FIRST)), "Multiply.* at 'two'.* and Opaque.*max"),
        (changed(TWO, inputs=(ONE,)), "read in one place"),
        (weights_apart, "is read in one place of one and two of the other"),
        (weight_shared, "parameter a"),
        (calls_apart, "aten.max.dim"),
        (another_call, "aten.max.dim"),
        (parameter(buffer=True), "the parameter a is .*False.* and .*True"),
        (parameter(type=TensorType((3,), "f16")), "the parameter a is .*f16"),
        (parameter(aliases=("c",)), "the parameter a is .*'c'"),
        (lambda graph: graph.parameters.update(d=graph.parameters["a"]), "only Net has the parameter d"),
        (renamed_output, "x -> y, z"),
    ],
)
def test_a_difference_is_said(change: Callable[[Graph], None], said: str) -> None:
    other = network()
    change(other)
    for found in (difference(network(), other), difference(other, network())):
        assert found is not None
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(difference(network(), other))


def test_initial_values_and_frozen_weights_do_not_count() -> None:
    other = network()
    parameter(init=apply(Fill((3,), Fraction(1))), trainable=False)(other)
    assert difference(network(), other) is None
