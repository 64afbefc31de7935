"""How many batch norms are left of a network: by its authors' conversion, as timm has it, and by repc: `make norms`.

Both start from the same module and are counted in the same way, as operators of the imported network.  The table goes
into benchmarks/README.md.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import nn

import repc
from benchmarks.lift import randomised
from benchmarks.readme import write_section
from benchmarks.run import timm_models
from repc.importers import import_module
from repc.ir.graph import Graph
from repc.ir.trace import Refusal
from repc.ops import BatchNorm
from repc.passes import fold

MODELS = (
    *("repvgg_a0", "mobileone_s0", "fastvit_t8", "repvit_m0_9", "repghostnet_100", "ghostnetv3_100"),
    *("levit_128s", "efficientvit_m0", "shvit_s1"),
)
SPECS = ("repc:repmlpnet/RepMLPNet_T224", "repc:unireplknet/UniRepLKNet_T")


def main() -> None:
    warnings.filterwarnings("ignore")
    create = timm_models()
    rows = [of_module(name, randomised(create(name))) for name in MODELS] + [of_spec(spec) for spec in SPECS]
    head = ["| network | batch norms | the usual conversion leaves | repc leaves | why |", "|---|---|---|---|---|"]
    text = "Made by `make norms`: batch norms as operators; the usual conversion is timm's `reparameterize_model`."
    write_section("norms", "\n".join([text, "", *head, *rows]))


def of_module(name: str, model: nn.Module) -> str:
    size = getattr(model, "default_cfg")["input_size"]  # noqa: B009 - a module has no such attribute for a type checker
    x = torch.randn(2, *size, generator=torch.Generator().manual_seed(0))
    train = import_module(model, (x,)).graph
    return row(name, train, f"{norms(import_module(converted(model), (x,)).graph)}")


def of_spec(spec: str) -> str:
    """One that timm does not have."""
    return row(spec.removeprefix("repc:"), repc.load(spec).graph, "not there")


def converted(model: nn.Module) -> nn.Module:
    from timm.utils.model import reparameterize_model

    return reparameterize_model(deepcopy(model)).eval()


def row(name: str, train: Graph, usual: str) -> str:
    graph, trace = fold(train)
    cells = (name, norms(train), usual, norms(graph), reasons(graph, trace.refusals))
    print(cells, flush=True)
    return f"| {' | '.join(map(str, cells))} |"


def norms(graph: Graph) -> int:
    return sum(isinstance(graph[id].op, BatchNorm) for id in graph)


def reasons(graph: Graph, refusals: Sequence[Refusal]) -> str:
    """Why the rest stays, numbers aside."""
    left = {graph[id].path for id in graph if isinstance(graph[id].op, BatchNorm)}
    found = [refusal for refusal in refusals if refusal.path.partition("/")[0] in left]
    alike = Counter(re.sub(r"\d+", "#", refusal.reason) for refusal in found)
    return "; ".join(f"{count}: {reason}" for reason, count in alike.most_common()) or "none is left"


if __name__ == "__main__":
    main()
