"""Every method of specs/adapters and specs/blocks: its formula, its training step, its merged and exported forms."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import repc
from repc.diagnostics import Source
from repc.ir.types import TensorType
from repc.ops.work import multiply_adds_of
from repc.semantics import FileLibrary, adapt_stored, load
from tests.specs.catalogue import METHODS
from tests.specs.catalogue_blocks import LAYERS
from tests.specs.catalogue_blocks import METHODS as OF_BLOCKS
from tests.specs.catalogue_saved import METHODS as SAVED
from tests.specs.method import Layer, Method

ADAPTERS = Path(__file__).parents[2] / "specs" / "adapters"
PARTS = {"Kronecker", "Tucker", "Skew", "Turned", "TurnedAlike", "Series", "Cayley", "Neumann", "Within", "Butterflied",
         "Woven", "Sorted", "Reflections", "Mixed", "Mixture", "Chosen", "Train", "Onto", "Pairs", "Paired", "Shifted",
         "Correction", "Shift", "Nested", "Square", "Activation", "Generators", "Crossed", "Cross"}  # fmt: skip
"""Blocks that adapters are made of."""
OTHER_SHAPES = {"LoRAExperts", "LoRAExpertsTransposed", "LoKrShifted", "LoKrFirstShifted"}
"""Adapters of weights with three axes, which are tested with the files that they come from."""
BY_NAME = {method.name: method for method in (*METHODS, *SAVED, *OF_BLOCKS)}


def layer(method: Method, name: str = "fc") -> str:
    """A layer whose weight has the shape of the method."""
    o, kernel = method.shape[0], list(method.shape[2:])
    return f"{name}: Conv({o}, {kernel}, pad=1)" if kernel else f"{name}: Linear({o})"


def spec(method: Method) -> str:
    ports = "[b, 4, h, w]" if len(method.shape) > 2 else f"[b, {method.columns}]"
    place = "fc" if method.biased else "fc.weight"
    return (
        f"repc 1\n\nimport {method.source}\nimport std.conv\n\n"
        f"model Net(x: f32{ports}) = x >> {layer(method)}\n\n"
        f"adapt Net as Tuned {{\n  {method.shared}\n  at {place} expect 1 use new: {method.call}\n}}\n"
    )


def opened(method: Method, folder: Path) -> tuple[repc.Model, dict[str, Tensor]]:
    """The adapted network, and a random value for each of its parameters."""
    (folder / "net.rep").write_text(spec(method))
    model = repc.load(folder / "net.rep", "Tuned")
    torch.manual_seed(len(method.call))
    drawn: dict[str, Tensor] = {}
    for path, parameter in model.graph.parameters.items():
        draw = method.given.get(path.removeprefix("fc.new."))
        shape = parameter.type.concrete()
        drawn[path] = torch.randn(shape, dtype=torch.float64) if draw is None else draw(shape)
    return model, drawn


def expected(method: Method, state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    weight, bias = state["fc.weight"], state["fc.bias"]
    own = {path.removeprefix("fc.new."): t for path, t in state.items() if path not in ("fc.weight", "fc.bias")}
    found = method.formula(weight, bias, own) if method.biased else method.formula(weight, own)
    return found if isinstance(found, tuple) else (found, bias)


def applied(method: Method, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return functional.conv2d(x, weight, bias, padding=1) if len(method.shape) > 2 else x @ weight.T + bias


def sample(method: Method) -> Tensor:
    return torch.randn(2, 4, 5, 6).double() if len(method.shape) > 2 else torch.randn(3, method.columns).double()


def close(actual: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(actual, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", BY_NAME)
def test_trained_and_merged_forms_are_the_formula(name: str, tmp_path: Path) -> None:
    method = BY_NAME[name]
    model, state = opened(method, tmp_path)
    weight, bias = expected(method, state)
    assert not torch.allclose(weight, state["fc.weight"]) or not torch.allclose(bias, state["fc.bias"])
    merged = model.fuse(state, dtype="f64").values
    assert merged.keys() == {"fc.weight", "fc.bias"}
    close(merged["fc.weight"], weight)
    close(merged["fc.bias"], bias)
    net, x = model.module().double(), sample(method)
    net.load_state_dict(state)
    close(net(x), applied(method, x, weight, bias))
    if method.fixed:
        assert not any(p.requires_grad for p in net.parameters())
    else:
        step(net, x)


def step(net: nn.Module, x: Tensor) -> None:
    """One step moves every weight of the adapter and nothing else."""
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    net(x).square().sum().backward()
    optimizer.step()
    moved = {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    assert moved
    assert not moved & {"fc.weight", "fc.bias"}


def test_every_adapter_that_is_shipped_is_here() -> None:
    shipped = {
        found for path in ADAPTERS.glob("*.rep") for found in re.findall(r"^block (\w+)", path.read_text(), re.M)
    }
    assert shipped - PARTS - OTHER_SHAPES - {"SSF", "SSFTokens"} == {method.name for method in (*METHODS, *SAVED)}


@pytest.mark.parametrize("module", sorted({method.source for method in BY_NAME.values()}))
def test_exported_forms_are_certified(module: str, tmp_path: Path) -> None:
    """All methods of a file at once, each on a layer of its own."""
    chosen = [method for method in BY_NAME.values() if method.source == module]
    layers = "\n".join(
        f"  let y{k} = {'image' if len(m.shape) > 2 else f'x[:, :{m.columns}]'} >> {layer(m, f'fc{k}')}"
        for k, m in enumerate(chosen)
    )
    results = ", ".join(f"y{k}" for k in range(len(chosen)))
    attached = "\n".join(
        f"  at fc{k}{'' if m.biased else '.weight'} expect 1 use new: {m.call}" for k, m in enumerate(chosen)
    )
    shared = "\n".join(dict.fromkeys(f"  {m.shared}" for m in chosen if m.shared))
    (tmp_path / "net.rep").write_text(
        f"repc 1\n\nimport {module}\nimport std.conv\n\n"
        f"model Net(x: f32[b, 16], image: f32[b, 4, h, w]) {{\n{layers}\n  return {results}\n}}\n\n"
        f"adapt Net as Tuned {{\n{shared}\n{attached}\n}}\n"
    )
    model = repc.load(tmp_path / "net.rep", "Tuned")
    torch.manual_seed(0)
    state: dict[str, Tensor] = {}
    for path, parameter in model.graph.parameters.items():
        place, _, own = path.partition(".new.")
        draw = chosen[int(place[2:])].given.get(own) if own else None
        shape = parameter.type.concrete()
        state[path] = 0.5 * torch.randn(shape) if draw is None else draw(shape)
    report = model.fuse(state).verify()
    assert report, str(report)


def drawn(model: repc.Model, layer: Layer) -> dict[str, Tensor]:
    torch.manual_seed(len(layer.call))
    return {path: torch.randn(p.type.concrete(), dtype=torch.float64) for path, p in model.graph.parameters.items()}


@pytest.mark.parametrize("call", [layer.call for layer in LAYERS])
def test_layers_are_their_formula_and_fold(call: str, tmp_path: Path) -> None:
    (layer,) = (layer for layer in LAYERS if layer.call == call)
    (tmp_path / "net.rep").write_text(
        f"repc 1\n\nimport blocks.{layer.module}\n\nmodel Net({layer.ports}) = x >> fc: {layer.call}\n"
    )
    model = repc.load(tmp_path / "net.rep")
    state = drawn(model, layer)
    sizes = [int(size) if size.isdigit() else 9 for size in re.findall(r"\w+", layer.ports.partition("[")[2])]
    x = torch.randn(*sizes, dtype=torch.float64)
    wanted = layer.formula(x, {path.removeprefix("fc."): t for path, t in state.items()})
    net = model.module().double()
    net.load_state_dict(state)
    close(net(x), wanted)
    net(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())
    close(model.fuse(state, dtype="f64").module()(x), wanted)
    fused = model.fuse({path: 0.5 * t.float() for path, t in state.items()})
    assert fused.counts().items() >= layer.left.items()
    report = fused.verify()
    assert report, str(report)


def test_a_chain_of_reflections_costs_two_thin_products() -> None:
    """Rank 16 on 2048 x 2048, from names and shapes alone: a dense chain would take 16 products of 2048³."""
    text = "repc 1\nimport adapters.orthogonal\nadapt Base as New { at fc.weight expect 1 use a: HRA(16) }\n"
    found = adapt_stored(load(Source("new", text), FileLibrary()), "New", {"fc.weight": TensorType((2048, 2048))})
    assert multiply_adds_of(found.weights.values()) < 1.01 * 2 * 16 * 2048**2
