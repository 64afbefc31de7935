"""Topology: operands keep their edges, and rewriting touches what it must and nothing else."""

from dataclasses import replace

import pytest

from repc.ir.graph import Graph, value_names
from repc.ir.node import Node
from repc.ops import Function, Sum
from tests.ir.nets import ONE, B, add_input, add_node, conv_bn_net

RELU = Function("relu")


def pair() -> tuple[Graph, int, int]:
    """x → relu → relu + relu."""
    graph = Graph("Pair")
    x = add_input(graph, "x", B, 3)
    relu = add_node(graph, RELU, (x,), "relu")
    graph.outputs["out"] = add_node(graph, Sum((ONE, ONE)), (relu, relu), "sum")
    return graph, x, relu


def test_a_value_that_is_read_twice_has_two_edges() -> None:
    graph, _, relu = pair()
    total = graph.outputs["out"]
    assert graph.users(relu) == [total, total]
    assert graph.sole_user(relu) is None
    graph.replace(total, replace(graph[total], inputs=(relu,)))
    assert graph.users(relu) == [total]
    assert graph.sole_user(relu) == total


def test_an_output_has_no_sole_user() -> None:
    graph, x, relu = pair()
    assert graph.sole_user(x) == relu
    graph.outputs["early"] = x
    assert graph.sole_user(x) is None


def test_redirect_moves_every_edge_and_the_outputs() -> None:
    graph, x, relu = pair()
    total = graph.outputs["out"]
    graph.outputs["early"] = relu
    graph.redirect(relu, x)
    assert graph[total].inputs == (x, x)
    assert graph.users(x) == [relu, total, total]
    assert graph.users(relu) == []
    assert graph.outputs == {"out": total, "early": x}


def test_prune_removes_what_only_the_dead_needed() -> None:
    graph, x, relu = pair()
    other = add_node(graph, RELU, (relu,), "other")
    last = add_node(graph, RELU, (other,), "last")
    assert graph.prune(relu) == []
    assert graph.prune(last) == [last, other]
    assert relu in graph
    assert other not in graph
    total = graph.outputs.pop("out")
    assert graph.prune(total) == [total, relu]
    assert list(graph) == [x]
    assert graph.prune(x) == []


def test_a_value_that_is_read_cannot_be_removed() -> None:
    graph, _, relu = pair()
    with pytest.raises(AssertionError, match="still read"):
        graph.remove(relu)
    with pytest.raises(AssertionError, match="still read"):
        graph.remove(graph.outputs["out"])


def test_a_copy_is_independent() -> None:
    graph, x, relu = pair()
    copy = graph.copy()
    copy.redirect(relu, x)
    copy.prune(relu)
    extra = copy.add(Node(RELU, (x,), {}, copy[x].type, "extra", ()))
    assert relu in graph
    assert extra not in graph
    assert graph[graph.outputs["out"]].inputs == (relu, relu)
    assert list(graph.order()) == list(graph)
    assert graph.add(Node(RELU, (x,), {}, graph[x].type, "mine", ())) == extra


def test_the_order_is_topological_and_by_creation_in_ties() -> None:
    graph, x, relu = pair()
    late = add_node(graph, RELU, (x,), "late")
    total = graph.outputs["out"]
    graph.replace(total, replace(graph[total], inputs=(late, relu)))
    assert graph.order() == [x, relu, late, total]


def test_upstream_is_everything_needed() -> None:
    graph, x, relu = pair()
    assert graph.upstream([relu]) == {x, relu}
    assert graph.upstream(graph.outputs.values()) == set(graph)
    assert graph.upstream([]) == set()


def test_value_names_are_unique_and_follow_the_paths() -> None:
    graph = conv_bn_net()
    names = dict(value_names(graph, lambda node: node.op.name))
    assert list(names.values()) == ["image/input", "conv/conv", "bn/batch_norm", "relu/function", "sum", "flat/reshape"]
    add_node(graph, RELU, (2,), "relu")
    assert dict(value_names(graph, lambda node: node.op.name))[6] == "relu/function.1"
