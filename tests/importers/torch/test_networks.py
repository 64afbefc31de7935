"""Whole networks: the graph computes what the module computes, under its names and at its places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from repc.evaluate import run
from repc.evaluate.floating import TorchField
from repc.importers import import_module, import_program
from repc.ir.expr import Param
from repc.ir.graph import Graph
from repc.ops import BatchNorm, Conv, Expand, Gather
from repc.ops.opaque import opaque_names
from tests.importers.torch.networks import (
    Detector,
    InPlace,
    Nested,
    Shared,
    Standardised,
    Upward,
    Views,
    Window,
    difference,
    image,
    randomised,
    relative,
)

NETWORKS: dict[str, tuple[nn.Module, Tensor, Tensor]] = {
    "detector": (Detector(), image(1, 3, 16, 24), image(3, 3, 16, 24)),
    "in place": (InPlace(), image(1, 3, 7, 9), image(3, 3, 7, 9)),
    "views": (Views(), image(2, 3, 7, 9), image(3, 3, 7, 9)),
    "shared": (Shared(), image(1, 4, 7, 9), image(3, 4, 7, 9)),
    "upward": (Upward(), image(1, 4, 5, 3), image(2, 4, 5, 3)),
    "window": (Window(), image(1, 4, 8), image(3, 4, 8)),
    "standardised": (Standardised(3, 4, 3), image(1, 3, 7, 9), image(2, 3, 7, 9)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_computed_as_torch_does(name: str) -> None:
    module, given, other = NETWORKS[name]
    imported = import_module(randomised(module), (given,))
    assert imported.notes == ()
    assert difference(module, imported, other) < 1e-12


def kinds(graph: Graph) -> Counter[str]:
    return Counter(graph[id].op.title for id in graph)


def test_tied_keys_are_aliases_of_the_first() -> None:
    module = randomised(Shared())
    imported = import_module(module, (image(1, 4, 7, 9),))
    declared = imported.graph.parameters
    assert declared["encoder.weight"].aliases == ("decoder.weight",)
    keys = {key for parameter in declared.values() for key in (parameter.path, *parameter.aliases)}
    assert keys == set(module.state_dict())
    assert set(imported.parameters) == set(declared)
    assert {path for path, parameter in declared.items() if parameter.buffer} == {
        path for path, _ in module.named_buffers()
    }


def test_nodes_are_at_the_paths_of_their_modules_and_the_lines_of_their_source() -> None:
    imported = import_module(randomised(Shared()), (image(1, 4, 7, 9),))
    graph = imported.graph
    norms = {graph[id].path: graph[id] for id in graph if isinstance(graph[id].op, BatchNorm)}
    assert list(norms) == ["one", "two", ""]
    assert imported.classes["conv"] == "Conv2d"
    assert imported.classes["one"] == "BatchNorm2d"
    counter = norms["one"].weights["num_batches_tracked"]
    assert isinstance(counter, Param)
    assert counter.path == "one.num_batches_tracked"
    assert not any(span.source.name.startswith("repc/") for id in graph for span in graph[id].origin)
    place = norms[""].origin[-1]
    assert place.source.name == "tests/importers/torch/networks.py"
    assert place.text == "y = F.batch_norm(y, self.mean, self.var, eps=1e-2) * self.scale"
    convolutions = [id for id in graph if isinstance(graph[id].op, Conv)]
    assert [graph[id].path for id in convolutions] == ["conv", "conv"]
    assert graph[convolutions[0]].weights["weight"] is graph[convolutions[1]].weights["weight"]


def test_what_is_computed_from_weights_alone_is_a_weight() -> None:
    graph = import_module(Window().eval(), (image(1, 4, 8),)).graph
    assert not any(isinstance(graph[id].op, Gather) for id in graph)
    assert "table" in graph.parameters
    standardised = import_module(Standardised(3, 4, 3).eval(), (image(1, 3, 7, 9),)).graph
    assert kinds(standardised) == {"input": 1, "conv": 1}


def test_constants_are_parameters_that_the_state_dict_does_not_hold() -> None:
    module = Window().eval()
    imported = import_module(module, (image(1, 4, 8),))
    assert imported.constants == set(imported.graph.parameters) - set(module.state_dict())
    assert "index" not in imported.constants  # what is left of it is what was computed from it
    assert len(imported.constants) == 2


@pytest.mark.parametrize(
    "wrap",
    [nn.utils.weight_norm, parametrizations.weight_norm, parametrizations.spectral_norm],
    ids=["hook", "weight_norm", "spectral_norm"],
)
@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
def test_a_parametrized_weight_is_an_expression(wrap: Callable[[nn.Module], nn.Module]) -> None:
    module = wrap(nn.Conv2d(3, 4, 3)).eval()
    imported = import_module(module, (image(1, 3, 7, 9),))
    assert kinds(imported.graph) == {"input": 1, "conv": 1}
    assert set(imported.graph.parameters) == set(module.state_dict())
    x, graph = image(2, 3, 7, 9, seed=1), imported.graph
    (found,) = run(graph, TorchField(), {"input": x.double()}, imported.parameters).values()
    with torch.no_grad():
        assert relative(found, module(x)) < 1e-6


class Keeping(nn.Module):
    """Keeps what it has computed once."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(3, 1, 1))
        self.kept: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        if "square" not in self.kept:
            self.kept["square"] = self.scale * self.scale
        return x * self.kept["square"]


