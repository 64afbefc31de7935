"""Opaque calls in torch modules and in torch source: written once, as they were."""

import inspect

import pytest
import torch

from repc.backends.source.emit import emit
from repc.backends.torch import Network, inference_module, train_module
from repc.diagnostics import Failure
from repc.evaluate import run
from repc.evaluate.floating import TorchField
from repc.ir.dims import symbol
from repc.ir.expr import apply
from repc.ir.foreign import DEVICE, Dtype, Hole, TorchCall
from repc.ir.graph import Graph
from repc.ir.types import TensorType
from repc.ops import Function, Linear, Opaque
from tests.backends.networks import Builder
from tests.ops.test_opaque import onnx_call

N = symbol("n")


def call(target: str, *args: object, results: int = 1, **keywords: object) -> TorchCall:
    types = (TensorType((N, 3)), TensorType((N, 3), "i64"), TensorType((N, 3)))[:results]
    return TorchCall(target, args, ("f32",) * sum(isinstance(a, Hole) for a in args), types, keywords)  # type: ignore[arg-type]


def network() -> Graph:
    """Both results of one call, one of another, two of three, and one that takes a free size."""
    b = Builder()
    x = b.input("x", N, 5)
    topk = call("aten.topk.default", Hole(0), 3, -1, results=2)
    values, places = (b.node(Opaque(topk, i), "head.topk", **{"0": x}) for i in (0, 1))
    order = b.node(Opaque(call("torch.sort", Hole(0), results=2), 1), "head.order", **{"0": values})
    normal = call("aten.native_layer_norm.default", Hole(0), (3,), None, None, 0.1, results=3)
    one, three = (b.node(Opaque(normal, i), "norm", **{"0": values}) for i in (0, 2))
    numbers = call("aten.arange.default", N, dtype=Dtype("f32"), device=DEVICE)
    length = b.node(Opaque(numbers), "numbers")
    relu = b.node(Function("relu"), "act", x=one)
    return b.output(y=relu, places=places, order=order, root=three, numbers=length)


def compare(module: Network, graph: Graph, parameters: dict[str, torch.Tensor]) -> None:
    for rows in (1, 4):
        x = torch.randn(rows, 5, dtype=torch.float64)
        found = module(x)
        for name, id in graph.outputs.items():
            value = found[name] if isinstance(found, dict) else found
            expected = run(graph, TorchField(), {"x": x}, parameters)[id]
            assert value.dtype == expected.dtype
            assert torch.allclose(value, expected, rtol=1e-12, atol=1e-12)


def test_a_call_is_written_once_and_its_results_are_named() -> None:
    graph = network()
    module = inference_module(graph, {})
    compare(module, graph, {})
    text = inspect.getsource(module.forward)
    assert "x, topk = torch.ops.aten.topk.default(x, 3, -1)" in text
    assert "order = torch.sort(x)[1]" in text
    assert "x, _, norm = torch.ops.aten.native_layer_norm.default(x, [3], None, None, 0.1)" in text
    assert "del _" in text
    assert "torch.ops.aten.arange.default(n, dtype=like.dtype, device=like.device)" in text


def test_the_source_has_the_same_calls() -> None:
    graph = network()
    space: dict[str, object] = {"__file__": "net.py", "__name__": "net"}
    code = emit(graph, {}).code
    exec(compile(code, "net.py", "exec"), space)
    module = space["Model"]()  # type: ignore[operator]
    compare(module, graph, {})
    assert code.count("aten.topk") == 1


def test_a_result_that_nobody_reads_may_stand_in_the_graph() -> None:
    b = Builder()
    x = b.input("x", N, 5)
    topk = call("aten.topk.default", Hole(0), 3, -1, results=2)
    _, places = (b.node(Opaque(topk, i), "top", **{"0": x}) for i in (0, 1))
    graph = b.output(places=places)
    compare(train_module(graph).eval(), graph, {})


def test_a_weight_may_be_the_result_of_a_call() -> None:
    b = Builder()
    flipped = TorchCall("torch.flip", (Hole(0), (0,)), ("f32",), (TensorType((3, 5)),))
    weight = apply(Opaque(flipped), **{"0": b.weight("fc.weight", 3, 5)})
    graph = b.output(y=b.node(Linear(), "fc", x=b.input("x", N, 5), weight=weight))
    module = train_module(graph, seed=1).double()
    parameters = {name: value.detach() for name, value in module.state_dict().items()}
    compare(module.eval(), graph, parameters)
    module(torch.randn(2, 5, dtype=torch.float64)).sum().backward()
    assert module.fc.weight.grad is not None


def test_all_calls_of_onnx_are_refused_at_once() -> None:
    b = Builder()
    x, k = b.input("x", N, 5), b.input("k", dtype="i64")
    other = onnx_call("com.other")
    top = [b.node(Opaque(onnx_call(), i), "top", **{"0": x, "1": k}) for i in (0, 1)]
    graph = b.output(a=top[0], b=top[1], c=b.node(Opaque(other), "", **{"0": x, "1": k}))
    with pytest.raises(
        Failure, match=r"E724 torch has no form of the opaque operators TopK, com.other.TopK"
    ) as failure:
        inference_module(graph, {})
    (diagnostic,) = failure.value.diagnostics
    assert diagnostic.notes == ("opaque operator TopK at top", "opaque operator com.other.TopK at the top")
