"""Adapters that were trained beside quantised weights, and merged into the full ones.

What such an adapter was trained to correct is not in the full weights.  So the user says which base is meant: `trained`
merges into the values of the quantised weights, `full` into those that are given; how far the two are apart is measured
either way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Literal, TypeAlias

import torch

from repc.diagnostics import Source
from repc.ir.expr import Expr
from repc.ir.types import TensorType
from repc.merging.computed import Computed, squares
from repc.merging.operands import Operands
from repc.semantics import FileLibrary, adapt_stored, load

Precision: TypeAlias = Literal["trained", "full"]
FORMATS = {"nf4": "NF4", "int8": "Int8"}
"""How weights are kept, and the block that says it."""

TRAINED = "Trained"
_NAME = re.compile(r"(?i)(?<![a-z0-9])(bnb|gptq|awq|nf4|fp4|[48]-?bit|int[48])(?![a-z0-9])")
_CARD = re.compile(r"load_in_[48]bit:\s*True")


def told_quantised(folder: Path) -> str | None:
    """What says that the base was quantised in training: the name of the base, or what PEFT noted in the model card."""
    try:
        config = json.loads((folder / "adapter_config.json").read_bytes())
        name = str(config.get("base_model_name_or_path"))
        card = folder / "README.md"
        noted = _CARD.search(card.read_text(encoding="utf-8", errors="replace")) if card.is_file() else None
    except (OSError, ValueError, AttributeError):
        return None  # whoever reads the adapter says what is wrong
    return f"its base was {name}" if _NAME.search(name) else f"its card says {noted[0]}" if noted else None


def quantised_text(format: str, base: str, keys: Sequence[str]) -> str:
    """A spec in which the weights of a base are what is left of them in a format."""
    lines = [f"  at {key} expect 1 use base: {FORMATS[format]}()" for key in keys]
    return "\n".join(["import merging.quantised", "", f"adapt {base} as {TRAINED} {{", *lines, "}", ""])


def quantised_weights(format: str, keys: Sequence[str], types: Mapping[str, TensorType]) -> Mapping[str, Expr]:
    """The weights of a base in a format."""
    text = f"repc 1\n{quantised_text(format, 'Base', keys)}"
    return adapt_stored(load(Source("base", text), FileLibrary()), TRAINED, types).weights


def difference(found: Mapping[str, Expr], operands: Operands) -> float:
    """‖Q(W) − W‖ / ‖W‖ over the first rows of each weight."""
    apart = whole = 0.0
    for key, expr in found.items():
        computed = Computed(key, expr, torch.float32, torch.float32, operands)
        exact, _ = computed.tile(0)
        old = operands.read(key, 0, *computed.place(0)).float()
        apart += squares(exact - old)
        whole += squares(old)
    return sqrt(apart / whole) if whole else 0.0
