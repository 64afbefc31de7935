"""Calls that are written down while a module runs: the same program as that of `torch.export`, or none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from repc.importers import Imported, import_module
from repc.importers.torch.export import capture, example, shapes
from repc.importers.torch.program import translate
from repc.importers.torch.recording import record
from repc.ir.printer import print_graph
from tests.importers.torch.networks import (
    Detector,
    InPlace,
    Shared,
    Standardised,
    Upward,
    Window,
    difference,
    image,
    randomised,
)


class Sized(nn.Module):
    """Sizes in every place where a call takes them, and a batch of one that torch is afraid of."""

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        x = x.reshape(batch, -1, height * width).transpose(1, 2)
        first, *rest = x.chunk(2, dim=1)
        return torch.cat([first.squeeze(0), rest[0] * (height - 2)], 1).expand(batch, -1, -1)


class Asking(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.shape[0] > 8 else x * 3


class Named(nn.Module):
    """Arguments whose names torch changes, a module that is called twice, a list of results."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, (3, 2), stride=(1, 2))

    def forward(self, input: Tensor, p_conv_weight: Mapping[str, Any]) -> list[Tensor]:
        return [self.conv(input), self.conv(p_conv_weight["Other"][0] - input)]


class Assisted(nn.Module):
    """Buffers that the state_dict does not hold, constants, a norm of a weight, and modules within modules."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            parametrizations.weight_norm(nn.Conv2d(3, 6, 3, groups=3)), nn.BatchNorm2d(6), nn.PReLU(6)
        )
        self.outer = parametrizations.weight_norm(nn.Linear(6, 5))
        self.register_buffer("scale", torch.rand(6, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x) * self.scale + torch.arange(5.0).sum()
        return F.softmax(self.outer(y.mean((2, 3))), dim=-1)


PLAIN: dict[str, tuple[nn.Module, tuple[Any, ...]]] = {
    "detector": (Detector(), (image(2, 3, 16, 24),)),
    "in place": (InPlace(), (image(2, 3, 7, 9),)),
    "shared": (Shared(), (image(2, 4, 7, 9),)),
    "upward": (Upward(), (image(2, 4, 5, 3),)),
    "window": (Window(), (image(2, 4, 8),)),
    "standardised": (Standardised(3, 4, 3), (image(2, 3, 7, 9),)),
    "sized": (Sized(), (image(2, 4, 6, 3),)),
    "asking": (Asking(), (image(2, 4),)),
    "named": (Named(), (image(2, 3, 5, 6), {"Other": [image(2, 3, 5, 6, seed=1)]})),
    "assisted": (Assisted(), (image(2, 3, 7, 5),)),
}


def told(imported: Imported) -> object:
    """All that an import says; of the places, the innermost lines."""
    graph = imported.graph
    lines = [(graph[id].path, graph[id].origin[-1].source.name, graph[id].origin[-1].start) for id in graph]
    values = {path: tensor.tolist() for path, tensor in imported.parameters.items()}
    return print_graph(graph), lines, imported.notes, imported.classes, imported.constants, values


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_recorded_is_what_torch_exports(name: str) -> None:
    module, args = PLAIN[name]
    given = example(randomised(module), args, {})
    asked = shapes(given, None, batch=True)
    recorded = record(given, asked)
    assert recorded is not None
    exported = capture(given, asked)
    assert told(translate(recorded, name, asked.names)) == told(translate(exported, name, asked.names))


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.count = self.count + 1
        return x * self.count


class Reading(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x * 3


class Elsewhere(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = image(4, seed=3)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.table


class Casting(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu"):
            return x @ x.mT


class Sizing(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        return x * 2, x.shape[1]


class Pair(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x - 2 * y


class Owning(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(image(4).as_subclass(Labelled))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class Labelled(Tensor):
    """A class of tensors of somebody's own."""


class Constant(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.tensor([1.0, 2.0, 3.0, 4.0])


class Turning(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * 2).transpose_(0, 1)


OTHERS: dict[str, nn.Module] = {
    "states change": Counting(),
    "values are read": Reading(),
    "a tensor from elsewhere": Elsewhere(),
    "a constant": Constant(),
    "a class of tensors": Owning(),
    "autocast": Casting(),
    "a result is no tensor": Sizing(),
    "a shape changes in place": Turning(),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_plain_is_left_to_torch(name: str) -> None:
    module, x = OTHERS[name], image(4, 4)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    given = example(module.eval(), (x,), {})
    assert record(given, shapes(given, None, batch=True)) is None
    assert type(x + 1) is Tensor  # nothing goes on being written down
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_one_tensor_for_two_arguments_is_left_to_torch() -> None:
    x = image(2, 4)
    given = example(Pair().eval(), (x, x), {})
    assert record(given, shapes(given, None, batch=True)) is None


def test_a_hook_is_recorded_where_it_was_called() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, (3, 2)))
    module[0].register_forward_hook(lambda _module, _args, y: y.relu())
    given = example(randomised(module), (image(2, 3, 5, 6),), {})
    asked = shapes(given, None, batch=True)
    recorded = record(given, asked)
    assert recorded is not None
    graph = translate(recorded, "hooked", asked.names).graph
    assert [(graph[id].op.title, graph[id].path) for id in graph][1:] == [("conv", "0"), ("relu", "0")]


def test_a_constant_of_a_module_is_imported_all_the_same() -> None:
    module = Elsewhere().eval()
    imported = import_module(module, (image(2, 4),))
    assert difference(module, imported, image(3, 4, seed=5)) < 1e-15


def test_sizes_that_a_person_asks_to_be_free_are_left_to_torch() -> None:
    given = example(Asking().eval(), (image(2, 4),), {})
    assert record(given, shapes(given, {"x": {1: "width"}}, batch=False)) is None
