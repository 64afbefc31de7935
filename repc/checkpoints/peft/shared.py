"""Methods of PEFT whose modules share tensors: frozen random projections, or what their weights are taken from."""

from __future__ import annotations

from repc.checkpoints.peft.method import TRANSPOSED, Form, Method, Setting, count, flag, is_flag, number
from repc.checkpoints.peft.projections import draw_pvera, draw_randlora, draw_vera

_DRAWN = {
    "save_projection": flag(True),
    "projection_prng_key": Setting(0, lambda value: isinstance(value, int) and value >= 0),
}
"""Projections that are not stored are drawn again from their seed."""

STRAIGHT = {"fan_in_fan_out": False}

VERA = Method(
    "VERA",
    "random",
    (
        Form("VeRA()", {"vera_lambda_b": "o", "vera_lambda_d": "r"}, STRAIGHT),
        Form("VeRATransposed()", {"vera_lambda_b": "o", "vera_lambda_d": "r"}, turned=False),
    ),
    {
        "r": count(256),
        **_DRAWN,
        **TRANSPOSED,
    },
    frozenset(("vera_dropout", "d_initial")),
    shared={"vera_A": "r n", "vera_B": "m r"},
    draw=draw_vera,
)

RANDLORA = Method(
    "RANDLORA",
    "random",
    (
        Form("RandLoRA(alpha={randlora_alpha})", {"randlora_lambda": "r n", "randlora_gamma": "n s"}, STRAIGHT),
        Form(
            "RandLoRATransposed(alpha={randlora_alpha})",
            {"randlora_lambda": "r n", "randlora_gamma": "n s"},
            turned=False,
        ),
    ),
    {
        "r": count(32),
        "randlora_alpha": number(640),
        "sparse": flag(),
        "very_sparse": flag(),
        **_DRAWN,
        **TRANSPOSED,
    },
    frozenset(("randlora_dropout",)),
    shared={"randlora_A": "r 1 n", "randlora_B": "m bases r"},
    draw=draw_randlora,
)

_LOGITS = {"vblora_logits_A": "r a count", "vblora_logits_B": "b r count"}
_TOP = {
    "vblora_logits_A_topk_indices": "r a topk",
    "vblora_logits_A_topk_weights": "r a rest",
    "vblora_logits_B_topk_indices": "b r topk",
    "vblora_logits_B_topk_weights": "b r rest",
}
_ALL, _SOME = {"save_only_topk_weights": False}, {"save_only_topk_weights": True}

VBLORA = Method(
    "VBLORA",
    "random",
    (
        Form("VBLoRA(r={r}, k={topk})", _LOGITS, {**_ALL, **STRAIGHT}),
        Form("VBLoRATransposed(r={r}, k={topk})", _LOGITS, _ALL, turned=False),
        Form("VBLoRATop(r={r}, k={topk})", _TOP, {**_SOME, **STRAIGHT}),
        Form("VBLoRATopTransposed(r={r}, k={topk})", _TOP, _SOME, turned=False),
    ),
    {
        "r": count(4),
        "topk": count(2),
        "save_only_topk_weights": flag(),
        **TRANSPOSED,
    },
    frozenset(("num_vectors", "vector_length", "vblora_dropout", "init_vector_bank_bound", "init_logits_std")),
    shared={"vblora_vector_bank": "count v"},
)

PVERA = Method(
    "PVERA",
    "random",
    (
        Form("PVeRA()", {"pvera_lambda_b": "o", "pvera_lambda_d": "n"}, STRAIGHT),
        Form("PVeRATransposed()", {"pvera_lambda_b": "o", "pvera_lambda_d": "n"}, turned=False),
    ),
    {
        "r": count(256),
        **_DRAWN,
        "sample_at_inference": Setting(False, is_flag, lambda value: not value, "inner features are drawn at random"),
        **TRANSPOSED,
    },
    frozenset(("pvera_dropout", "d_initial", "generator_seed")),
    shared={"pvera_A": "n c", "pvera_B": "m r"},
    draw=draw_pvera,
)

_PLACES = {
    "unilora_indices_A": "r i",
    "unilora_indices_B": "o r",
    "unilora_scales_A": "r i",
    "unilora_scales_B": "o r",
}

UNILORA = Method(
    "UNILORA",
    "random",
    (
        Form("UniLoRA(r={r})", _PLACES, STRAIGHT),
        Form("UniLoRATransposed(r={r})", _PLACES, turned=False),
    ),
    {
        "r": count(4),
        "save_indices": Setting(False, is_flag, bool, "the places of the elements are not stored, only their seed"),
        **TRANSPOSED,
    },
    frozenset(("proj_seed", "theta_d_length", "unilora_dropout", "init_theta_d_bound")),
    shared={"unilora_theta_d": "n"},
)
