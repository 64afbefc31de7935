"""``repc bench``: latency of train form, folded form and ONNX file, measured in turns.

The machine's speed changes while one measures, so each round runs every form once and ratios are taken within rounds.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from statistics import median, quantiles
from time import perf_counter
from typing import TYPE_CHECKING, Any

from repc.cli.arguments import add_input, add_json, add_target, add_weights
from repc.cli.compile import fold
from repc.cli.layout import row, table
from repc.cli.recipe import Recipe
from repc.cli.screen import Screen
from repc.cli.summary import named
from repc.ir.dims import evaluate
from repc.ir.types import REAL
from repc.ops.work import nominal_sizes

if TYPE_CHECKING:
    from torch import Tensor

    from repc.driver import Fused

EXAMPLES = """\
examples:
  repc bench repc:repvgg/RepVGG_A0
  repc bench net.rep:Net --size h=32 --size w=32 --batch 8 --rounds 50
  repc bench net.rep:Net --threads 1 --json

Sizes that are free and not set are 224, the batch size 1.  Weights do not matter for time: without --weights they are
initial values."""

WARM_UP = 3


@dataclass(frozen=True, eq=False)
class Timing:
    """Seconds of one form in each round."""

    name: str
    seconds: Sequence[float]

    def against(self, other: Timing) -> list[float]:
        """How many times as fast as another form, round by round."""
        return [b / a for a, b in zip(self.seconds, other.seconds, strict=True)]


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    add_input(parser)
    add_weights(parser)
    add_target(parser)
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="batch size, where it is free")
    parser.add_argument("--rounds", type=int, default=20, metavar="N", help="how often each form is run; by default 20")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of torch and ONNX Runtime alike")
    add_json(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Measure and print."""
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    with screen.progress() as say, torch.inference_mode():
        fused, _ = fold(Recipe.of(args), say)
        inputs = example(fused, args.batch)
        forms = _forms(fused, inputs, torch.get_num_threads())
        timings = measure(forms, args.rounds, lambda share: say("measuring", share))
    shapes = {name: list(value.shape) for name, value in inputs.items()}
    if args.json:
        screen.json(
            {"model": fused.model.name, "inputs": shapes, "threads": torch.get_num_threads(), **_record(timings)}
        )
    else:
        sizes = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())
        screen.result(
            row("Model", f"{named(fused.model.spec, fused.model.name)} · {sizes} · {torch.get_num_threads()} threads")
        )
        screen.result("\n" + _table(timings))
    return 0


def _forms(fused: Fused, inputs: Mapping[str, Tensor], threads: int) -> dict[str, Callable[[], object]]:
    """What can be run of a model; the first is what the others are measured against."""
    forms: dict[str, Callable[[], object]] = {}
    if "torch" in fused.expressible:
        forms["train form, torch"] = _torch(fused.unfolded(), inputs)
        forms["folded, torch"] = _torch(fused, inputs)
    else:
        forms["train form, ONNX Runtime"] = _onnx(fused.unfolded(), inputs, threads)
    if "onnx" in fused.expressible:
        forms["folded, ONNX Runtime"] = _onnx(fused, inputs, threads)
    return forms


def measure(forms: Mapping[str, Callable[[], object]], rounds: int, progress: Callable[[float], None]) -> list[Timing]:
    """Run every form once in each round, after a few rounds that do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for index in range(-WARM_UP, rounds):
        for name, form in forms.items():
            start = perf_counter()
            form()
            if index >= 0:
                seconds[name].append(perf_counter() - start)
        progress((index + WARM_UP + 1) / (rounds + WARM_UP))
    return [Timing(name, values) for name, values in seconds.items()]


def example(fused: Fused, batch: int) -> dict[str, Tensor]:
    """A random input of nominal size; zeros where they may be indices."""
    import torch

    from repc.evaluate.dtypes import DTYPES

    graph = fused.model.graph
    types = {name: graph[id].type for name, id in graph.inputs.items()}
    sizes = nominal_sizes(graph, batch)
    shapes = {name: [evaluate(dim, sizes) for dim in type.shape] for name, type in types.items()}
    dtypes = {name: DTYPES[fused.dtype if type.dtype == "f32" else type.dtype] for name, type in types.items()}
    return {
        name: torch.rand(shape).to(dtypes[name])
        if types[name].dtype in REAL
        else torch.zeros(shape, dtype=dtypes[name])
        for name, shape in shapes.items()
    }


def _torch(fused: Fused, inputs: Mapping[str, Tensor]) -> Callable[[], object]:
    module = fused.module()
    return lambda: module(*inputs.values())


def _onnx(fused: Fused, inputs: Mapping[str, Tensor], threads: int) -> Callable[[], object]:
    onnxruntime: Any = import_module("onnxruntime")  # it has no types
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        fused.onnx().SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    arrays = {name: value.numpy() for name, value in inputs.items()}
    return lambda: session.run(None, arrays)


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, median(values), high


def _record(timings: Sequence[Timing]) -> dict[str, Any]:
    base = timings[0]
    forms = [
        {
            "form": timing.name,
            "milliseconds": [round(1e3 * value, 4) for value in _spread(timing.seconds)],
            "speedup": [round(value, 4) for value in _spread(timing.against(base))],
        }
        for timing in timings
    ]
    return {"rounds": len(base.seconds), "columns": ["lower quartile", "median", "upper quartile"], "forms": forms}


def _table(timings: Sequence[Timing]) -> str:
    rows = [("", "median", "quartiles", "speed-up", "quartiles")]
    for timing in timings:
        low, middle, high = (1e3 * value for value in _spread(timing.seconds))
        slow, ratio, fast = _spread(timing.against(timings[0]))
        rows.append(
            (timing.name, f"{middle:.2f} ms", f"{low:.2f} … {high:.2f}", f"{ratio:.2f}x", f"{slow:.2f} … {fast:.2f}")
        )
    return table(rows, "<>>>>")
