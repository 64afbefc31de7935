"""The stage check passes a sound graph and catches each corruption."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from repc.ir.check import InvalidGraph, check
from repc.ir.dims import symbol
from repc.ir.expr import Param
from repc.ir.graph import Graph
from repc.ir.node import Node
from repc.ir.types import TensorType
from repc.ops import Function
from tests.ir.nets import ORIGIN, B, add_input, conv_bn_net, param

IMAGE, CONV, BN, RELU, SUM, FLAT = range(6)


def change(id: int, **fields: object) -> Callable[[Graph], None]:
    return lambda graph: graph.replace(id, replace(graph[id], **fields))


def reweigh(id: int, **weights: Param) -> Callable[[Graph], None]:
    return lambda graph: graph.replace(id, replace(graph[id], weights={**graph[id].weights, **weights}))


def dangling_output(graph: Graph) -> None:
    graph.outputs["lost"] = 99


def dangling_input(graph: Graph) -> None:
    graph.inputs["lost"] = 99


def input_with_operands(graph: Graph) -> None:
    graph.inputs["relu"] = RELU


def dead_node(graph: Graph) -> None:
    graph.add(Node(Function("relu"), (BN,), {}, graph[BN].type, "unused", ORIGIN))


def stale_edges(graph: Graph) -> None:
    """The node changes behind the back of the topology."""
    graph.order()  # makes the edges
    graph._nodes[RELU] = replace(graph[RELU], inputs=(CONV,))


def missing_weight(graph: Graph) -> None:
    graph.replace(CONV, replace(graph[CONV], weights={}))


CORRUPTIONS: list[tuple[Callable[[Graph], None], str]] = [
    (
        change(RELU, type=TensorType((B, 4))),
        r"%3 function at relu: it is said to be f32\[b, 4\] and is f32\[b, 4, h, w\]",
    ),
    (change(RELU, type=TensorType((B, 4, symbol("h"), symbol("w")), "f16")), "said to be f16"),
    (change(RELU, inputs=(99,)), "%3 function at relu: operand %99 does not exist"),
    (change(RELU, inputs=()), "operand x is missing"),
    (change(RELU, inputs=(BN, CONV)), "2 activations are more than it takes"),
    (change(RELU, inputs=(SUM,)), "depends on itself"),
    (change(RELU, inputs=(RELU,)), "%3 function at relu: it depends on itself"),
    (change(SUM, inputs=(RELU, CONV, CONV)), "a sum with 2 coefficients has 3 operands"),
    (change(SUM, inputs=(RELU, IMAGE)), "%4 sum at the top: .* do not broadcast"),
    (reweigh(CONV, weight=param("conv.weight", 4, 3, 3, 3)), "%1 conv at conv: x has 2 channels"),
    (reweigh(CONV, gain=param("gain", 4)), "there is no operand gain"),
    (reweigh(BN, weight=Param("bn.weight", TensorType((symbol("c"),)))), "not known when weights are computed"),
    (missing_weight, "operand weight is missing"),
    (dangling_output, "output lost is node %99"),
    (dangling_input, "input lost is node %99"),
    (input_with_operands, "it is the input relu and has operands"),
    (dead_node, "function at unused: no output depends on it"),
    (stale_edges, r"%1 conv at conv: its edges lead to \[2, 4\], and it is read by \[2, 3, 4\]"),
]


def test_a_sound_graph_passes() -> None:
    check(conv_bn_net())


@pytest.mark.parametrize(("corrupt", "fault"), CORRUPTIONS, ids=[fault for _, fault in CORRUPTIONS])
def test_a_corruption_is_named(corrupt: Callable[[Graph], None], fault: str) -> None:
    graph = conv_bn_net()
    corrupt(graph)
    with pytest.raises(InvalidGraph, match=fault):
        check(graph)


def test_an_unused_input_is_no_dead_node() -> None:
    graph = conv_bn_net()
    add_input(graph, "spare", B)
    check(graph)
