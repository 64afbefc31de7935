"""What one may do with a module: call it, copy it, store it, convert it."""

import copy
import gc
import inspect
import pickle
import weakref
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from repc.backends.torch import Network, inference_module, train_module
from repc.ir.dims import symbol
from repc.ir.graph import Graph
from repc.ops import BatchNorm, Eye, Fill, MatMul, Multiply, Reshape
from tests.backends.networks import EPS, B, Builder, lora, repvgg, repvgg_deploy, stored_values


def image(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def deployed(graph: Graph) -> Network:
    return inference_module(graph, stored_values(graph, train_module(graph, seed=0).state_dict()))


def two_ports() -> Graph:
    build = Builder("Pair")
    query = build.input("query", B, symbol("n"), 4)
    mask = build.input("mask", B, symbol("n"), symbol("n") * 2, dtype="bool")
    twice = build.concat(query, query)
    return build.output(keys=twice, mask=mask)


# ------------------------------------------------------------ inputs and outputs


def test_inputs_go_by_place_or_by_name() -> None:
    network = train_module(two_ports())
    query, mask = image(2, 3, 4), torch.ones(2, 3, 6, dtype=torch.bool)
    by_place, by_name = network(query, mask), network(mask=mask, query=query)
    assert list(by_place) == list(by_name) == ["keys", "mask"]
    assert torch.equal(by_place["keys"], torch.cat((query, query), 1))
    assert torch.equal(by_place["mask"], mask)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'mask'"):
        network(query)


@pytest.mark.parametrize(
    ("query", "mask", "error", "message"),
    [
        (image(2, 3), None, ValueError, "query is float32[2, 3], expected f32[b, n, 4]: it has 2 axes instead of 3"),
        (image(2, 3, 5), None, ValueError, "f32[b, n, 4]: axis 2 has size 5 instead of 4"),
        (
            image(2, 3, 4),
            torch.ones(1, 3, 6) > 0,
            ValueError,
            "mask is bool[1, 3, 6], expected bool[b, n, 2*n]: axis 0",
        ),
        (image(2, 3, 4), torch.ones(2, 3, 5) > 0, ValueError, "axis 2 has size 5 instead of 6"),
        (image(2, 3, 4), torch.ones(2, 3, 6), TypeError, "mask is float32[2, 3, 6], expected bool[b, n, 2*n]"),
        (torch.ones(2, 3, 4).long(), None, TypeError, "query is int64[2, 3, 4], expected f32[b, n, 4]: convert it"),
        ([1.0], None, TypeError, "query is a list, expected a tensor f32[b, n, 4]"),
    ],
)
def test_an_input_that_does_not_fit_is_named(query: object, mask: object, error: type, message: str) -> None:
    with pytest.raises(error) as raised:
        train_module(two_ports())(query, torch.ones(2, 3, 6, dtype=torch.bool) if mask is None else mask)
    assert message in str(raised.value)


def test_another_precision_than_that_of_the_weights_is_named() -> None:
    network = deployed(repvgg_deploy())
    with pytest.raises(TypeError, match=r"image is float64.*the weights are float32"):
        network(image(1, 3, 8, 8).double())
    assert network.double()(image(1, 3, 8, 8).double()).dtype == torch.float64


def test_free_sizes_are_taken_from_the_inputs() -> None:
    """A shape that is neither a single unknown nor read off the operand."""
    build = Builder()
    n, m = symbol("n"), symbol("lambda")
    flat = build.node(Reshape((n * m,)), x=build.input("x", n, m))
    network = train_module(build.output(y=build.node(Reshape((m, n)), x=flat)))
    x = image(3, 5)
    assert torch.equal(network(x), x.reshape(5, 3))
    assert torch.equal(network(x.T), x.T.reshape(3, 5))


def test_constants_have_the_type_of_the_weights() -> None:
    build = Builder()
    x = build.node(MatMul(), a=build.input("x", B, 3), b=build.node(Eye(3)))
    network = train_module(build.output(y=build.node(Multiply(), a=x, b=build.node(Fill((3,), EPS)))))
    for dtype in (torch.float64, torch.float16):
        assert network(torch.ones(2, 3, dtype=dtype)).dtype == dtype


# ------------------------------------------------------------ copies and files


@pytest.mark.parametrize("graph", [repvgg(), lora()], ids=lambda graph: graph.name)
def test_a_copy_is_independent_and_equal(graph: Graph) -> None:
    network = train_module(graph, seed=0).eval()
    x = image(2, 3, 8, 8) if "image" in graph.inputs else image(2, 6)
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network)), through_file(network)):
        assert torch.equal(other(x), network(x))
        with torch.no_grad():
            next(other.parameters()).add_(1)
        assert not torch.equal(other(x), network(x))


