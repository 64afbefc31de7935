"""Models of timm as specs: how long they are, and whether they are the same networks.

Each is lifted, written in the canonical layout, loaded with the state_dict of the original, and compared with it in
float64.  The table goes into benchmarks/README.md, the specs into a folder: `python -m benchmarks.lift DIR`.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import torch
from torch import nn

import repc
from benchmarks.models import images, randomised, timm_models
from benchmarks.readme import write_section
from repc.cli import main as repc_command

MODELS = (
    *("resnet50", "repvgg_a0", "vit_tiny_patch16_224", "fastvit_t8"),
    *("mobileone_s0", "repghostnet_050", "repvit_m0_9", "efficientvit_m0", "levit_128s", "swiftformer_xs"),
    *("convnext_tiny", "swin_tiny_patch4_window7_224", "efficientnet_b0", "beit_base_patch16_224", "hrnet_w18_small"),
)
ROW = "| {} | {} | {} | {} | {} | {} | {} | {} |"


def main() -> None:
    warnings.filterwarnings("ignore")
    create = timm_models()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        rows = [lifted(name, create(name), folder) for name in MODELS]
    head = [
        ROW.format("model", "lines", "blocks", "repeats", "opaque calls", "operators", "constants", "‖Δ‖∞/‖y‖∞"),
        "|---|---|---|---|---|---|---|---|",
    ]
    write_section("lift", "\n".join([*head, *rows]))


def lifted(name: str, model: nn.Module, folder: Path) -> str:
    """The row of a model; its keys, and the layout, are asserted on the way."""
    x = images(model)
    spec = repc.lift(randomised(model, x), (x,))
    path = folder / f"{name}.rep"
    path.write_text(spec.text, encoding="utf-8")
    assert repc_command(["fmt", "--check", "-q", str(path)]) == 0
    again = repc.load(path).module().eval()
    state = model.state_dict()
    constants = {key: value for key, value in spec.parameters.items() if key not in state}
    again.load_state_dict({**state, **constants}, strict=True)
    counts = (spec.lines, spec.blocks, spec.repeats, spec.opaque, len(spec.graph), len(constants))
    return ROW.format(name, *counts, f"{difference(model, again, x):.1e}")


@torch.no_grad()
def difference(one: nn.Module, other: nn.Module, x: torch.Tensor) -> float:
    """How far two networks are apart in float64."""
    a, b = one.double()(x.double()), other.double()(x.double())
    return float((a - b).abs().max() / a.abs().max())


if __name__ == "__main__":
    main()