def test_a_module_that_has_run_and_keeps_what_it_computed_is_taken() -> None:
    module, x = Keeping().eval(), image(2, 3, 5, 4)
    expected = module(x)
    imported = import_module(module, (x,))
    assert module.kept["square"].grad_fn is not None
    (found,) = run(imported.graph, TorchField(), {"x": x.double()}, imported.parameters).values()
    assert relative(found, expected.detach()) < 1e-6


class Forgetting(Keeping):
    """Forgets it where its weights may change, as a LeViT does with the biases of its attention."""

    def train(self, mode: bool = True) -> Forgetting:
        self.kept = {} if mode else self.kept
        return super().train(mode)


def test_what_a_module_keeps_until_it_is_trained_is_computed_from_its_weights() -> None:
    module, x = Forgetting().eval(), image(2, 3, 5, 4)
    with torch.no_grad():
        module(x)
    imported = import_module(module, (x,))
    assert list(imported.parameters) == ["scale"]
    assert module.kept
    assert not module.training
    assert difference(module, imported, image(2, 3, 5, 4, seed=1)) < 1e-6


class Unusual(nn.Module):
    """Calls that repc has no operators for, of one result and of several."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        values, places = torch.cummax(x.flatten(1), 1)
        return values, places, torch.fft.rfft(x).abs(), torch.cdist(x[:, 0], x[:, 1])


def test_unknown_calls_are_opaque_and_counted() -> None:
    imported = import_module(Unusual().eval(), (image(1, 3, 5, 8),))
    assert Counter(opaque_names(imported.graph).values()) == {
        "aten.cummax.default": 1,
        "aten.fft_rfft.default": 1,
        "aten.abs.default": 1,  # of complex numbers
        "aten.cdist.default": 1,
    }
    assert imported.notes[0] == "aten.cummax.default stays as it is: repc has no operator for it"
    assert difference(Unusual(), imported, image(2, 3, 5, 8)) < 1e-6  # complex numbers are of single precision


class Token(nn.Module):
    """A token that is the same for the whole batch, in front of the others."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 8))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)


def test_a_weight_repeated_for_a_free_batch_is_an_activation() -> None:
    imported = import_module(Token().eval(), (image(1, 4, 8),))
    graph = imported.graph
    (expand,) = (graph[id] for id in graph if isinstance(graph[id].op, Expand))
    assert not expand.inputs
    assert difference(Token(), imported, image(3, 4, 8)) > 0.1  # another token
    module = Token().eval()
    assert difference(module, import_module(module, (image(1, 4, 8),)), image(3, 4, 8)) < 1e-12


def test_nested_arguments_and_results_have_names() -> None:
    example = (image(1, 3, 4, 5), [image(1, 2), image(1, 3)])
    graph = import_module(Nested().eval(), example, {"extra": {"shift": image(1, 4, 1, 1)}}).graph
    assert list(graph.inputs) == ["x", "others_0", "others_1", "extra_shift"]
    assert list(graph.outputs) == ["output_0_first", "output_0_rest_0", "output_0_rest_1", "output_1_mean"]


def test_an_exported_program_is_imported_from_its_file(tmp_path: Path) -> None:
    module = randomised(Detector())
    free = {"x": {0: torch.export.Dim("n", min=2)}}
    program = torch.export.export(module, (image(2, 3, 16, 24),), dynamic_shapes=free)
    torch.export.save(program, tmp_path / "detector.pt2")
    imported = import_program(tmp_path / "detector.pt2")
    graph = imported.graph
    assert graph.name == "detector"
    assert str(graph[graph.inputs["x"]].type) == "f32[batch, 3, 16, 24]"
    assert graph[next(id for id in graph if isinstance(graph[id].op, BatchNorm))].path == "stem.dense_bn"
    assert difference(module, imported, image(3, 3, 16, 24)) < 1e-12


class Without(nn.Module):
    """A region without gradients and one without autocast, and a norm without running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = F.relu(x) + 1
        with torch.autocast("cpu", enabled=False):
            return self.norm(y.float() * x)


def test_regions_without_a_meaning_in_evaluation_are_as_the_rest() -> None:
    module = Without().eval()
    imported = import_module(module, (image(2, 3, 4, 5),))
    assert imported.notes == ("norm normalises by the statistics of each batch, and never folds",)
    assert difference(nn.Sequential(module), imported, image(3, 3, 4, 5)) < 1e-6  # its float() rounds to float32
    program = import_program(torch.export.export(module, (image(2, 3, 4, 5),)))
    assert kinds(program.graph) == kinds(imported.graph)
