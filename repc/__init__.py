"""repc: write the architecture you train; repc derives, proves and emits the one you deploy.

    model = repc.load("repc:repvgg/RepVGG_A0", classes=10)
    net = model.module()                    # a torch.nn.Module to train
    fused = model.fuse(net.state_dict())    # or the path of a checkpoint
    fused.save_onnx("a0.onnx")
    print(fused.verify())

Names are loaded when they are used, so that checking a spec does not load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
    from repc.diagnostics import Diagnostic, Failure
    from repc.driver import Fused, Model, load
    from repc.merging import MergeReport, merge
    from repc.modules import FoldReport, block, fold, lift
    from repc.verify import Report, compare

__all__ = [
    "Diagnostic",
    "Failure",
    "FoldReport",
    "Fused",
    "MergeReport",
    "Model",
    "Report",
    "block",
    "compare",
    "fold",
    "lift",
    "load",
    "merge",
]

_HOMES = {
    "Diagnostic": ("repc.diagnostics", "Diagnostic"),
    "Failure": ("repc.diagnostics", "Failure"),
    "FoldReport": ("repc.modules", "FoldReport"),
    "Fused": ("repc.driver", "Fused"),
    "MergeReport": ("repc.merging", "MergeReport"),
    "Model": ("repc.driver", "Model"),
    "Report": ("repc.verify", "Report"),
    "block": ("repc.modules", "block"),
    "compare": ("repc.verify", "compare"),
    "fold": ("repc.modules", "fold"),
    "lift": ("repc.modules", "lift"),
    "load": ("repc.driver", "load"),
    "merge": ("repc.merging", "merge"),
}


def __getattr__(name: str) -> object:
    """Import a public name on first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        return version("repc")
    if name not in _HOMES:
        raise AttributeError(f"module 'repc' has no attribute {name!r}")
    home, attribute = _HOMES[name]
    return getattr(import_module(home), attribute)
