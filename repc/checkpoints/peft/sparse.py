"""Methods of PEFT that add sparse, circulant or tiled differences, or those of some coefficients."""

from __future__ import annotations

from dataclasses import replace

from repc.checkpoints.peft.method import (
    TRANSPOSED,
    Form,
    Method,
    Setting,
    count,
    flag,
    is_count,
    is_flag,
    is_number,
    number,
    one_of,
)

SHIRA = Method(
    "SHIRA",
    "structured",
    (Form("SHiRA({count})", {"shira_weight": "count", "shira_indices": "2 count"}),),
    {**TRANSPOSED},
    frozenset(("r", "mask_type", "random_seed")),
)

C3A = Method(
    "C3A",
    "structured",
    (Form("C3A({n})", {"c3a_kernel": "p q n"}),),
    idle=frozenset(("block_size", "block_size_pattern")),
)

_SEEDED = {
    "random_loc_seed": Setting(777, lambda value: isinstance(value, int) and value >= 0),
    **TRANSPOSED,
}

FOURIERFT = Method(
    "FOURIERFT",
    "structured",
    (Form("FourierFT({count}, scaling={scaling}, seed={random_loc_seed})", {"fourierft_spectrum": "count"}),),
    {
        "scaling": number(150),
        **_SEEDED,
    },
    frozenset(("n_frequency", "n_frequency_pattern")),
)

WAVEFT = Method(
    "WAVEFT",
    "structured",
    (
        Form(
            "WaveFT({count}, scaling={scaling}, seed={random_loc_seed})",
            {"waveft_spectrum": "count"},
            {"use_idwt": True},
        ),
        Form(
            "WaveFTDirect({count}, scaling={scaling}, seed={random_loc_seed})",
            {"waveft_spectrum": "count"},
            {"use_idwt": False},
        ),
    ),
    {
        "scaling": number(25),
        "use_idwt": flag(True),
        "wavelet_family": one_of("db1", ("db1",), "repc knows the wavelets of Haar, db1"),
        **_SEEDED,
    },
    frozenset(("n_frequency", "n_frequency_pattern", "proportional_parameters")),
)

_ENTRIES = {"supertuning_values": "count", "supertuning_indices": "count"}

SUPERTUNING = Method(
    "SUPERTUNING",
    "structured",
    (
        Form("SuperTuning({count})", _ENTRIES),
        Form(
            "SuperTuningLoRA({count}, r={r}, alpha={lora_alpha})",
            {**_ENTRIES, "supertuning_lora_A.weight": "r i", "supertuning_lora_B.weight": "o r"},
        ),
    ),
    {
        "r": Setting(None, lambda value: value is None or is_count(value)),
        "lora_alpha": Setting(None, lambda value: value is None or is_number(value)),
        "save_precomputed_indices": Setting(
            True, is_flag, bool, "the places of the values are not stored, only how they were chosen"
        ),
    },
    frozenset(("sparsity", "select_top", "lora_dropout")),
)

MISS = Method(
    "MISS",
    "structured",
    (
        Form("MiSS({r})", {"miss_block": "r o"}, {"init_weights": True}),
        Form("MiSS({r})", {"miss_block": "r o"}, {"init_weights": False}),
        Form("MiSSMini({r}, {m})", {"miss_block": "r m"}, {"init_weights": "mini"}),
        Form("MiSSBat({r})", {"miss_block": "p r r"}, {"init_weights": "bat"}),
    ),
    {"r": count(64), "init_weights": one_of(True, (True, False, "mini", "bat"), "repc does not know it")},
    frozenset(("miss_dropout", "mini_r")),
)

BONE = replace(
    MISS,
    kind="BONE",
    forms=tuple(
        replace(form, parts={"bone_block": form.parts["miss_block"]}, names={"bone_block": "miss_block"})
        for form in MISS.forms
    ),
)
"""What MiSS was called once."""
