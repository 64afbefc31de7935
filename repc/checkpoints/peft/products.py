"""Methods of PEFT that change a weight or a bias by itself, or by its singular vectors."""

from __future__ import annotations

from itertools import product

from repc.checkpoints.peft.method import (
    TRANSPOSED,
    Form,
    Method,
    Setting,
    count,
    flag,
    is_count,
    is_number,
    number,
    one_of,
)
from repc.checkpoints.peft.spread import spread_projections, spread_vectors

_MATRICES = {
    "lora": {"glora_A.Xd": "o r", "glora_A.Xu": "r i", "glora_B.Xd": "o r", "glora_B.Xu": "r i"},
    "vector": {"glora_A.X": "o 1", "glora_B.X": "o 1"},
    "constant": {"glora_A.X": "1", "glora_B.X": "1"},
    "none": {"glora_A.zeros": "o i", "glora_B.zeros": "o i"},
}
_COLUMN = {
    "lora": {"glora_C.Xd": "i r", "glora_C.Xu": "r 1"},
    "vector": {"glora_C.X": "i 1"},
    "none": {"glora_C.zeros": "i 1"},
}
_VECTORS = {
    "constant": {"glora_D.X": "1", "glora_E.X": "1"},
    "vector": {"glora_D.X": "o", "glora_E.X": "o"},
    "none": {"glora_D.zeros": "o", "glora_E.zeros": "o"},
}

GLORA = Method(
    "GLORA",
    "diagonal",
    tuple(
        Form(
            f'GLoRA("{one}", "{two}", "{three}", {{r}})',
            {**_MATRICES[one], **_COLUMN[two], **_VECTORS[three]},
            layer=True,
            relative=True,
        )
        for one, two, three in product(_MATRICES, _COLUMN, _VECTORS)
    ),
    {"r": count(4)},
    # the names of the tensors say it, also where a layer without a bias has less
    frozenset(("config_A_B", "config_C", "config_D_E")),
)

BEFT = Method("BEFT", "diagonal", (Form("BEFT()", {"beft_bias": "1 o"}, layer=True),))


_INJECTED = {"deft_P": "o r", "deft_R": "r i"}

DEFT = Method(
    "DEFT",
    "products",
    (
        Form(
            "DEFTRelu({r}, {alpha} / {r})", _INJECTED, {"para": False, "decomposition_method": "relu", "scaled": True}
        ),
        Form("DEFTRelu({r})", _INJECTED, {"para": False, "decomposition_method": "relu"}, relative=True),
        Form(
            "DEFT({r}, {alpha} / {r})",
            _INJECTED,
            {"para": False, "decomposition_method": "qr", "scaled": True},
            relative=True,
        ),
        Form("DEFT({r})", _INJECTED, {"para": False, "decomposition_method": "qr"}, relative=True),
        Form("PaRaRelu({r})", {"deft_P": "o r"}, {"para": True, "decomposition_method": "relu"}, relative=True),
        Form("PaRa({r})", {"deft_P": "o r"}, {"para": True, "decomposition_method": "qr"}, relative=True),
    ),
    {
        "para": flag(),
        "decomposition_method": one_of("relu", ("relu", "qr"), "repc does not know it"),
        "alpha": Setting(None, lambda value: value is None or is_number(value)),
        **TRANSPOSED,
    },
    frozenset(("r", "init_scale", "deft_dropout")),
    derived=lambda values, module: {"scaled": bool(values["alpha"])},
)

ACTIVATIONS = ("relu", "relu6", "leaky_relu", "gelu", "silu", "swish", "sigmoid", "mish", "tanh")

PEANUT = Method(
    "PEANUT",
    "products",
    tuple(
        Form(
            f'PEANuT({{r}}, {depth}, {{scaling}}, "{{act_fn}}")',
            {"peanut_A.weight": "r o", "peanut_B.weight": "o r"}
            | {f"peanut_{side}.{level}.weight": "r r" for side in ("encoders", "decoders") for level in range(depth)},
            {"depth": depth},
            relative=True,
        )
        for depth in range(9)
    ),
    {
        "r": count(32),
        "depth": Setting(
            0, lambda depth: depth == 0 or is_count(depth), lambda depth: depth < 9, "repc knows at most 8 layers"
        ),
        "scaling": number(1),
        "act_fn": one_of("relu", ACTIVATIONS, f"repc knows {', '.join(ACTIVATIONS)}"),
    },
)

OSF = Method(
    "OSF",
    "spectral",
    (
        Form(
            "OSF({r})",
            {"osf_svd_params.S_low": "r", "osf_svd_params.U_low": "o r", "osf_svd_params.V_low": "r i"},
            relative=True,
        ),
    ),
    idle=frozenset(("effective_rank", "rank_pattern", "target_svd_config")),
)

TINYLORA = Method(
    "TINYLORA",
    "random",
    (
        Form(
            "TinyLoRAStored({u}, {r})",
            {"tinylora_A": "r i", "tinylora_B": "o r", "tinylora_P": "u r r", "tinylora_v": "u"},
        ),
    ),
    {
        "projection_seed": Setting(42, lambda value: isinstance(value, int) and value >= 0),
        "weight_tying": number(0),
        **TRANSPOSED,
    },
    frozenset(("r", "u", "save_projection", "tinylora_dropout", "init_v_bound")),
    spread=spread_vectors,
)

FROD = Method(
    "FROD",
    "spectral",
    (
        Form(
            "FRoDStored({count})",
            {
                "frod_V": "i i",
                "frod_s_indices": "2 count",
                "frod_lambda_l": "i",
                "frod_lambda_s_values": "count",
            },
            relative=True,
        ),
    ),
    {**TRANSPOSED},
    frozenset((
        "frod_dropout", "progressbar", "projection_prng_key", "regularization_alpha", "runtime_offload_base_weight",
        "save_projection", "sparse_rate",
    )),
    spread=spread_projections,
)  # fmt: skip
