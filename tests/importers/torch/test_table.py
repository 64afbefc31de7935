"""Every entry of the table computes what torch computes, and is no opaque call."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from repc.evaluate import run
from repc.evaluate.floating import TorchField
from repc.importers.torch.export import Names, capture, example, shapes
from repc.importers.torch.program import translate
from repc.importers.torch.table import TABLE
from repc.ops.opaque import opaque_names
from tests.importers.torch import cases, pointwise_cases, shape_cases
from tests.importers.torch.cases import Case

FAMILIES: dict[str, dict[str, Case]] = {
    name.lower(): found
    for module in (cases, pointwise_cases, shape_cases)
    for name, found in vars(module).items()
    if name.isupper() and isinstance(found, dict) and found is not cases.SIZES
}


class Calls(nn.Module):
    """Makes all the calls of a family, and returns their results by name."""

    def __init__(self, family: dict[str, Case]) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        drawn = {name: torch.randn(shape, generator=generator) / 3 for name, shape in cases.SIZES.items()}
        drawn["positive"] = drawn["positive"].abs() + 0.3
        self.held = nn.ParameterDict({name: nn.Parameter(value) for name, value in drawn.items()})
        self.family = family

    def forward(self, n: dict[str, Tensor]) -> dict[str, Any]:
        held = dict(self.held.items())
        return {name: case(n, held) for name, case in self.family.items()}


def inputs(batch: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(batch)
    sizes = {"x": (4, 6, 8), "s": (4, 9), "v": (4, 4, 5, 6), "t": (5, 8)}
    drawn = {name: torch.randn(batch, *shape, generator=generator) for name, shape in sizes.items()}
    return drawn | {"i": torch.randint(0, 5, (batch, 3), generator=generator)}


@cache
def exported(family: str) -> tuple[nn.Module, ExportedProgram, list[Names]]:
    """The module of a family and its program with a free batch."""
    module = Calls(FAMILIES[family]).eval()
    given = example(module, (inputs(3),), {})
    asked = shapes(given, None, batch=True)
    return module, capture(given, asked), asked.names


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_computed_as_torch_does(family: str) -> None:
    module, program, names = exported(family)
    imported = translate(program, family, names)
    graph = imported.graph
    assert not opaque_names(graph), imported.notes
    given = inputs(5)
    exact = {name: value.double() if value.is_floating_point() else value for name, value in given.items()}
    ports = dict(zip(graph.inputs, pytree.tree_leaves(exact), strict=True))
    found = run(graph, TorchField(torch.float64), ports, imported.parameters)
    with torch.no_grad():
        expected = pytree.tree_leaves(deepcopy(module).double()(exact))
    for (name, id), value in zip(graph.outputs.items(), expected, strict=True):
        torch.testing.assert_close(found[id], value.double(), rtol=1e-11, atol=1e-11, msg=lambda m, n=name: f"{n}: {m}")


def test_every_entry_of_the_table_has_a_case() -> None:
    called = {str(node.target) for family in FAMILIES for node in exported(family)[1].graph.nodes}
    missing = sorted(TABLE.keys() - called)
    assert not missing
