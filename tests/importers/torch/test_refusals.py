"""What is refused, what is noted, and that nothing else happens to the module."""

from __future__ import annotations

from copy import deepcopy
from threading import Lock
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from repc.diagnostics import Failure
from repc.importers import import_module, import_program
from tests.importers.torch.networks import Shared, image, randomised


class Branching(nn.Module):
    """Another function for tall images, and one for large ones."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if x.shape[2] > x.shape[3]:
            y = y * 2
        return y + 1 if x.shape[2] >= 20 else y


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


class Lower(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return x @ x.transpose(-1, -2)


class Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.rand(3)


class Item(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.sum().item()


class Sized(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        return x + 1, x.shape[0]


class Locked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lock = Lock()

    def forward(self, x: Tensor) -> Tensor:
        return x


class Ratio(nn.Module):
    """Rows of a size that is no polynomial."""

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[2:]
        return x[:, :, : h * w // (h + w)].sum()


class Whole(nn.Module):
    """Adds batches up."""

    def forward(self, x: Tensor) -> Tensor:
        return x.view(2, -1, 3).sum(0) if x.shape[0] == 4 else x


def partly_training() -> nn.Module:
    module = Shared().eval()
    module.one.train()
    return module


class Slope(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.func.grad(lambda y: (y**3).sum())(x)


class Curvature(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.func.hessian(lambda y: (y**3).sum())(x)


class Gradient(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.autograd.grad((x**3).sum(), x)[0]


class Positive(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[x > 0]


class Deciding(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


REFUSED = {
    "training": (
        Shared(),
        (image(1, 4, 5, 5),),
        {},
        "E501 a module in training mode does not fold: the module itself, conv",
    ),
    "partly": (partly_training(), (image(1, 4, 5, 5),), {}, "E501 a module in training mode does not fold: one; call"),
    "arguments": (Shared().eval(), (), {}, "E502 torch.export cannot capture Shared: missing a required argument: 'x'"),
    "crash": (Shared().eval(), (image(1, 3, 5, 5),), {}, "E502 torch.export cannot capture Shared: "),
    "item": (Item().eval(), (image(1, 3),), {}, "E504 a call cannot be kept as it is: aten.item.default gives what is"),
    "noise": (
        Noise().eval(),
        (image(1, 3),),
        {},
        "E504 a call cannot be kept as it is: aten.rand.default draws random",
    ),
    "state": (Counting().eval(), (image(1, 3),), {}, "E503 the network changes calls when it runs"),
    "size": (Ratio().eval(), (image(1, 3, 6, 5),), {"x": {2: "h", 3: "w"}}, "E502 torch.export cannot capture Ratio: "),
    "copy": (Locked().eval(), (image(1, 3),), {}, "E506 Locked cannot be copied: cannot pickle '_thread.lock' object"),
    "type": (
        nn.Identity().eval(),
        (image(1, 3).to(torch.complex128),),
        {},
        "E507 there are tensors of type complex128",
    ),
    "autocast": (Lower().eval(), (image(1, 3, 4),), {}, "E508 a part of the network runs under wrap_with_autocast"),
    "result": (Sized().eval(), (image(2, 3),), {"x": {0: "n"}}, "E509 the output output_1 is a size that is free, not"),
    "values": (Deciding().eval(), (image(2, 3),), {}, "values of tensors decide which way it takes"),
    "places": (Positive().eval(), (image(2, 3),), {}, "the size u0 is data-dependent; values of tensors decide"),
    "slope": (Slope().eval(), (image(2, 3),), {}, "a function by torch.func (grad); take gradients by torch.autograd"),
    "curvature": (Curvature().eval(), (image(2, 3),), {}, "torch.func (vmap, jvp, grad); take gradients by"),
    "gradient": (Gradient().eval(), (image(2, 3),), {}, "does not require grad and does not have a grad_fn; take grad"),
    "dynamic": (Shared().eval(), (image(1, 4, 5, 5),), {"y": {2: "h"}}, "E510 dynamic names y, which is no argument"),
}


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_torchscript_is_refused() -> None:
    module: Any = torch.jit.trace(Shared().eval(), image(1, 4, 5, 5))
    with pytest.raises(Failure, match=r"E513 TopLevelTracedModule is TorchScript, .* scripted or traced from"):
        import_module(module, (image(1, 4, 5, 5),))


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_imported_is_refused(name: str) -> None:
    module, args, dynamic, message = REFUSED[name]
    with pytest.raises(Failure) as caught:
        import_module(module, args, dynamic=dynamic)
    assert message in str(caught.value)
    assert all(diagnostic.help for diagnostic in caught.value.diagnostics)


def test_a_free_size_as_a_result_of_a_program_is_refused() -> None:
    program = torch.export.export(Sized().eval(), (image(2, 3),), dynamic_shapes={"x": {0: Dim.DYNAMIC}})
    with pytest.raises(Failure, match="E509 the output output_1"):
        import_program(program)


def test_what_torch_dumps_of_a_failure_is_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Failure):
        import_module(Deciding().eval(), (image(2, 3),))
    assert capfd.readouterr().err == ""


def test_a_size_without_a_formula_in_a_program_is_refused() -> None:
    free = {"x": {2: Dim.DYNAMIC, 3: Dim.DYNAMIC}}
    program = torch.export.export(Ratio().eval(), (image(1, 3, 6, 5),), dynamic_shapes=free)
    with pytest.raises(Failure, match="E505 the size"):
        import_program(program)


def test_sizes_are_free_where_they_are_asked_for() -> None:
    module = Branching().eval()
    imported = import_module(module, (image(1, 3, 24, 21),), dynamic={"x": {2: "height", 3: "width"}})
    graph = imported.graph
    assert str(graph[graph.inputs["x"]].type) == "f32[batch, 3, height, width]"
    (result,) = graph.outputs.values()
    assert str(graph[result].type) == "f32[batch, 4, ((height + 1)//2), ((width + 1)//2)]"
    assert imported.notes == ("the graph is the network where height > width and height >= 20",)
    multiple = import_module(module, (image(1, 3, 24, 20),), dynamic={"x": {2: 4 * Dim("h"), 3: 20}})
    assert str(multiple.graph[multiple.graph.inputs["x"]].type) == "f32[batch, 3, 4*(h//4), 20]"


def test_a_batch_that_the_network_asks_for_is_fixed() -> None:
    imported = import_module(Whole().eval(), (image(4, 3),))
    assert str(imported.graph[imported.graph.inputs["x"]].type) == "f32[4, 3]"
    assert imported.notes == ("the batch is fixed at 4: the network asks whether batch == 4",)


class Keeping(nn.Module):
    """Keeps what it computed between calls."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(3))
        self.kept: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        if "table" not in self.kept:
            self.kept["table"] = self.table.exp()
        return x * self.kept["table"]


def test_the_module_is_left_as_it_is() -> None:
    module = nn.Sequential(Keeping(), randomised(nn.Sequential(nn.BatchNorm1d(3), nn.ReLU(inplace=True)))).eval()
    seen: list[tuple[int, ...]] = []
    module[1].register_forward_hook(lambda part, args, result: seen.append(tuple(result.shape)))
    module[0].table.grad = torch.ones(3)
    before, random = deepcopy(module.state_dict()), torch.get_rng_state()
    x = image(2, 3)
    given = x.clone()
    imported = import_module(module, (x,))
    assert imported.notes == ("forward hooks were called while importing, and what they did is part of the graph: 1",)
    assert not module[0].kept
    assert torch.equal(x, given)
    assert torch.equal(torch.get_rng_state(), random)
    assert module[0].table.requires_grad
    assert torch.equal(module[0].table.grad, torch.ones(3))
    assert not module.training
    assert len(module[1]._forward_hooks) == 1
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
