"""Calls at the edge of what torch admits: they are what torch computes, by whichever operators."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import transformer
from torch.utils import _pytree as pytree

from repc.evaluate import run
from repc.evaluate.floating import TorchField
from repc.importers import import_module
from repc.ops import Where
from repc.ops.opaque import opaque_names
from tests.importers.torch.networks import difference, image


class Calling(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *xs: Tensor) -> Any:
        return self.function(*xs)


def foreach(x: Tensor) -> Tensor:
    y = x * 2
    cast("Any", torch)._foreach_add_([y], 1.0)
    return y


def written(x: Tensor) -> Tensor:
    """What ``out=`` names is seen through its views."""
    y = torch.empty_like(x)
    view = y.view(-1)
    torch.mul(x, 3, out=y)
    return view + 1


ODD = torch.tensor([[nan, 1.0, -1.0], [inf, -inf, 0.5]])
ROWS = torch.tensor([[True, False, True, True], [False] * 4, [True] * 4])

EDGES: dict[str, tuple[Callable[..., Any], tuple[Tensor, ...]]] = {
    "windows that overlap": (lambda x: x.unfold(1, 3, 2), (image(2, 6),)),
    "cropped before a pool": (lambda x: F.max_pool1d(F.pad(x, (1, -1), value=-inf), 3), (image(2, 3, 9),)),
    "another axis cropped": (lambda x: F.max_pool1d(F.pad(x, (1, -1, -1, 1), value=-inf), 3, 4), (image(2, 3, 7),)),
    "rows that attend to nothing": (
        lambda q, k, mask: F.scaled_dot_product_attention(q, k, k, mask),
        (image(2, 3, 3, 5), image(2, 3, 4, 5, seed=1), ROWS),
    ),
    "rows of minus infinity": (
        lambda q, k, mask: F.scaled_dot_product_attention(q, k, k, mask),
        (image(2, 3, 3, 5), image(2, 3, 4, 5, seed=1), image(3, 4).masked_fill(~ROWS, -inf)),
    ),
    "heads that share keys and values": (
        lambda q, k, v, mask: F.scaled_dot_product_attention(q, k, v, mask, scale=0.3, enable_gqa=True),
        (image(2, 6, 3, 5), image(2, 2, 4, 5, seed=1), image(2, 3, 4, 7, seed=2), ROWS),
    ),
    "found to be no numbers": (
        lambda x, y: [f(z) for f in (torch.isnan, torch.isinf, torch.isfinite) for z in (x, y)],
        (ODD, image(2, 3)),
    ),
    "true where it is not zero": (
        lambda x, n: [torch.logical_and(x, n), torch.logical_or(x, n), torch.logical_xor(x, n)],
        (torch.tensor([[0.0, 0.5, -2.0, 0.0]]), torch.tensor([[0, 3, 0, 1]])),
    ),
    "norms of any order": (
        lambda x, y: [
            z
            for p in (0, 0.5, 1, 2, 3, 2.5, -1, inf, -inf)
            for z in (F.normalize(x, p), x.norm(p), torch.dist(x, y, p), F.pairwise_distance(x, y, p))
        ],
        (image(2, 3, 4), image(2, 3, 4, seed=1)),
    ),
    "cosines": (
        lambda x, y: [
            F.cosine_similarity(x, y, 1),
            F.cosine_similarity(x, y[:1, 0], 0),
            F.cosine_similarity(x[:, :, None], y[:, None], -1),
            F.cosine_similarity(x, y * 0, -1),
            F.cosine_similarity(x * 1e-3, y, -1, eps=0.1),
        ],
        (image(2, 3, 4), image(2, 3, 4, seed=1)),
    ),
    "a number without axes": (
        lambda x: [x.sum().squeeze(0), x.sum().squeeze(-1), x.sum().squeeze((0,)), x.sum().squeeze()],
        (image(2, 3),),
    ),
    "diagonals": (
        lambda x: [x.diagonal(offset, one, two) for offset in (-5, -4, -1, 0, 2, 4) for one, two in ((1, 2), (-1, 1))],
        (image(2, 4, 5),),
    ),
    "matrices of diagonals": (
        lambda x: [torch.diag_embed(x), torch.einsum("bii->bi", torch.diag_embed(x, 1)), x[0].diag().trace()],
        (image(2, 4),),
    ),
    "einsums of many": (
        lambda x, y, z: [
            torch.einsum("bi,ij,bj->b", x, y, z),
            torch.einsum("bi, ij, bj, bk -> bk", x, y, z, x),
            torch.einsum("bi,ij,bj,ij->", x, y, z, y),
        ],
        (image(2, 3), image(3, 4), image(2, 4, seed=1)),
    ),
    "powers in place": (
        lambda x: [(x + 0).pow_(3), (x.abs() + 0).pow_(x), (x + 0).abs_().float_power(0.5)],
        (image(2, 3),),
    ),
    "where maxima are, unread": (
        lambda x: F.max_pool2d(x, 2, return_indices=True)[0],
        (image(2, 3, 5, 4),),
    ),
    "functions of one sample": (
        lambda x, y: [
            cast("Any", torch).vmap(lambda a, b: (a @ b).softmax(0) * b.mean())(x, y),
            cast("Any", torch).func.jvp(torch.sin, (x,), (y,))[1],
        ],
        (image(2, 3, 3), image(2, 3, 3, seed=1)),
    ),
    "no numbers": (lambda x: [F.threshold(x, 0.7, 3.0), F.hardshrink(x, 0.7), F.softshrink(x, 0.7)], (ODD,)),
    "axes of a number": (
        lambda x: [*x.sum().sort(), *x.sum().topk(1), x.sum().cumsum(0), x.sum().softmax(-1), x.sum().unfold(0, 1, 1)],
        (image(2, 3),),
    ),
    "picked from a number": (lambda x: x.sum().gather(0, torch.zeros((), dtype=torch.int64)), (image(2, 3),)),
    "any and all of nothing": (lambda x: [x[:, :0].any(1), x[:, :0].all(1, keepdim=True)], (image(2, 3) > 0,)),
    "a scale by a root of the batch": (lambda x: x * x.shape[0] ** -0.5, (image(2, 3),)),
    "several tensors changed at once": (foreach, (image(2, 3),)),
    "an output that is given": (written, (image(2, 3),)),
}


KEPT = (
    *("cropped before a pool", "another axis cropped", "axes of a number", "picked from a number"),
    *("any and all of nothing", "several tensors changed at once"),
)
"""Those that stay calls of torch."""


@pytest.mark.parametrize("name", EDGES)
def test_an_edge_is_what_torch_computes(name: str) -> None:
    function, inputs = EDGES[name]
    imported = import_module(Calling(function).eval(), inputs)
    assert bool(opaque_names(imported.graph)) == (name in KEPT)
    exact = [x.double() if x.is_floating_point() else x for x in inputs]
    values = run(
        imported.graph, TorchField(), dict(zip(imported.graph.inputs, exact, strict=True)), imported.parameters
    )
    expected = pytree.tree_leaves(function(*exact))
    for id, wanted in zip(imported.graph.outputs.values(), expected, strict=True):
        torch.testing.assert_close(values[id], wanted, rtol=1e-12, atol=1e-12, equal_nan=True, check_dtype=False)


class Causal(nn.Module):
    """A mask that is held, or made of a weight: every row attends to something."""

    def __init__(self) -> None:
        super().__init__()
        self.mask: Tensor
        self.register_buffer("mask", torch.full((4, 4), -inf).triu(1))
        self.bias = nn.Parameter(image(3, 4, 4))

    def forward(self, q: Tensor) -> Tensor:
        made = torch.ones(4, 4, dtype=torch.bool).tril()
        masks = (self.mask, self.mask + self.bias, made)
        return torch.stack([F.scaled_dot_product_attention(q, q, q, mask) for mask in masks])


def test_a_mask_that_leaves_something_in_every_row_is_only_added() -> None:
    module, q = Causal().eval(), image(2, 3, 4, 5)
    graph = (imported := import_module(module, (q,))).graph
    assert not any(isinstance(graph[id].op, Where) for id in graph)
    values = run(graph, TorchField(), {"q": q.double()}, imported.parameters)
    torch.testing.assert_close(values[graph.outputs["output"]], module.double()(q.double()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_rms_norm_without_eps_takes_that_of_the_type(dtype: torch.dtype) -> None:
    module = nn.RMSNorm(5).to(dtype).eval()
    x = (image(2, 5) * 10 ** torch.arange(-9.0, 1, 5)[:, None]).to(dtype)
    imported = import_module(module, (x,))
    assert not opaque_names(imported.graph)
    values = run(imported.graph, TorchField(dtype), {"x": x}, imported.parameters)
    torch.testing.assert_close(values[imported.graph.outputs["output"]], module(x), rtol=1e-5, atol=0)


def test_the_type_of_a_network_without_weights_is_that_of_its_inputs() -> None:
    imported = import_module(Calling(torch.sin).eval(), (image(2, 3).double(),))
    assert imported.dtype == "f64"
    assert not imported.notes


def test_torch_may_move_what_its_transformers_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(transformer, "_detect_is_causal_mask")
    module = nn.Linear(3, 4).eval()
    assert difference(module, import_module(module, (image(2, 3),)), image(5, 3, seed=1)) < 1e-6
    assert not hasattr(transformer, "_detect_is_causal_mask")
