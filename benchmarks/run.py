"""repc against the usual way: a hand-written conversion, then `torch.onnx.export`.

Both sides start from the same checkpoint of a timm model with random weights and statistics, alternate within one
process, and write the same kind of file.  Imports are not counted.  The table goes into benchmarks/README.md as ratios:
absolute times of a shared machine mean little.
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

import repc
from benchmarks.models import images, randomised, timm_models, usual_way
from benchmarks.readme import write_section

HERE = Path(__file__).parent
ROUNDS = 5
MODELS = {
    "RepVGG-A0": ("repvgg_a0", "repc:repvgg/RepVGG_A0"),
    "RepVGG-B1g4": ("repvgg_b1g4", "repc:repvgg/RepVGG_B1g4"),
    "MobileOne-S0": ("mobileone_s0", "repc:mobileone/MobileOne_S0"),
    "MobileOne-S4": ("mobileone_s4", "repc:mobileone/MobileOne_S4"),
}


@dataclass(frozen=True)
class Row:
    """Ratios of repc to the usual way, as (least, median, greatest); below one repc is faster."""

    model: str
    compile: tuple[float, float, float]
    verified: tuple[float, float, float]
    latency: tuple[float, float, float]
    same_operators: str


def main() -> None:
    warnings.filterwarnings("ignore")
    create = timm_models()
    rows: list[Row] = []
    for label, (name, spec) in MODELS.items():
        model = create(name)
        rows.append(compare(label, randomised(model, images(model)), spec))
    text = report(rows, scaling(), startup())
    write_section("bench", text)
    print(text)


def compare(label: str, model: nn.Module, spec: str) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        weights, ours, theirs = (Path(folder) / name for name in ("model.pth", "ours.onnx", "theirs.onnx"))
        torch.save(model.state_dict(), weights)

        def repc_alone() -> None:
            repc.load(spec).fuse(weights).save_onnx(ours)

        def repc_verified() -> None:
            fused = repc.load(spec).fuse(weights)
            fused.save_onnx(ours)
            assert fused.verify(), label

        times = alternate([partial(usual_way, model, theirs), repc_alone, repc_verified], ROUNDS)
        compile = ratios(times[1], times[0])
        verified = ratios(times[2], times[0])
        return Row(label, compile, verified, latency(ours, theirs), operators(ours, theirs))


def alternate(actions: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Seconds of each action, taken in turn after one round that does not count."""
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(rounds + 1):
        for action, taken in zip(actions, times, strict=True):
            started = time.perf_counter()
            action()
            taken.append(time.perf_counter() - started)
    return [taken[1:] for taken in times]


def ratios(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    found = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    return found[0], statistics.median(found), found[-1]


def latency(ours: Path, theirs: Path) -> tuple[float, float, float]:
    """Batch 1 in ONNX Runtime, default options, alternating; medians of blocks of runs."""
    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224), dtype=np.float32)
    runs: list[Callable[[], object]] = []
    for path in (ours, theirs):
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        runs.append(lambda session=session, name=name: session.run(None, {name: image}))
    blocks = [alternate(runs, 20) for _ in range(7)]
    return ratios(*([statistics.median(block[side]) for block in blocks] for side in (0, 1)))


def operators(ours: Path, theirs: Path) -> str:
    """Whether both files have the same operators."""
    counts = [Counter(node.op_type for node in onnx.load(path).graph.node) for path in (ours, theirs)]
    if counts[0] == counts[1]:
        return "equal"
    return f"repc {dict(counts[0] - counts[1])}, theirs {dict(counts[1] - counts[0])}"


def scaling() -> float:
    """Time for 1,000 blocks of a narrow RepVGG over the time for 100, the lesser of three each."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "narrow.rep"
        path.write_text(
            "repc 1\nimport models.repvgg\n"
            "model Narrow<n>(image: f32[b, 4, h, w]) = image >> repeat i in 0..n { block{i}: RepVGGBlock(4) }\n"
        )
        best: list[float] = []
        for blocks in (100, 1000):
            times: list[float] = []
            for _ in range(3):
                started = time.perf_counter()
                repc.load(path, n=blocks).fuse().save_onnx(Path(folder) / "narrow.onnx")
                times.append(time.perf_counter() - started)
            best.append(min(times))
        return best[1] / best[0]


def startup() -> tuple[float, float, float]:
    """``repc check`` of the RepVGG specs over the bare imports of networkx and lark, each in a fresh process."""
    spec = str(HERE.parent / "specs" / "models" / "repvgg.rep")
    commands = (["-m", "repc", "check", "-q", spec], ["-c", "import networkx, lark"])
    times = alternate([partial(subprocess.run, [sys.executable, *words], check=True) for words in commands], 15)
    return ratios(times[0], times[1])


def report(rows: list[Row], scale: float, started: tuple[float, float, float]) -> str:
    def spread(values: tuple[float, float, float]) -> str:
        return f"{values[1]:.2f} ({values[0]:.2f} to {values[2]:.2f})"

    lines = [
        "Made by `make bench`. Ratios of repc to the usual way (timm's conversion, then `torch.onnx.export` with",
        "dynamo and opset 18) in one run, as median (least to greatest); below 1.00 repc is faster. Imports are not",
        "counted.",
        "",
        "| model | compile | compile and verify | deployed latency, ONNX Runtime | operators |",
        "|---|---|---|---|---|",
    ]
    lines.extend(
        f"| {r.model} | {spread(r.compile)} | {spread(r.verified)} | {spread(r.latency)} | {r.same_operators} |"
        for r in rows
    )
    lines.extend(
        [
            "",
            f"A narrow RepVGG of 1,000 blocks takes {scale:.1f} times as long as one of 100 (spec to ONNX file).",
            "",
            f"`repc check` of the 14 RepVGG models takes {spread(started)} times the imports of networkx and lark.",
            "",
            f"Python {platform.python_version()}, torch {torch.__version__.split('+')[0]}, onnx {onnx.__version__}, "
            f"ONNX Runtime {onnxruntime.__version__}, {torch.get_num_threads()} threads.",
        ]
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
