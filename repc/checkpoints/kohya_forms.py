"""The parts of a module in the key style of kohya and LyCORIS, and which block they are together."""

from __future__ import annotations

from repc.checkpoints.peft.method import Form
from repc.checkpoints.peft.methods import LOHA, LOKR, SHIFTED

_LINEAR = {"lora_down.weight": "r i", "lora_up.weight": "o r"}
_CONV = {"lora_down.weight": "r i ...k", "lora_up.weight": "o r ...1"}
_MID = {"lora_down.weight": "r i ...1", "lora_mid.weight": "r r ...k", "lora_up.weight": "o r ...1"}

_FACTORS = {"a1.weight": "i r ...1", "a2.weight": "r i ...1", "b1.weight": "o r ...1", "b2.weight": "r i ...k"}
_BLOCKS, _CROSSED = {"oft_blocks": "blocks n n"}, {"oft_blocks": "factors blocks n n"}
_RESCALED = {"rescale": "o ...1"}

KRONECKER = tuple(form for form in LOKR.forms if form.parts.get("lokr_w2") != SHIFTED)
"""Without what PEFT alone does to 1-d kernels."""

SCALED = tuple(
    Form(f"ScaledByIA3({axis})", {"weight": shape}, {"on_input": axis == 1})
    for axis in (0, 1)
    for shape in ("n", "1 n ...1")
)

TURNED = (
    Form("DiagOFT({blocks}, {bound})", _BLOCKS),
    Form("DiagOFT({blocks}, {bound}) >> Rescaled()", {**_BLOCKS, **_RESCALED}),
    Form("ButterflyOFT({factors}, {blocks}, {bound})", _CROSSED),
    Form("ButterflyOFT({factors}, {blocks}, {bound}) >> Rescaled()", {**_CROSSED, **_RESCALED}),
)

FORMS = (
    Form("LoRA(r={r}, alpha={alpha})", _LINEAR),
    Form("LoRAConv(r={r}, alpha={alpha})", _CONV),
    Form("LoConTucker(r={r}, alpha={alpha})", _MID),
    *LOHA.forms,
    *KRONECKER,
    *SCALED,
    Form("GLoRAFactors(r={r}, alpha={alpha})", _FACTORS),
    *TURNED,
)

MODULES = {
    **dict.fromkeys(("LoRA", "LoRAConv", "LoConTucker"), "lora"),
    **{form.block.partition("(")[0]: method.module for method in (LOHA, LOKR) for form in method.forms},
    **dict.fromkeys(("ScaledByIA3", "GLoRAFactors", "DiagOFT", "ButterflyOFT"), "lycoris"),
}
"""Block → its file in specs/adapters."""

BESIDE = frozenset(("diff", "diff_b", "w_norm", "b_norm"))
"""Whole differences, which stand beside the factors or alone."""

SETTINGS = ("alpha", "dora_scale", "on_input")
"""Parts that are no factors."""

RELATIVE = frozenset(("dora_scale", "a1.weight"))
"""Parts by which an adapter reads the weight of the base, so that no other may come before it."""

PARTS = {
    "lora_down.weight": "lora_A.weight",
    "lora_up.weight": "lora_B.weight",
    "lora_mid.weight": "lora_mid.weight",
    **{part: part for method in (LOHA, LOKR) for form in method.forms for part in form.parts},
    **{part: part for form in (*SCALED, *TURNED) for part in form.parts},
    **{part: part for part in (*_FACTORS, *BESIDE, *SETTINGS)},
}
"""Part of a key → the name in the block."""

RANKS = {
    "lora_down.weight": 0,
    "hada_t1": 0,
    "hada_w1_b": 0,
    "lokr_t2": 0,
    "lokr_w2_b": 0,
    "lokr_w1_b": 0,
    "b2.weight": 0,
}
"""Where a rank is seen: the axis of a part, the surest first."""

DECOMPOSED = {False: "DecomposedInputs", True: "DecomposedOutputs"}
"""By whether magnitudes are of outputs."""
