"""A refusal across zero padding says how wrong the border would be: exactly as wrong as the fold without that check."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from repc.evaluate import evaluate, run
from repc.evaluate.floating import TorchField
from repc.ir.graph import Graph
from repc.passes import Options, chains
from repc.passes.rules import fold_affine_forward
from tests.mutants.mutant import Patch, mutated
from tests.passes.build import EXACT, Net, folded

LAYERS = [
    ((3, 3), {"padding": 1}),
    ((3, 1), {"padding": [(1, 0), (0, 2)]}),
    ((3, 3), {"padding": 2, "dilation": 2, "groups": 2}),
    ((4,), {"padding": [(1, 2)], "stride": 2}),
]
FAULTS = {
    "F2": Patch(fold_affine_forward, "reads_everything", lambda _: True),
    "F5": Patch(chains, "fault", lambda *_: None),
}


def network(rule: str, kernel: tuple[int, ...], layer: dict[str, Any]) -> Net:
    net = Net()
    x = net.input(2, 4, *(17, 15)[: len(kernel)])
    y = net.batch_norm(x, "bn") if rule == "F2" else net.conv(x, "point", 4, [1] * len(kernel))
    return net.output(net.conv(y, "conv", 6, kernel, **layer))


@pytest.mark.parametrize("rule", FAULTS)
@pytest.mark.parametrize(("kernel", "layer"), LAYERS, ids=str)
def test_it_is_off_by_what_the_fold_would_be(rule: str, kernel: tuple[int, ...], layer: dict[str, Any]) -> None:
    found = folded(network(rule, kernel, layer), objective="operators")
    (refusal,) = found.trace.refusals
    assert refusal.rule == rule
    assert "from the border the result would be wrong" in refusal.reason
    assert refusal.off is not None
    stated = float(evaluate({"": refusal.off}, TorchField(), found.net.values)[""].abs().max())
    graph, _ = mutated(found.net.graph, [FAULTS[rule]], Options(objective="operators"))
    wrong, right = (output(found.net, each) for each in (graph, found.graph))
    assert abs(float((wrong - right).abs().max()) / stated - 1) < EXACT


def output(net: Net, graph: Graph) -> Tensor:
    id = net.graph.inputs["x"]
    x = torch.randn(net.graph[id].type.concrete(), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return run(graph, TorchField(), {"x": x}, net.values)[graph.outputs["y0"]]
