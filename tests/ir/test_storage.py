"""Which tensors a graph stores, and what they are called."""

from repc.ir.storage import storage
from repc.ops import Conv, Linear, Sum, build
from tests.ir.nets import ONE, B, Graph, add_input, add_node, conv_bn_net, param


def test_a_plain_parameter_keeps_its_key() -> None:
    graph = conv_bn_net()
    found = storage(graph)
    assert list(found.tensors) == [
        "conv.weight",
        "bn.weight",
        "bn.bias",
        "bn.running_mean",
        "bn.running_var",
        "bn.num_batches_tracked",
    ]
    assert found.names[1, "weight"] == "conv.weight"
    assert found.tensors["conv.weight"] is graph[1].weights["weight"]


def heads() -> Graph:
    graph = Graph("Heads")
    add_input(graph, "x", B, 3)
    return graph


def test_a_tied_parameter_and_a_shared_expression_are_stored_once() -> None:
    graph = heads()
    tied = param("embed.weight", 3, 3)
    merged = build.add(param("base.weight", 3, 3), param("delta", 3, 3))
    for path, weight in (("a", tied), ("b", tied), ("c", merged), ("d", merged)):
        add_node(graph, Linear(), (0,), path, weight=weight)
    found = storage(graph)
    assert list(found.tensors) == ["embed.weight", "c.weight"]
    assert [found.names[id, "weight"] for id in range(1, 5)] == ["embed.weight"] * 2 + ["c.weight"] * 2


def test_an_expression_is_stored_at_its_operator_unless_that_name_is_taken() -> None:
    graph = heads()
    weight = param("fc.weight", 3, 3)
    add_node(graph, Linear(), (0,), "fc", weight=build.add(weight, weight))
    add_node(graph, Linear(), (0,), "fc", weight=build.sub(weight, weight))
    add_node(graph, Linear(), (0,), "", weight=build.eye(3))
    assert list(storage(graph).tensors) == ["fc.weight", "fc.weight_1", "weight"]
    add_node(graph, Linear(), (0,), "late", weight=weight)
    assert list(storage(graph).tensors) == ["fc.weight_1", "fc.weight_2", "weight", "fc.weight"]


def test_no_expression_is_called_as_a_part_of_the_network() -> None:
    graph = heads()
    doubled = build.add(param("w", 3, 3), param("w", 3, 3))
    add_node(graph, Linear(), (0,), "", weight=doubled)
    add_node(graph, Linear(), (0,), "weight.fc", weight=param("k", 3, 3))
    graph.outputs["weight_1"] = 1
    assert list(storage(graph).tensors) == ["weight_2", "k"]


def test_two_objects_of_one_parameter_are_one_tensor() -> None:
    graph = heads()
    for path in "ab":
        add_node(graph, Linear(), (0,), path, weight=param("shared", 3, 3))
    assert list(storage(graph).tensors) == ["shared"]


def test_operands_keep_the_order_of_the_operator() -> None:
    graph = heads()
    x = add_input(graph, "y", B, 2, 4)
    bias_first = {"bias": param("conv.bias", 5), "weight": param("conv.weight", 5, 2, 3)}
    conv = add_node(graph, Conv((1,), ((0, 0),), (1,)), (x,), "conv", **bias_first)
    assert list(graph[conv].operands()) == ["x", "weight", "bias"]
    total = add_node(graph, Sum((ONE, ONE)), (x,), "sum", **{"0": param("offset", 4)})
    assert list(graph[total].operands().items()) == [("0", graph[total].weights["0"]), ("1", x)]
