"""torchvision where there is no build of it for the processor: what timm and PEFT import it for needs schemas alone."""

from __future__ import annotations

from functools import cache

import torch

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@cache
def declare_torchvision() -> torch.library.Library | None:
    """Declare the operators that `import torchvision` asks for, where nobody has; the result keeps them alive."""
    if hasattr(torch.ops.torchvision, "nms"):
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in SCHEMAS:
        library.define(schema)
    return library
