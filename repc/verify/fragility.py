"""How a folded network would bear fewer bits: what grew, what is out of range, which channels differ in scale.

Folding gathers scales in kernels.  That costs nothing in float32; in float16 large values overflow, and in eight bits a
channel with small weights shares its steps with one that has large ones (Chu et al. 2022, arXiv:2212.01593).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from repc.ir.expr import Param, parameters
from repc.ir.graph import Graph
from repc.ir.storage import storage
from repc.ops import BatchNorm, Conv, ConvTranspose, Linear
from repc.verify.report import Remark
from repc.verify.tally import Tally

SIXTEEN = {"fp16": torch.float16, "bf16": torch.bfloat16}
RATIO = 100.0  # between channels, beyond which eight bits leave less than two for the smaller one


@dataclass(frozen=True)
class _Kernel:
    """A folded kernel: its name, the largest weight before and after, and the largest of each output channel."""

    path: str
    before: float
    after: float
    channels: Tensor


def fragility(
    train: Graph, fused: Graph, given: Mapping[str, Tensor], stored: Mapping[str, Tensor], tally: Tally
) -> tuple[Remark, ...]:
    """Remarks on float16, on variances that amplify, and on eight bits.

    `given` are the trained parameters, `stored` the deployed tensors, `tally` has the values on the sample.
    """
    kernels = list(_kernels(fused, given, stored))
    return (*_sixteen_bits(kernels, stored, tally), *_variance(train, given), *_eight_bits(kernels))


def _kernels(graph: Graph, given: Mapping[str, Tensor], stored: Mapping[str, Tensor]) -> Iterator[_Kernel]:
    names = storage(graph).names
    for id in graph.order():
        node = graph[id]
        expr = node.weights.get("weight")
        if isinstance(node.op, (Conv, ConvTranspose, Linear)) and expr is not None and not isinstance(expr, Param):
            kernel = stored[names[id, "weight"]].abs()
            read = (given[path] for path, param in parameters([expr]).items() if param.type.rank > 1)
            sources = [source for source in read if source.is_floating_point() and source.numel()]
            before = max((float(source.abs().max()) for source in sources), default=1.0)
            rows = kernel.transpose(0, 1) if isinstance(node.op, ConvTranspose) else kernel
            yield _Kernel(node.path, before, float(kernel.max()), rows.flatten(1).amax(1))


def _sixteen_bits(kernels: list[_Kernel], stored: Mapping[str, Tensor], tally: Tally) -> Iterator[Remark]:
    """Weights and values must be below the largest number; of float16 that is 65,504, of bfloat16 that of float32."""
    grown = max(kernels, key=lambda kernel: kernel.after / (kernel.before or 1.0), default=None)
    text = f"max|K| grew {grown.before:.2g} -> {grown.after:.2g} ({grown.path})" if grown else "no kernel was folded"
    sizes = {
        name: float(value.abs().max()) for name, value in stored.items() if value.numel() and value.is_floating_point()
    }
    sizes |= {cut.label: size for cut, size in tally.magnitudes.items()}
    largest = max(sizes, key=lambda name: sizes[name], default="")
    reached = f"{largest} reaches {sizes[largest]:.2g}" if largest else "there are no values"
    fits = {name: not largest or sizes[largest] <= torch.finfo(dtype).max for name, dtype in SIXTEEN.items()}
    yield Remark("fp16", fits["fp16"], f"{reached}; {text}", "" if fits["fp16"] else "deploy as bf16, or as f32")
    yield Remark("bf16", fits["bf16"], f"{reached}; 8 bits each", "" if fits["bf16"] else "deploy as f64")


def _variance(graph: Graph, given: Mapping[str, Tensor]) -> Iterator[Remark]:
    """A channel of hardly any variance is amplified as far as eps lets it."""
    found: list[tuple[float, float, str]] = []
    for id in graph:
        node = graph[id]
        variance = node.weights.get("running_var")
        if isinstance(node.op, BatchNorm) and isinstance(variance, Param):
            found.append((float(given[variance.path].min()), float(node.op.eps), node.path))
    if found:
        least, eps, path = min(found)
        fine = least > eps
        remedy = "" if fine else "such a channel is dead: prune it, or train it further"
        yield Remark("variance", fine, f"smallest {least:.2g} at {path}, eps {eps:g}", remedy)


def _eight_bits(kernels: list[_Kernel]) -> Iterator[Remark]:
    """The largest weight of each output channel, where one scale serves all of them."""
    ratios = {kernel.path: _ratio(kernel.channels) for kernel in kernels}
    if ratios:
        worst = max(ratios, key=lambda path: ratios[path])
        fine = ratios[worst] <= RATIO
        block = worst.rpartition(".")[0] or worst
        remedy = "" if fine else f"quantise per channel, or leave it unfolded: target {{ keep {block} }}"
        yield Remark("int8", fine, f"channel range ratio {ratios[worst]:.3g} at {worst}", remedy)


def _ratio(channels: Tensor) -> float:
    """Between the largest and the smallest channel that is not zero."""
    alive = channels[channels > 0]
    return float(alive.max() / alive.min()) if alive.numel() else 1.0
