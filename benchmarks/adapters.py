"""repc against PEFT, method by method: lines of spec, error of the merged weights, time and memory.

Both start from the same files: a base of four square layers in float32, and an adapter with random weights, as PEFT
saves it.  Each merge runs in a process of its own, imports not counted.  What is right is PEFT's own merge in float64.
"""

from __future__ import annotations

import json
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import repc
from benchmarks.readme import write_section
from benchmarks.vision import declare_torchvision
from repc.checkpoints import read_peft

WIDTH, LAYERS, ROUNDS = 1024, 4, 3
ADAPTERS = Path(__file__).parent.parent / "specs" / "adapters"
SPEC = f"""\
repc 1

import std.activation
import std.linear

model Base(x: f32[b, {WIDTH}]) = x >> repeat i in 0..{LAYERS} {{ layers.{{i}}: Linear({WIDTH}) >> Tanh() }}
"""

METHODS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "LoRA": ("LoraConfig", {"r": 16}),
    "DoRA": ("LoraConfig", {"r": 16, "use_dora": True}),
    "AdaLoRA": ("AdaLoraConfig", {"init_r": 16, "target_r": 16, "total_step": 1}),
    "LoHa": ("LoHaConfig", {"r": 16}),
    "LoKr": ("LoKrConfig", {"r": 16}),
    "OFT": ("OFTConfig", {"oft_block_size": 32, "r": 0, "use_cayley_neumann": False}),
    "BOFT": ("BOFTConfig", {"boft_block_size": 32}),
    "HRA": ("HRAConfig", {"r": 16}),
    "RoAd": ("RoadConfig", {"variant": "road_1"}),
    "IA3": ("IA3Config", {"feedforward_modules": []}),
    "VeRA": ("VeraConfig", {"r": 64}),
    "RandLoRA": ("RandLoraConfig", {"r": 32}),
    "VB-LoRA": ("VBLoRAConfig", {"r": 8, "vector_length": 64, "num_vectors": 64}),
    "SHiRA": ("ShiraConfig", {"r": 16}),
    "C3A": ("C3AConfig", {"block_size": 64}),
    "FourierFT": ("FourierFTConfig", {"n_frequency": 1000}),
    "MiSS": ("MissConfig", {"r": 16}),
}


@dataclass(frozen=True)
class Side:
    """The median seconds of a merge, and the megabytes that the first one added at its peak."""

    seconds: float
    memory: float


@dataclass(frozen=True)
class Row:
    method: str
    lines: int
    errors: tuple[float, float]
    repc: Side
    peft: Side


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return x


def peft() -> Any:
    """The library, which imports torchvision where it finds it."""
    declare_torchvision()
    return import_module("peft")


def main() -> None:
    rows: list[Row] = []
    for method in METHODS:
        rows.append(measured(method))
        print(rows[-1], file=sys.stderr, flush=True)
    text = report(rows)
    write_section("adapters", text)
    print(text)


def measured(method: str) -> Row:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(method, folder)
        wanted = load_file(folder / "right.safetensors")
        ours, theirs = (Side(**json.loads(process(side, name))) for side in ("repc", "peft"))
        errors = [error(load_file(folder / f"{side}.safetensors"), wanted) for side in ("repc", "peft")]
        return Row(method, lines_of_spec(folder), (errors[0], errors[1]), ours, theirs)


def process(side: str, folder: str) -> str:
    command = [sys.executable, "-m", "benchmarks.adapters", side, folder]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def prepare(method: str, folder: Path) -> None:
    """The base, the adapter with random weights, and what PEFT makes of them in float64."""
    library = peft()
    torch.manual_seed(0)
    base = Base()
    save_file(base.state_dict(), folder / "base.safetensors")
    name, settings = METHODS[method]
    adapted = library.get_peft_model(base, getattr(library, name)(target_modules=r"layers\.\d+", **settings))
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn_like(parameter))
    adapted.save_pretrained(folder / "adapter")
    (folder / "net.rep").write_text(SPEC)
    save_file(by_peft(folder, torch.float64), folder / "right.safetensors")


def by_peft(folder: Path, dtype: torch.dtype) -> dict[str, Tensor]:
    library = peft()
    base = Base()
    base.load_state_dict(load_file(folder / "base.safetensors"))
    adapted = library.PeftModel.from_pretrained(base.to(dtype), folder / "adapter", autocast_adapter_dtype=False)
    return adapted.to(dtype).merge_and_unload().state_dict()


def by_repc(folder: Path) -> dict[str, Tensor]:
    model = repc.load(folder / "net.rep", adapter=folder / "adapter")
    return model.fuse(folder / "base.safetensors").values


def one_side(side: str, folder: Path) -> None:
    """Merge some times, and say what it took."""
    peft()
    before, memory = resident("VmRSS"), 0.0
    taken: list[float] = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        merged = by_repc(folder) if side == "repc" else by_peft(folder, torch.float32)
        taken.append(time.perf_counter() - started)
        memory = memory or resident("VmHWM") - before
        save_file({key: tensor.contiguous() for key, tensor in merged.items()}, folder / f"{side}.safetensors")
    print(json.dumps({"seconds": statistics.median(taken), "memory": memory}))


def resident(what: str) -> float:
    """Megabytes in memory, now or at the peak; what `getrusage` says would begin with those of the parent."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def error(merged: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> float:
    """The largest ‖Δ‖∞/‖W‖∞ of any weight."""
    assert merged.keys() == wanted.keys()
    return max(float((merged[key] - right).abs().max() / right.abs().max()) for key, right in wanted.items())


def lines_of_spec(folder: Path) -> int:
    """The lines of the block that the adapter is imported as."""
    text = read_peft(folder / "adapter").spec
    called = re.findall(r"use [\w.]+: (\w+)", text)[0]
    source = "\n".join(path.read_text() for path in ADAPTERS.glob("*.rep"))
    found = re.search(rf"^block {called}\b(?:.*?\{{.*?^\}}|[^{{]*?(?=\n\n))", source, re.MULTILINE | re.DOTALL)
    assert found is not None
    return len(found[0].splitlines())


def report(rows: list[Row]) -> str:
    lines = [
        f"Made by `make adapters`: {LAYERS} layers of {WIDTH} x {WIDTH} in float32, from files to merged weights. The",
        "error is the largest ‖Δ‖∞/‖W‖∞ against a merge in float64; seconds are medians of",
        f"{ROUNDS}, memory is what the first merge added to the process at its peak, in MB.  FourierFT has no better",
        "reference: PEFT transforms in float32 whatever the base is.",
        "",
        "| method | lines of spec | error: repc | PEFT | seconds: repc | PEFT | memory: repc | PEFT |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.method} | {row.lines} | {row.errors[0]:.1e} | {row.errors[1]:.1e} | {row.repc.seconds:.2f} | "
        f"{row.peft.seconds:.2f} | {row.repc.memory:.0f} | {row.peft.memory:.0f} |"
        for row in rows
    ]
    versions = f"torch {torch.__version__.split('+')[0]}, peft {peft().__version__}, {torch.get_num_threads()} threads"
    return "\n".join([*lines, "", f"Python {platform.python_version()}, {versions}."])


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    if len(sys.argv) > 1:
        one_side(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
