"""What repc, ONNX Runtime, onnxsim and onnxslim leave of small graphs: `make micrographs`.

Every tool gets the train form as repc emits it, in float32 with all weights inside.  Its result is run beside the train
form, so that one that computes something else shows.  The table goes into benchmarks/README.md.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import version

import numpy as np
import onnx
import onnxruntime
import torch

from benchmarks.readme import write_section
from repc.backends import onnx as to_onnx
from repc.evaluate.stored import deployed
from repc.ir.graph import Graph
from repc.passes import Options, fold
from tests.passes.build import Net
from tests.passes.micrographs import IDEAL, OBJECTIVE, REFUSED, Make, network

FAR = 1e-3  # a train form in float32 is off by less than a hundredth of that
HIDDEN = ("Constant", "Identity")


def emitted(net: Net, graph: Graph) -> onnx.ModelProto:
    """A graph as an ONNX file, with the parameters of the network; a size that is free is 11."""
    return to_onnx.build(graph, deployed(graph, net.values, torch.float32))


def by_repc(net: Net, make: Make, model: onnx.ModelProto) -> onnx.ModelProto:
    return emitted(net, fold(net.graph, Options(objective=OBJECTIVE.get(make, "default")))[0])


def by_ort(level: str) -> Callable[[Net, Make, onnx.ModelProto], onnx.ModelProto]:
    """The graph as ONNX Runtime saves it after its own optimizations up to a level."""

    def optimized(net: Net, make: Make, model: onnx.ModelProto) -> onnx.ModelProto:
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/model.onnx"
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
            options.optimized_model_filepath = path
            options.log_severity_level = 3
            onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            return onnx.load(path)

    return optimized


def by_onnxsim(net: Net, make: Make, model: onnx.ModelProto) -> onnx.ModelProto:
    return import_module("onnxsim").simplify(model)[0]


def by_onnxslim(net: Net, make: Make, model: onnx.ModelProto) -> onnx.ModelProto:
    made = import_module("onnxslim").slim(model)
    assert isinstance(made, onnx.ModelProto)
    return made


TOOLS: Mapping[str, Callable[[Net, Make, onnx.ModelProto], onnx.ModelProto]] = {
    "repc": by_repc,
    "ONNX Runtime, extended": by_ort("EXTENDED"),
    "ONNX Runtime, all": by_ort("ALL"),
    "onnxsim": by_onnxsim,
    "onnxslim": by_onnxslim,
}


def size(model: onnx.ModelProto) -> int:
    """How many operators it has."""
    return sum(node.op_type not in HIDDEN for node in model.graph.node)


def off(model: onnx.ModelProto, other: onnx.ModelProto) -> float:
    """The largest ‖Δ‖∞/‖y‖∞ of an output on one random input."""
    first = model.graph.input[0]
    shape = [dim.dim_value or 11 for dim in first.type.tensor_type.shape.dim]
    given = {first.name: np.random.default_rng(0).standard_normal(shape, dtype=np.float32)}
    runs: list[list[np.ndarray]] = []
    for proto in (model, other):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        runs.append([np.asarray(value) for value in session.run(None, given)])
    return max(float(abs(a - b).max() / abs(a).max()) for a, b in zip(*runs, strict=True))


def cell(net: Net, make: Make, model: onnx.ModelProto, tool: str) -> str:
    """How many operators a tool leaves, and whether these compute the same."""
    try:
        made = TOOLS[tool](net, make, model)
        found = off(model, made)
    except Exception as error:  # whatever another tool raises is its result
        return f"fails ({type(error).__name__})"
    return f"{size(made)}" if found < FAR else f"{size(made)}, wrong by {found:.1g}"


def rows(makes: Mapping[Make, int | None]) -> list[str]:
    """One line for each graph: before, after each tool, and the ideal, which is None for what must stay."""
    found: list[str] = []
    for make, ideal in makes.items():
        net = network(make)
        model = emitted(net, net.graph)
        cells = [cell(net, make, model, tool) for tool in TOOLS]
        least = size(model) if ideal is None else ideal
        what = (make.__doc__ or "").split(".\n")[0].rstrip(".")
        found.append(f"| {make.__name__} | {what} | {size(model)} | {' | '.join(cells)} | {least} |")
        print(found[-1], flush=True)
    return found


def main() -> None:
    warnings.simplefilter("ignore")
    ideals: dict[Make, int | None] = {make: sum(ideal.values()) for make, ideal in IDEAL.items()}
    head = f"| graph | train form | before | {' | '.join(TOOLS)} | ideal |\n|{'---|' * (len(TOOLS) + 4)}"
    folds, stays = rows(ideals), rows(dict.fromkeys(REFUSED, None))
    versions = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "onnxsim", "onnxslim"))
    reached = [
        f"by {tool}, {sum(row.split(' | ')[i] == row.split(' | ')[-1].rstrip(' |') for row in folds)}"
        for i, tool in enumerate(TOOLS, start=3)
    ]
    text = [
        "Made by `make micrographs` from tests/passes/micrographs.py: operators before and after each tool, and the",
        "least that is possible. ONNX Runtime's layouts bring operators of their own, and it has one for a convolution",
        "with a relu. In the graphs of the second table nothing may fold across the edge in the way.",
        "",
        head,
        *folds,
        "",
        f"Of {len(folds)} ideals are reached: {'; '.join(reached)}.",
        "",
        head,
        *stays,
        "",
        f"{versions}.",
    ]
    write_section("micrographs", "\n".join(text))


if __name__ == "__main__":
    main()
