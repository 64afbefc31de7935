"""A LoRA merged into a 2 GB checkpoint: repc against copying the files, and against PEFT's `merge_and_unload`.

Every run is a process of its own, since peak memory is; they alternate.  Copying ends like a merge does, when all bytes
are on disk, and is also given with the hashing that a merge does beside it.  Imports are not counted.  The checkpoint
is made by `benchmarks.big` in a temporary folder.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.readme import write_section

LAYERS, ROUNDS = 20, 5
SAMPLE = ("model.layers.0.self_attn.q_proj.weight", "model.layers.7.mlp.down_proj.weight")
"""Tensors whose merged values are compared with float64."""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="repc-merge-", dir=sys.argv[1] if len(sys.argv) > 1 else None) as place:
        folder = Path(place)
        size = _made(folder)
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in ("copy", "hashed", "repc", "plain", "peft")}
        for _ in range(ROUNDS):
            for name, found in runs.items():
                found.append(measured(name, folder))
        text = report(size, runs, {name: measured(name, folder)["peak"] for name in ("bare", "torch")})
    write_section("merge", text)
    print(text)


def measured(name: str, folder: Path) -> dict[str, float]:
    """Seconds, peak memory in MB, and error of one run in a process of its own."""
    os.sync()  # what an earlier run left to be written is not this one's
    command = (sys.executable, "-m", "benchmarks.merge", "run", name, folder)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    out = folder / "out"
    if out.exists():
        if name in ("repc", "plain", "peft"):
            found["error"] = error(folder, out)
        shutil.rmtree(out)
    return found


def _made(folder: Path) -> int:
    from benchmarks.big import make_adapter, make_base

    make_adapter(folder / "lora", LAYERS)
    return make_base(folder / "base", LAYERS)


# ---------------------------------------------------------------- what is measured


def copy(folder: Path) -> Callable[[], None]:
    def run() -> None:
        shutil.copytree(folder / "base", folder / "out")
        for file in (folder / "out").iterdir():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())

    return run


def hashed(folder: Path) -> Callable[[], None]:
    from repc.merging.hashes import digest

    plain = copy(folder)

    def run() -> None:
        plain()
        for file in [*(folder / "base").iterdir(), *(folder / "out").iterdir()]:
            digest(file, "xxh128")

    return run


def by_repc(folder: Path) -> Callable[[], None]:
    from repc.merging import merge

    return lambda: merge(folder / "base", [folder / "lora"], folder / "out") and None


def by_repc_plainly(folder: Path) -> Callable[[], None]:
    from repc.merging import merge

    return lambda: merge(folder / "base", [folder / "lora"], folder / "out", hash=None) and None


def by_peft(folder: Path) -> Callable[[], None]:

    from benchmarks.vision import declare_torchvision

    declare_torchvision()  # transformers imports torchvision where it finds it
    models: Any = import_module("transformers").AutoModelForCausalLM
    adapted: Any = import_module("peft").PeftModel

    def run() -> None:
        base = models.from_pretrained(folder / "base", dtype="auto")
        merged = adapted.from_pretrained(base, folder / "lora").merge_and_unload()
        merged.save_pretrained(folder / "out", max_shard_size="500MB")
        os.sync()

    return run


def idle(folder: Path) -> Callable[[], None]:
    return lambda: None


def with_torch(folder: Path) -> Callable[[], None]:
    import_module("torch")
    return idle(folder)


SIDES = {
    "copy": copy,
    "hashed": hashed,
    "repc": by_repc,
    "plain": by_repc_plainly,
    "peft": by_peft,
    "bare": idle,
    "torch": with_torch,
}


def child(name: str, folder: Path) -> None:
    run = SIDES[name](folder)
    started, worked = time.perf_counter(), time.process_time()
    run()
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": peak}))


def error(folder: Path, out: Path) -> float:
    """The largest ‖y' − y*‖ / ‖y* − y‖ of the sampled tensors."""
    import torch
    from safetensors import safe_open

    def find(place: Path, key: str) -> torch.Tensor:
        for file in place.glob("*.safetensors"):
            with safe_open(file, framework="pt") as opened:
                if key in opened.keys():  # noqa: SIM118 (a handle, not a mapping)
                    return opened.get_tensor(key).double()
        raise KeyError(key)

    worst = 0.0
    for key in SAMPLE:
        prefix = f"base_model.model.{key.removesuffix('.weight')}.lora"
        a, b = (find(folder / "lora", f"{prefix}_{name}.weight") for name in "AB")
        old, new = find(folder / "base", key), find(out, key)
        change = 2.0 * b @ a
        worst = max(worst, float((new - old - change).norm() / change.norm()))
    return worst


# ---------------------------------------------------------------- the table


def report(size: int, runs: dict[str, list[dict[str, float]]], peaks: dict[str, float]) -> str:
    def spread(values: list[float]) -> str:
        return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"

    labels = {
        "copy": "copying the files, to disk",
        "hashed": "the same, and XXH3 of both",
        "repc": "`repc merge`, which hashes both",
        "plain": "`repc merge --hash none`",
        "peft": "PEFT: load, `merge_and_unload`, save",
    }
    lines = [
        f"Made by `make merging`: rank-16 LoRA on each linear layer of a Llama-shaped checkpoint, {size / 1e9:.1f} GB",
        "in bfloat16 shards. Ratios are to copying in the same round, as median (least to greatest). CPU is what all",
        "threads took together, which other work on the machine disturbs less. Memory is the peak over that of an",
        f"interpreter with torch imported ({peaks['torch']:.0f} MB; a bare one has {peaks['bare']:.0f} MB). Error is",
        "‖y′ − y\\*‖ / ‖y\\* − y‖ against float64; one rounding to bfloat16 is the least that it can be.",
        "",
        "| | seconds | time of copying | CPU seconds | memory, MB | error |",
        "|---|---|---|---|---|---|",
    ]
    for name, label in labels.items():
        found = runs[name]
        ratios = [run["seconds"] / base["seconds"] for run, base in zip(found, runs["copy"], strict=True)]
        merged = "error" in found[0]
        memory = f"{max(run['peak'] for run in found) - peaks['torch']:.0f}" if merged else ""
        wrong = f"{found[0]['error']:.2%}" if merged else ""
        seconds = statistics.median(run["seconds"] for run in found)
        cpu = statistics.median(run["cpu"] for run in found)
        lines.append(f"| {label} | {seconds:.1f} | {spread(ratios)} | {cpu:.1f} | {memory} | {wrong} |")
    speed = [other["seconds"] / own["seconds"] for other, own in zip(runs["peft"], runs["repc"], strict=True)]
    tools = ", ".join(f"{name} {version(name)}" for name in ("torch", "peft", "transformers"))
    return "\n".join(
        [
            *lines,
            "",
            f"PEFT takes {spread(speed)} times as long as repc.",
            "",
            f"Python {platform.python_version()}, {tools}, {os.cpu_count()} cores.",
        ]
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        child(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
