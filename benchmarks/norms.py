"""Batch norms that are left when a network is deployed, by repc and by the authors' or timm's own conversion.

The table goes into benchmarks/README.md.
"""

from __future__ import annotations

import warnings
from importlib import import_module

from torch import nn

import repc
from benchmarks.models import timm_models
from benchmarks.readme import write_section
from repc.ir.graph import Graph
from repc.ops import BatchNorm

NETWORKS: dict[str, tuple[str, str | int]] = {
    "RepGhost 1.0": ("repghostnet/RepGhostNet_100", "repghostnet_100"),
    "GhostNetV3 1.0": ("ghostnetv3/GhostNetV3_100", "ghostnetv3_100"),
    "RepMLPNet-T224": ("repmlpnet/RepMLPNet_T224", 53),
    "FastViT-T8": ("fastvit/FastViT_T8", "fastvit_t8"),
    "FastViT-SA12": ("fastvit/FastViT_SA12", "fastvit_sa12"),
    "RepViT-M0.9": ("repvit/RepViT_M0_9", "repvit_m0_9"),
    "LeViT-128S": ("levit/LeViT_128S", "levit_128s"),
    "EfficientViT-M0": ("efficientvit_m/EfficientViT_M0", "efficientvit_m0"),
    "SHViT-S1": ("shvit/SHViT_S1", "shvit_s1"),
    "RepVGG-A0": ("repvgg/RepVGG_A0", "repvgg_a0"),
    "MobileOne-S0": ("mobileone/MobileOne_S0", "mobileone_s0"),
}
"""Network → its shipped spec, and its name in timm or, where timm lacks it, what the authors' conversion left once."""


def main() -> None:
    warnings.filterwarnings("ignore")
    lines = [
        "Made by `make norms`. The reference is timm's `reparameterize_model`, or, where timm lacks the network, what",
        "was recorded (r) of the authors' own conversion.",
        "",
        "| network | batch norms in training | left by the reference | left by repc |",
        "|---|---|---|---|",
    ]
    create = timm_models()
    convert = import_module("timm.utils.model").reparameterize_model
    for label, (spec, reference) in NETWORKS.items():
        model = repc.load(f"repc:{spec}")
        folded, _ = model.fold(model.target("deploy"))
        left = f"{reference} (r)" if isinstance(reference, int) else str(in_module(convert(create(reference))))
        lines.append(f"| {label} | {in_graph(model.graph)} | {left} | {in_graph(folded)} |")
    text = "\n".join(lines)
    write_section("norms", text)
    print(text)


def in_graph(graph: Graph) -> int:
    return sum(isinstance(graph[id].op, BatchNorm) for id in graph)


def in_module(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in network.modules())


if __name__ == "__main__":
    main()
