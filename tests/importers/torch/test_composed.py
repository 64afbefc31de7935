"""Calls that the table lacks are what torch makes them of, where that is in the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repc.evaluate import run
from repc.evaluate.floating import TorchField
from repc.importers import import_module
from repc.ir.dims import symbol
from repc.ir.graph import Graph
from repc.ops.opaque import opaque_names
from tests.importers.torch.networks import image, relative

CALLS: dict[str, Callable[[Tensor], Tensor]] = {
    "swapaxes": lambda x: x.swapaxes(1, 3),
    "mT": lambda x: x.mT,
    "ravel": lambda x: x[0].ravel(),
    "hstack": lambda x: torch.hstack([x, 2 * x]),
    "concatenate": lambda x: torch.concatenate([x, -x], 2),
    "tensor_split": lambda x: x.tensor_split(3, 2)[1],
    "diff": lambda x: torch.diff(x, dim=2),
    "rot90": lambda x: torch.rot90(x, 3, (2, 3)),
    "negative": torch.negative,
    "multiply": lambda x: torch.multiply(x, x + 1),
    "true_divide": lambda x: torch.true_divide(x, 2 + x.abs()),
    "clip": lambda x: torch.clip(x, -0.3, 0.4),
    "logsumexp": lambda x: x.logsumexp((1, 2)),
    "softplus": lambda x: F.softplus(x, beta=2.0),
    "std_mean": lambda x: torch.cat(torch.std_mean(x, 2), 1),
    "aminmax": lambda x: torch.cat(torch.aminmax(x, dim=1), 1),
    "outer": lambda x: torch.outer(x[0, 0, 0], x[0, 1, 1]),
    "tensordot": lambda x: torch.tensordot(x, x[0, 0].mT, dims=1),
    "baddbmm": lambda x: torch.baddbmm(x[:, 0], x[:, 1], x[:, 0].mT @ x[:, 1], beta=0.5, alpha=-2),
    "linalg_norm": lambda x: torch.linalg.norm(x, dim=-1),
    "addcdiv": lambda x: torch.addcdiv(x, x, 2 + x.abs(), value=0.3),
}


class Calls(nn.Module):
    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {name: CALLS[name](x) for name in self.names}


def test_they_are_computed_as_torch_does() -> None:
    module, x = Calls(*CALLS).eval(), image(3, 3, 5, 4)
    imported = import_module(module, (image(2, 3, 5, 4),))
    assert imported.notes == ()
    found = run(imported.graph, TorchField(), {"x": x.double()}, imported.parameters)
    for name, expected in module(x.double()).items():
        assert relative(found[imported.graph.outputs[name]], expected) < 1e-12, name


def test_a_call_keeps_its_place() -> None:
    imported = import_module(nn.Sequential(nn.Identity(), Calls("swapaxes")).eval(), (image(2, 3, 5, 4),))
    (id,) = imported.graph.outputs.values()
    node = imported.graph[id]
    assert node.path == "1"
    assert str(node.origin[-1]).partition(":")[0].endswith("test_composed.py")


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(4, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.cell(x[:, 0])[0]


class Divergence(nn.Module):
    """Made of a constant that is no number."""

    def forward(self, x: Tensor) -> Tensor:
        return F.kl_div(x.log_softmax(-1), x.softmax(-1), reduction="sum")


class Median(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.hstack([x.median(1)[0], torch.take_along_dim(x, x[:, :1].long(), 1)[:, 0]])


@pytest.mark.parametrize(
    ("module", "left"),
    [(Recurrent(), "aten.lstm.input"), (Divergence(), "aten.kl_div.default"), (Median(), "aten.median.dim")],
)
def test_what_is_made_of_too_much_or_of_unknown_calls_stays(module: nn.Module, left: str) -> None:
    imported = import_module(module.eval(), (image(2, 3, 5, 4),))
    assert Counter(opaque_names(imported.graph).values())[left] == 1
    assert any(note.startswith(f"{left} stays as it is: ") for note in imported.notes)


def test_an_einsum_of_three_does_not_pin_the_batch() -> None:
    class Three(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.einsum("bcij,bkj,bck->bi", x, x[:, 0], x[:, :, 0, :].mean(2, True).expand(-1, -1, 5))

    graph: Graph = import_module(Three().eval(), (image(2, 3, 5, 4),)).graph
    (id,) = graph.outputs.values()
    assert graph[id].type.shape == (symbol("batch"), 5)
