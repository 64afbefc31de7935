"""Calls that repc does not know: how they are written down, grouped and counted."""

from repc.ir.dims import symbol
from repc.ir.expr import Apply, Param, apply
from repc.ir.foreign import DEVICE, Dtype, Hole, Named, OnnxCall, TorchCall
from repc.ir.printer import expression, print_graph
from repc.ir.types import TensorType
from repc.ops import Function, Opaque
from repc.ops.opaque import opaque_calls, opaque_names
from tests.backends.networks import Builder

N = symbol("n")
VALUES, PLACES = TensorType((N, 2)), TensorType((N, 2), "i64")


def topk() -> TorchCall:
    return TorchCall("aten.topk.default", (Hole(0), 2, -1), ("f32",), (VALUES, PLACES))


def arange() -> TorchCall:
    return TorchCall(
        "aten.arange.start", (1, N * 2 + 1), (), (TensorType((N * 2,)),), {"dtype": Dtype("f32"), "device": DEVICE}
    )


def onnx_call(domain: str = "") -> OnnxCall:
    return OnnxCall("TopK", domain, 13, b"node", ("x", "k"), ("f32", "i64"), (VALUES, PLACES))


def test_a_call_is_equal_to_itself_only_and_its_key_says_what_is_computed() -> None:
    first, second = topk(), topk()
    assert first != second
    assert Opaque(first, 1) == Opaque(first, 1) != Opaque(first)
    assert first.key == second.key != arange().key
    assert onnx_call().key == onnx_call().key != onnx_call("other").key


def test_a_call_gets_integers_where_it_has_sizes() -> None:
    call = arange()
    assert call.symbols == {"n"}
    found = Opaque(call).at({"n": 3}).call
    assert isinstance(found, TorchCall)
    assert found.args == (1, 7)
    assert found.types == (TensorType((6,)),)
    cut = TorchCall("torch.cat", ((slice(0, N, None), (N, "x")),), (), (VALUES,), {"dim": N})
    assert cut.at({"n": 3}).key == ("torch.cat", (((0, 3, None), (3, "x")),), (("dim", 3),))
    assert onnx_call().at({"n": 3}).types[0] == TensorType((3, 2))
    assert onnx_call().symbols == frozenset()


def test_the_results_of_a_call_stay_those_of_one_call() -> None:
    call = topk()
    first, second = (Opaque(call, i).at({"n": 3}) for i in (0, 1))
    assert first.call is second.call is not call
    plain = TorchCall("aten.sin.default", (Hole(0),), ("f32",), (TensorType((2,)),))
    assert Opaque(plain).at({"n": 3}).call is plain


def test_titles_are_what_a_person_calls_it() -> None:
    names = {
        "aten.topk.default": "topk",
        "aten.max.dim": "max",
        "torchvision.nms": "nms",
        "torch.nn.functional.pdist": "pdist",
    }
    for target, title in names.items():
        assert Opaque(TorchCall(target, (), (), (VALUES,))).title == title
    assert Opaque(onnx_call()).title == "TopK"
    assert (onnx_call().target, onnx_call("com.other").target) == ("TopK", "com.other.TopK")


def test_text_for_people() -> None:
    call = TorchCall("aten.to.dtype", (Hole(0), Dtype("f16"), (1, "a")), ("f32",), (VALUES,), {"f": Named("torch.x")})
    assert str(call) == "aten.to.dtype($0, f16, [1, 'a'], f=torch.x)"
    assert str(onnx_call()) == "TopK($0, $1)"
    weight = apply(Opaque(topk(), 1), **{"0": Param("w", TensorType((5,)))})
    assert expression(weight) == "aten.topk.default(w, result=1)"
    builder = Builder()
    graph = builder.output(y=builder.node(Opaque(topk()), "head", **{"0": builder.input("x", N, 5)}))
    assert "%1 = opaque(%0, call=aten.topk.default($0, 2, -1)): f32[n, 2]  # head" in print_graph(graph)


def test_the_results_of_one_call_belong_together() -> None:
    builder, call, weighted = Builder(), topk(), onnx_call()
    x = builder.input("x", N, 5)
    relu = builder.node(Function("relu"), x=x)
    count = Param("k", TensorType((), "i64"))
    places, values = (builder.node(Opaque(call, i), "a", **{"0": x}) for i in (1, 0))
    again = builder.node(Opaque(call, 0), "b", **{"0": x})
    of_other = builder.node(Opaque(call, 1), "c", **{"0": relu})
    tied = [builder.node(Opaque(weighted, i), "d", **{"0": x, "1": k}) for i, k in ((0, count), (1, twin(count)))]
    graph = builder.output(a=places, b=values, c=again, d=of_other, e=tied[0], f=tied[1])
    assert opaque_calls(graph) == [{1: places, 0: values}, {0: again}, {1: of_other}, {0: tied[0], 1: tied[1]}]
    topks = dict.fromkeys((places, again, of_other), "aten.topk.default")
    assert opaque_names(graph) == {**topks, tied[0]: "TopK"}


def twin(parameter: Param) -> Param:
    """Another expression for the same stored tensor."""
    return Param(parameter.path, parameter.type)


def test_a_weight_may_be_the_result_of_a_call() -> None:
    weight = apply(Opaque(topk()), **{"0": Param("w", TensorType((5,)))})
    assert isinstance(weight, Apply)
    assert weight.type == VALUES
