"""The parts of a module in the key style of kohya and LyCORIS, and which block they are together."""

from __future__ import annotations

from repc.checkpoints.peft_method import Form
from repc.checkpoints.peft_methods import LOHA, LOKR

_LINEAR = {"lora_down.weight": "r i", "lora_up.weight": "o r"}
_CONV = {"lora_down.weight": "r i ...k", "lora_up.weight": "o r ...1"}
_MID = {"lora_down.weight": "r i ...1", "lora_mid.weight": "r r ...k", "lora_up.weight": "o r ...1"}

FORMS = (
    Form("LoRA(r={r}, alpha={alpha})", _LINEAR),
    Form("LoRAConv(r={r}, alpha={alpha})", _CONV),
    Form("LoConTucker(r={r}, alpha={alpha})", _MID),
    *LOHA.forms,
    *LOKR.forms,
)

MODULES = {
    **dict.fromkeys(("LoRA", "LoRAConv", "LoConTucker"), "lora"),
    **{form.block.partition("(")[0]: method.module for method in (LOHA, LOKR) for form in method.forms},
}
"""Block → its file in specs/adapters."""

BESIDE = frozenset(("diff", "diff_b", "w_norm", "b_norm"))
"""Whole differences, which stand beside the factors or alone."""

PARTS = {
    "lora_down.weight": "lora_A.weight",
    "lora_up.weight": "lora_B.weight",
    "lora_mid.weight": "lora_mid.weight",
    **{part: part for method in (LOHA, LOKR) for form in method.forms for part in form.parts},
    **{part: part for part in (*BESIDE, "alpha", "dora_scale")},
}
"""Part of a key → the name in the block."""

RANKS = {
    "lora_down.weight": 0,
    "hada_t1": 0,
    "hada_w1_b": 0,
    "lokr_t2": 0,
    "lokr_w2_b": 0,
    "lokr_w1_b": 0,
}
"""Where a rank is seen: the axis of a part, the surest first."""

DECOMPOSED = {False: "DecomposedInputs", True: "DecomposedOutputs"}
"""By whether magnitudes are of outputs."""
