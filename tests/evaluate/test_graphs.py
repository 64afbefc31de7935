"""Running a graph: against torch, only what is wanted, and with inputs that do not fit."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from repc.backends.torch import initial_values
from repc.diagnostics import Failure, Source
from repc.evaluate import run, sizes
from repc.evaluate.floating import TorchField
from repc.ir.dims import symbol
from repc.ir.graph import Graph
from repc.ops import Function, Multiply, Sum
from repc.semantics import FileLibrary, elaborate, load
from tests.evaluate.test_expressions import Counting
from tests.ir.nets import ONE, B, H, add_input, add_node, conv_bn_net


def weights() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    made = {name: torch.randn(4, generator=generator) for name in ("bn.weight", "bn.bias", "bn.running_mean")}
    made["bn.running_var"] = torch.rand(4, generator=generator) + 0.5
    made["conv.weight"] = torch.randn(4, 2, 3, 3, generator=generator)
    return {**made, "bn.num_batches_tracked": torch.tensor(5)}


def expected(image: Tensor, given: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    conv = F.conv2d(image, given["conv.weight"], padding=1)
    mean, var, weight, bias = (given[f"bn.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
    return conv, (F.relu(F.batch_norm(conv, mean, var, weight, bias, eps=1e-3)) - 2 * conv).flatten(1)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
def test_a_network_computes_what_torch_computes(dtype: torch.dtype, tolerance: float) -> None:
    graph, given = conv_bn_net(), weights()
    image = torch.randn(2, 2, 5, 7)
    found = run(graph, TorchField(dtype), {"image": image}, given)
    exact = {name: value.double() for name, value in given.items()}
    _, out = expected(image.double(), exact)
    assert list(found) == [graph.outputs["out"]]
    assert found[5].dtype == dtype
    torch.testing.assert_close(found[5].double(), out, rtol=tolerance, atol=tolerance)


def test_only_the_wanted_values_are_computed() -> None:
    given = {"conv.weight": weights()["conv.weight"]}
    found = run(conv_bn_net(), TorchField(), {"image": torch.ones(1, 2, 3, 3)}, given, wanted=[1, 0])
    assert set(found) == {0, 1}
    conv = F.conv2d(torch.ones(1, 2, 3, 3).double(), given["conv.weight"].double(), padding=1)
    torch.testing.assert_close(found[1], conv, rtol=1e-14, atol=1e-14)


def chain(length: int) -> Graph:
    graph = Graph("Chain")
    last = add_input(graph, "x", B, 3)
    for _ in range(length):
        last = add_node(graph, Multiply(), (last, 0), "")
    graph.outputs["out"] = last
    return graph


def test_a_value_is_dropped_after_its_last_use() -> None:
    field, x = Counting(), torch.ones(2, 3)
    run(chain(40), field, {"x": x}, {})
    assert (field.products, field.most) == (40, 2)
    kept = run(chain(5), TorchField(), {"x": x}, {}, wanted=range(6))
    assert set(kept) == set(range(6))


def test_gradients_pass_through_to_inputs_and_parameters() -> None:
    image = torch.randn(2, 2, 5, 7, dtype=torch.float64, requires_grad=True)
    given = {name: value.double() if value.is_floating_point() else value for name, value in weights().items()}
    leaves = [image, given["conv.weight"].requires_grad_(), given["bn.weight"].requires_grad_()]
    (value,) = run(conv_bn_net(), TorchField(), {"image": image}, given).values()
    _, out = expected(image, given)
    for ours, theirs in zip(
        torch.autograd.grad((value**2).sum(), leaves), torch.autograd.grad((out**2).sum(), leaves), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


def test_sizes_are_bound_by_the_inputs() -> None:
    assert sizes(conv_bn_net(), {"image": (3, 2, 5, 7)}) == {"b": 3, "h": 5, "w": 7}


def two_inputs() -> Graph:
    graph = Graph("Two")
    x, y = add_input(graph, "mask", B, 2 * H), add_input(graph, "image", B, H)
    graph.outputs["x"] = add_node(graph, Function("relu"), (x,), "x")
    graph.outputs["y"] = add_node(graph, Sum((ONE,)), (y,), "y")
    return graph


def test_a_size_may_be_bound_by_a_later_input() -> None:
    assert sizes(two_inputs(), {"mask": (1, 6), "image": (1, 3)}) == {"b": 1, "h": 3}


@pytest.mark.parametrize(
    ("shapes", "code", "message"),
    [
        (
            {"mask": (1, 6), "image": (2, 3)},
            "E801",
            "image has the shape [2, 3], not f32[b, h]: axis 0 is 2, and b is 1",
        ),
        ({"mask": (1, 7), "image": (1, 3)}, "E801", "mask has the shape [1, 7], not f32[b, 2*h]: axis 1 is 7, and 2*h"),
        ({"mask": (1, 6), "image": (1, 3, 1)}, "E801", "image has the shape [1, 3, 1], not f32[b, h]: it needs 2 axes"),
        ({"mask": (1, 6)}, "E802", "image is missing"),
        ({"mask": (1, 6), "image": (1, 3), "imag": (1,)}, "E803", "there is no input imag"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(shapes: dict[str, tuple[int, ...]], code: str, message: str) -> None:
    with pytest.raises(Failure) as failure:
        sizes(two_inputs(), shapes)
    (found,) = failure.value.diagnostics
    assert found.code == code
    assert message in found.title
    assert found.help


def test_a_size_that_no_input_gives_is_named() -> None:
    graph = Graph("Odd")
    add_input(graph, "x", 2 * symbol("k"))
    with pytest.raises(Failure, match="needs k, which no input gives"):
        sizes(graph, {"x": (4,)})


def test_a_fixed_size_is_checked() -> None:
    with pytest.raises(Failure, match="axis 1 is 3 instead of 2"):
        run(conv_bn_net(), TorchField(), {"image": torch.ones(1, 3, 4, 4)}, weights())


@pytest.mark.parametrize(
    ("layers", "shape", "message"),
    [
        ("MaxPool(2) >> small: Conv(3, 3) >> Conv(3, 3)", (1, 2, 9, 5), "conv at small: a window of 3 does not fit"),
        ('wide: Conv(3, 5, pad=3, mode="reflect")', (1, 2, 9, 2), "conv at wide: reflect padding of 3 needs more than"),
        ("cut: ConvTranspose(3, 2, pad=2)", (1, 2, 2, 9), "conv_transpose at cut: padding (2, 2) leaves nothing"),
        ("GlobalAvgPool()", (1, 2, 0, 9), "adaptive_avg_pool at the top: axis 2 of f32[1, 2, 0, 9] has nothing in it"),
    ],
)
def test_a_free_size_that_is_too_small_is_refused_where_it_matters(
    layers: str, shape: tuple[int, ...], message: str
) -> None:
    text = f"repc 1\nimport std.conv\nmodel M(x: f32[b, 2, h, w]) = x >> {layers}"
    graph = elaborate(load(Source("m.rep", text), FileLibrary()), "M")
    values = initial_values(graph.parameters, seed=0)
    with pytest.raises(Failure) as failure:
        run(graph, TorchField(), {"x": torch.ones(shape)}, values)
    (found,) = failure.value.diagnostics
    assert found.code == "E806"
    assert message in found.title
    assert f"h is {shape[2]} and w is {shape[3]}" in found.title
    assert found.help
    assert found.primary is not None
    assert str(found.primary.span).startswith("m.rep:3:")
