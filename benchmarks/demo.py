"""From a spec to a deployed network on real data: train, fold, verify, export, run; under a minute on two cores.

The data are the 1,797 handwritten digits that ship with scikit-learn (UCI Optical Recognition of Handwritten Digits).
Everything that is made stays in build/digits.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

import repc
from repc.checkpoints import write
from repc.ir.files import write_whole
from repc.ops.work import multiply_adds

SPEC = "repc:digits/Digits"
OUT = Path("build/digits")
EPOCHS, BATCH = 40, 128


def main() -> None:
    console = Console()
    torch.manual_seed(0)
    train, test = data()
    model = repc.load(SPEC)
    console.print(f"[bold]spec[/]      {SPEC}: {len(model.graph)} operators, {len(model.graph.parameters)} tensors")

    net = model.module(seed=0)
    started = time.perf_counter()
    fit(net, train, console)
    taken = time.perf_counter() - started
    console.print(f"[bold]trained[/]   {EPOCHS} epochs on {len(train[0])} digits in {taken:.0f} s")

    fused = model.fuse(net.state_dict())
    console.print(f"[bold]folded[/]    {len(fused.trace.steps)} rewrites, {len(fused.trace.refusals)} refusals")
    report = fused.verify()
    console.print(str(report), soft_wrap=True, highlight=False)
    if not report:
        raise SystemExit(1)

    OUT.mkdir(parents=True, exist_ok=True)
    write(OUT / "train.safetensors", net.state_dict())
    fused.save_onnx(OUT / "model.onnx")
    source = fused.source()
    write_whole(OUT / "model.py", source.code.encode())
    write(OUT / "model.safetensors", source.tensors)
    console.print(f"[bold]wrote[/]     {', '.join(str(path) for path in sorted(OUT.iterdir()))}")
    console.print(table(net, fused, test))


def data() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Images [n, 1, 8, 8] in 0..1 and their digits: a training and a test set."""
    digits: Any = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target)
    chosen, held = train_test_split(np.arange(len(labels)), test_size=0.25, random_state=0, stratify=digits.target)
    return (images[chosen], labels[chosen]), (images[held], labels[held])


def fit(net: nn.Module, train: tuple[Tensor, Tensor], console: Console) -> None:
    images, labels = train
    steps = EPOCHS * (len(images) // BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    net.train()
    with console.status("training"):
        for _ in range(EPOCHS):
            for batch in torch.randperm(len(images)).split(BATCH)[: len(images) // BATCH]:
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(images[batch]), labels[batch]).backward()
                optimizer.step()
                schedule.step()
    net.eval()


def table(net: nn.Module, fused: repc.Fused, test: tuple[Tensor, Tensor]) -> Table:
    """Train form against deployed form on the test set."""
    images, labels = test
    session = onnxruntime.InferenceSession(str(OUT / "model.onnx"), providers=["CPUExecutionProvider"])
    feeds = {"image": images.numpy()}
    with torch.no_grad():
        before = net(images)
    after = torch.from_numpy(session.run(None, feeds)[0])
    same = int((before.argmax(1) == after.argmax(1)).sum())
    modules, graphs = (net, fused.module()), (fused.model.graph, fused.graph)
    sizes = {"b": 1, "h": 8, "w": 8}
    rows = [
        ("accuracy", *(f"{float((y.argmax(1) == labels).float().mean()):.4f}" for y in (before, after))),
        ("same predictions", "", f"{same} of {len(labels)}"),
        ("parameters", *(f"{sum(p.numel() for p in module.parameters()):,}" for module in modules)),
        ("multiply-adds per image", *(f"{multiply_adds(graph, sizes):,}" for graph in graphs)),
        ("operators", *(f"{sum(form.counts().values())}" for form in (fused.model, fused))),
        ("latency of the test set", *(f"{1e3 * t:.1f} ms" for t in latency(net, session, images))),
    ]
    shown = Table(title="Digits: train form in torch, deployed form in ONNX Runtime")
    for heading in ("", "train form", "deployed"):
        shown.add_column(heading, justify="left" if not heading else "right")
    for row in rows:
        shown.add_row(*row)
    return shown


def latency(net: nn.Module, session: onnxruntime.InferenceSession, images: Tensor) -> tuple[float, float]:
    """Median seconds for all images, alternating, after a warm-up."""
    feeds = {"image": images.numpy()}
    times: list[tuple[float, float]] = []
    with torch.no_grad():
        for _ in range(12):
            a = time.perf_counter()
            net(images)
            b = time.perf_counter()
            session.run(None, feeds)
            times.append((b - a, time.perf_counter() - b))
    medians = np.median(np.array(times[2:]), axis=0)
    return float(medians[0]), float(medians[1])


if __name__ == "__main__":
    main()