def through_file(network: nn.Module) -> nn.Module:
    file = BytesIO()
    torch.save(network, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def test_a_checkpoint_loads_strictly(tmp_path: Path) -> None:
    first, second = train_module(repvgg(), seed=0).eval(), train_module(repvgg(), seed=1).eval()
    torch.save(first.state_dict(), tmp_path / "a.pth")
    second.load_state_dict(torch.load(tmp_path / "a.pth", weights_only=True), strict=True)
    assert torch.equal(first(image(1, 3, 8, 8)), second(image(1, 3, 8, 8)))


# ------------------------------------------------------------ the inference module


def test_the_inference_module_stores_what_the_graph_names_and_stays_in_evaluation() -> None:
    graph = repvgg(dropout=0.5)
    network = train_module(graph, seed=0)
    fixed = inference_module(graph, stored_values(graph, network.state_dict()))
    assert list(fixed.state_dict()) == list(network.state_dict())
    assert not any(parameter.requires_grad for parameter in fixed.parameters())
    before = copy.deepcopy(fixed.state_dict())
    fixed.train()
    assert torch.equal(fixed(image(2, 3, 8, 8)), network.eval()(image(2, 3, 8, 8)))
    assert all(torch.equal(before[key], value) for key, value in fixed.state_dict().items())


def test_computed_weights_are_stored_under_their_operators() -> None:
    graph = lora()
    network = train_module(graph, seed=0)
    fixed = inference_module(graph, stored_values(graph, network.state_dict()))
    assert sorted(fixed.state_dict()) == ["fc.bias", "fc.weight", "out.bias", "out.weight"]
    assert type(fixed.fc) is nn.Linear
    assert torch.allclose(fixed(image(3, 6)), network(image(3, 6)), rtol=1e-5)


def test_batch_norm_over_the_data_stays_so_in_evaluation() -> None:
    build = Builder()
    x = build.input("x", B, 3)
    y = build.node(BatchNorm(EPS), "bn", x=x, weight=build.weight("bn.weight", 3), bias=build.weight("bn.bias", 3))
    network = deployed(build.output(y=y))
    assert type(network.bn) is nn.BatchNorm1d
    standard = (image(5, 3) - image(5, 3).mean(0)) / (image(5, 3).var(0, correction=0) + 1e-5).sqrt()
    assert torch.allclose(network(image(5, 3)), standard * network.bn.weight + network.bn.bias, atol=1e-5)


# ------------------------------------------------------------ precision, layout, memory


@pytest.mark.parametrize("graph", [repvgg(), lora()], ids=lambda graph: graph.name)
def test_mixed_precision_computes_in_bfloat16_and_trains_in_float32(graph: Graph) -> None:
    network = train_module(graph, seed=0)
    x = image(4, 3, 8, 8) if "image" in graph.inputs else image(4, 6)
    with torch.autocast("cpu", torch.bfloat16):
        y = network(x)
    assert y.dtype == torch.bfloat16
    y.float().square().sum().backward()
    assert {p.grad.dtype for p in network.parameters() if p.grad is not None} == {torch.float32}
    full = network(x)
    assert (y - full).abs().max() < 0.1 * full.abs().max()


def test_half_precision_and_channels_last() -> None:
    network = deployed(repvgg_deploy())
    x, expected = image(2, 3, 8, 8), network(image(2, 3, 8, 8))
    half = copy.deepcopy(network).to(torch.bfloat16)(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), expected, atol=0.1)
    assert copy.deepcopy(network).half()(x.half()).dtype == torch.float16
    last: Any = copy.deepcopy(network)
    last.to(memory_format=torch.channels_last)
    y = last(x.to(memory_format=torch.channels_last))
    assert torch.allclose(y, expected, atol=1e-5)
    assert last.stage0.rbr_reparam.weight.is_contiguous(memory_format=torch.channels_last)


def test_values_are_dropped_after_their_last_use() -> None:
    """No more than an operand and a result live at once in a chain of layers."""
    network = deployed(repvgg_deploy((6,), (4,)))
    alive: list[weakref.ref[Tensor]] = []
    most = 0

    def watch(module: nn.Module, args: tuple[Tensor], result: Tensor) -> None:
        nonlocal most
        alive.append(weakref.ref(result))
        gc.collect()
        most = max(most, sum(ref() is not None for ref in alive))

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(watch)
    with torch.no_grad():
        network(image(1, 3, 64, 64))
    assert len(alive) == 7
    assert most == 1


def test_the_text_of_the_forward_pass_can_be_read() -> None:
    network = train_module(lora())
    assert inspect.getsource(network.forward).splitlines() == [
        "def forward(self, x):",
        "    check(self, self._program.ports, [x])",
        "    fc_weight = self.fc.lora.B.weight @ self.fc.lora.A.weight",
        "    fc_weight = 1.5 * fc_weight",
        "    fc_weight = self.fc.weight + fc_weight",
        "    x = F.linear(x, fc_weight, self.fc.bias)",
        "    del fc_weight",
        "    x = F.relu(x)",
        "    x = self.out(x)",
        "    return x",
    ]
