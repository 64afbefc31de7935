"""The methods of PEFT: how each stores a module, which block that is, and what its configuration changes.

Sources: the papers named in specs/adapters, and for names, settings and their defaults PEFT 0.21.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from repc.checkpoints.peft.method import (
    TRANSPOSED,
    Form,
    Method,
    Setting,
    Values,
    are_names,
    are_ranges,
    count,
    flag,
    is_count,
    is_flag,
    is_number,
    is_rows,
    is_rows_of_modules,
    named_by,
    number,
    patterns,
    spelled,
)
from repc.checkpoints.peft.products import BEFT, DEFT, FROD, GLORA, OSF, PEANUT, TINYLORA
from repc.checkpoints.peft.rotations import BOFT, HRA, OFT, ROAD
from repc.checkpoints.peft.shared import PVERA, RANDLORA, UNILORA, VBLORA, VERA
from repc.checkpoints.peft.sparse import BONE, C3A, FOURIERFT, MISS, SHIRA, SUPERTUNING, WAVEFT

REFUSED = {
    "megatron_config": "the factors are split over devices",
}
"""Settings that more than one method has, and what is not modelled about them."""

IDLE = frozenset((
    # where adapters were attached: the keys say it
    "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern",
    # how they were trained; adapters of tied modules are stored for each
    "ensure_weight_tying", "inference_mode", "task_type", "init_weights",
    # where they come from
    "base_model_name_or_path", "revision", "peft_version", "peft_type", "auto_mapping",
))  # fmt: skip
"""Settings of all methods that change nothing that is merged."""

REPLICATED = {"layer_replication": Setting(None, are_ranges)}
"""On which layers of the base, and in which order."""

_MUTATED = "the base weights were changed when the adapter was attached"

_LINEAR = {"lora_A.weight": "r i", "lora_B.weight": "o r"}
_CONV = {"lora_A.weight": "r i ...k", "lora_B.weight": "o r ...1"}
_GROUPS = {"lora_A.weight": "r i k ...l", "lora_B.weight": "o n 1 ...1"}
_MIXED = "a convolution with groups, of which each reads all inputs by its factors: no kernel with groups does that"
_EMBEDDING = {"lora_embedding_A": "r n", "lora_embedding_B": "d r"}
_WEIGHED = {**_LINEAR, "lora_magnitude_vector": "o"}
_BIASED = {**_LINEAR, "lora_B.bias": "o"}
_PLAIN = {"use_dora": False, "lora_bias": False, "base": "kept"}
_PLAIN_BIASED = {**_PLAIN, "lora_bias": True}
_DORA = {"use_dora": True, "lora_bias": False, "base": "kept"}
_SCALED = "(r={r}, alpha={alpha})"
_BLOCKS = "({blocks}, r={r}, alpha={alpha})"


def _lora(values: Values, module: str) -> Values:
    """Rank stabilisation, alpha / sqrt(r), is a matter of alpha, since every block divides by r."""
    init = _initial(values["init_lora_weights"])
    alpha = spelled(values["lora_alpha"]) + (f" * sqrt({values['r']})" if values["use_rslora"] else "")
    base = "kasa" if values["kasa_config"] else init if init in ("pissa", "olora") else "kept"
    blocks = _blocks(values["use_bdlora"] or {}, module)
    return {"alpha": alpha, "base": base, "rows": _rows(values["trainable_token_indices"], module), **blocks}


def _initial(value: object) -> object:
    """How factors began, which the library writes in any case."""
    return value.lower() if isinstance(value, str) else value


def _blocks(given: Mapping[str, Any], module: str) -> Values:
    """Which factor is block-diagonal, by parts of the paths of modules, and of how many blocks."""
    sides = [side for side in "ab" if any(part in module for part in given.get(f"target_modules_bd_{side}") or ())]
    return {"blocks": given.get("nblocks", 1), "diagonal": "".join(sides)}


def _rows(given: object, module: str) -> object:
    """The rows of an embedding that were trained, from a list for all modules or for each by its name."""
    if not isinstance(given, dict):
        return given
    named = cast("dict[str, object]", given)
    return next((rows for name, rows in named.items() if named_by(module, name)), None)


def _ia3(values: Values, module: str) -> Values:
    """Of feed-forward modules the inputs are scaled."""
    wanted: object = values["feedforward_modules"] or []
    if isinstance(wanted, str):
        return {"feedforward": re.fullmatch(wanted, module) is not None}
    return {"feedforward": any(named_by(module, name) for name in cast("list[str]", wanted))}


LORA = Method(
    "LORA",
    "lora",
    (
        Form(f"LoRABlocksA{_BLOCKS}", {"lora_A.weight": "r n", "lora_B.weight": "o r"}, {**_PLAIN, "diagonal": "a"}),
        Form(f"LoRABlocksB{_BLOCKS}", {"lora_A.weight": "r i", "lora_B.weight": "o n"}, {**_PLAIN, "diagonal": "b"}),
        Form(f"LoRA{_SCALED}", _LINEAR, _PLAIN),
        Form(f"LoRAConv{_SCALED}", _CONV, _PLAIN, turned=False),
        Form("", _GROUPS, _PLAIN, never=_MIXED),
        Form(f"LoRAEmbedding{_SCALED}", _EMBEDDING, {"use_dora": False, "lora_bias": False}, turned=False),
        Form(f"DoRA{_SCALED}", _WEIGHED, _DORA, relative=True),
        Form(f"DoRAConv{_SCALED}", {**_CONV, "lora_magnitude_vector": "1 o ...1"}, _DORA, turned=False, relative=True),
        Form("", {**_GROUPS, "lora_magnitude_vector": "1 o ...1"}, _DORA, never=_MIXED),
        Form(
            f"DoRAEmbedding{_SCALED}", {**_EMBEDDING, "lora_magnitude_vector": "d"}, _DORA, turned=False, relative=True
        ),
        Form(f"LoRABias{_SCALED}", _BIASED, {**_PLAIN_BIASED, "fan_in_fan_out": False}, layer=True),
        Form(f"LoRABiasTransposed{_SCALED}", _BIASED, _PLAIN_BIASED, layer=True, turned=False),
        Form(f"LoRABiasConv{_SCALED}", {**_CONV, "lora_B.bias": "o"}, _PLAIN_BIASED, layer=True, turned=False),
        Form(f"PiSSA{_SCALED}", _LINEAR, {**_PLAIN, "base": "pissa"}, relative=True),
        Form(f"OLoRA{_SCALED}", _LINEAR, {**_PLAIN, "base": "olora"}, relative=True),
        Form(f"PiSSA{_SCALED} >> Magnitudes()", _WEIGHED, {**_DORA, "base": "pissa"}, relative=True),
        Form(f"OLoRA{_SCALED} >> Magnitudes()", _WEIGHED, {**_DORA, "base": "olora"}, relative=True),
        Form(f"LoRAKaSA{_SCALED}", {**_LINEAR, "lora_diag": "r"}, {**_PLAIN, "base": "kasa"}, relative=True),
        Form("Rows({rows})", {"trainable_tokens_delta": "count d"}, turned=False),
    ),
    {
        "r": count(),
        "lora_alpha": number(8),
        "rank_pattern": patterns(is_count),
        "alpha_pattern": patterns(is_number),
        "use_rslora": flag(),
        "use_dora": flag(),
        "lora_bias": flag(),
        "init_lora_weights": Setting(
            True,
            lambda value: isinstance(value, bool | str),
            lambda value: _initial(value) in (True, False, "gaussian", "eva", "orthogonal", "mica", "pissa", "olora"),
            f"{_MUTATED}, in a way that cannot be computed again",
        ),
        "kasa_config": Setting(None, lambda value: value is None or isinstance(value, dict)),
        "use_bdlora": Setting(None, lambda value: value is None or isinstance(value, dict)),
        "trainable_token_indices": Setting(None, is_rows_of_modules),
        "target_parameters": Setting(None, are_names),
        **REPLICATED,
        **TRANSPOSED,
    },
    # what velora compresses is the memory of the backward pass
    frozenset(("lora_dropout", "eva_config", "megatron_core", "qalora_group_size", "velora_config")),
    {
        "alora_invocation_tokens": "the adapter acts only after certain tokens, so that no merged weight equals it",
        "arrow_config": "a router chooses between several adapters, so that no merged weight equals it",
        "monteclora_config": "the factors are random variables",
        "use_qalora": "inputs are pooled in groups before the first factor",
        "loftq_config": "the base weights were replaced by quantised ones",
        "corda_config": _MUTATED,
        "lora_ga_config": _MUTATED,
    },
    {"r": "rank_pattern", "lora_alpha": "alpha_pattern"},
    _lora,
    unused=frozenset(("lora_velora_embed",)),
)

ADALORA = Method(
    "ADALORA",
    "lora",
    (
        Form(
            "AdaLoRA(r={r}, alpha={lora_alpha}, init_r={init_r})",
            {"lora_A": "r i", "lora_B": "o r", "lora_E": "r 1"},
        ),
    ),
    {
        "init_r": count(12),
        "lora_alpha": number(8),
        "use_dora": Setting(False, is_flag, lambda value: not value, "it has no meaning for AdaLoRA"),
        **REPLICATED,
        **TRANSPOSED,
    },
    # the pattern says which ranks were kept: the tensors have them alone, and the divisor stays that of the beginning
    LORA.idle | {"r", "rank_pattern", "target_r", "tinit", "tfinal", "deltaT", "beta1", "beta2", "orth_reg_weight",
                 "total_step", "init_lora_weights", "alpha_pattern"},
    {**LORA.refused, "lora_bias": "a bias of the second factor is not stored", "use_rslora": "it is not defined here"},
)  # fmt: skip

_LYCORIS = {
    "r": count(),
    "alpha": number(8),
    "rank_pattern": patterns(is_count),
    "alpha_pattern": patterns(is_number),
}
_LYCORIS_IDLE = frozenset(("rank_dropout", "module_dropout", "rank_dropout_scale", "use_effective_conv2d"))
_LYCORIS_PATTERNS = {"r": "rank_pattern", "alpha": "alpha_pattern"}

CORE = "r r ...k"
"""The shape of a core, of which factors make a kernel."""

LOHA = Method(
    "LOHA",
    "hadamard",
    (
        Form(
            "LoHa(r={r}, alpha={alpha})",
            {"hada_w1_a": "o r", "hada_w1_b": "r n", "hada_w2_a": "o r", "hada_w2_b": "r n"},
        ),
        Form(
            "LoHaTucker(r={r}, alpha={alpha})",
            {"hada_t1": CORE, "hada_w1_a": "r o", "hada_w1_b": "r i",
             "hada_t2": CORE, "hada_w2_a": "r o", "hada_w2_b": "r i"},
        ),
    ),
    _LYCORIS,
    _LYCORIS_IDLE,
    patterns=_LYCORIS_PATTERNS,
)  # fmt: skip

HIRA = Method(
    "HIRA",
    "hadamard",
    (
        Form("HiRA(r={r})", {"hira_A": "r i", "hira_B": "o r"}, relative=True),
        Form("HiRAConv(r={r})", {"hira_A": "r i ...k", "hira_B": "o r ...1"}, turned=False, relative=True),
        Form(
            "HiRAEmbedding(r={r})", {"hira_embedding_A": "r n", "hira_embedding_B": "d r"}, turned=False, relative=True
        ),
    ),
    {**TRANSPOSED},
    # the library takes no rank from a pattern, and nothing is divided by it
    frozenset(("r", "rank_pattern", "hira_dropout")),
)

DELORA = Method(
    "DELORA",
    "lora",
    (
        Form(
            "DeLoRA(r={r})",
            {"delora_A": "r i", "delora_B": "o r", "delora_lambda": "1", "delora_w_norm": "i"},
        ),
    ),
    {"r": count(8), "rank_pattern": patterns(is_count)},
    frozenset(("delora_lambda", "lambda_pattern", "module_dropout")),
    patterns={"r": "rank_pattern"},
)

_FIRST, _FIRST_LOW = {"lokr_w1": "p q"}, {"lokr_w1_a": "p r", "lokr_w1_b": "r q"}
_SECOND, _SECOND_LOW = {"lokr_w2": "m n ...k"}, {"lokr_w2_a": "m r", "lokr_w2_b": "r n"}
SHIFTED = "m n k"
_SHIFTED = {"lokr_w2": SHIFTED}
_SECOND_TUCKER = {"lokr_t2": CORE, "lokr_w2_a": "r m", "lokr_w2_b": "r n"}

LOKR = Method(
    "LOKR",
    "kronecker",
    (
        Form("LoKrShifted({p}, {q}, scale={alpha} / {r})", {**_FIRST, **_SHIFTED}),
        Form("LoKrFirstShifted({p}, {q}, r={r}, alpha={alpha})", {**_FIRST_LOW, **_SHIFTED}),
        Form("LoKr({p}, {q}, scale={alpha} / {r})", {**_FIRST, **_SECOND}),
        Form("LoKrLow({p}, {q}, r={r}, alpha={alpha})", {**_FIRST, **_SECOND_LOW}),
        Form("LoKrFirst({p}, {q}, r={r}, alpha={alpha})", {**_FIRST_LOW, **_SECOND}),
        Form("LoKrBoth({p}, {q}, r={r}, alpha={alpha})", {**_FIRST_LOW, **_SECOND_LOW}),
        Form("LoKrTucker({p}, {q}, r={r}, alpha={alpha})", {**_FIRST, **_SECOND_TUCKER}),
        Form("LoKrBothTucker({p}, {q}, r={r}, alpha={alpha})", {**_FIRST_LOW, **_SECOND_TUCKER}),
    ),
    _LYCORIS,
    _LYCORIS_IDLE | {"decompose_both", "decompose_factor"},
    patterns=_LYCORIS_PATTERNS,
)

IA3 = Method(
    "IA3",
    "diagonal",
    (
        Form("IA3()", {"ia3_l": "o 1"}, {"feedforward": False, "fan_in_fan_out": False}, layer=True),
        Form("IA3Transposed()", {"ia3_l": "o 1"}, {"feedforward": False}, layer=True, turned=False),
        Form("IA3Conv()", {"ia3_l": "1 o ...1"}, {"feedforward": False}, layer=True, turned=False),
        Form("IA3Input()", {"ia3_l": "1 i ...1"}, {"feedforward": True}),
    ),
    {"feedforward_modules": Setting(None, lambda value: value is None or isinstance(value, list | str)), **TRANSPOSED},
    frozenset(("init_ia3_weights",)),
    derived=_ia3,
)

_GRID = {"gralora_A": "grid n r", "gralora_B": "grid r m"}

GRALORA = Method(
    "GRALORA",
    "ranks",
    (
        Form("GraLoRA({grid}, {r}, {alpha})", _GRID, {"hybrid_r": 0}),
        Form(
            "GraLoRAHybrid({grid}, {r}, {hybrid_r}, {alpha})",
            {**_GRID, "gralora_A_general.weight": "hybrid_r i", "gralora_B_general.weight": "o hybrid_r"},
        ),
    ),
    {
        "r": count(32),
        "alpha": number(64),
        "hybrid_r": Setting(0, lambda value: value == 0 or is_count(value)),
        **TRANSPOSED,
    },
    frozenset(("gralora_k", "gralora_dropout")),
)

LN_TUNING = Method("LN_TUNING", "replaced", replaced="ln_tuning_layers")

TRAINABLE_TOKENS = Method(
    "TRAINABLE_TOKENS",
    "replaced",
    (Form("Rows({token_indices})", {"trainable_tokens_delta": "count d"}, turned=False),),
    {"token_indices": Setting([], is_rows)},
)

METHODS = (
    LORA, ADALORA, DELORA, LOHA, HIRA, LOKR, GRALORA, OFT, BOFT, HRA, ROAD, IA3, GLORA, BEFT, DEFT, PEANUT, OSF, FROD,
    VERA, PVERA, RANDLORA, VBLORA, UNILORA, TINYLORA, SHIRA, SUPERTUNING, C3A, FOURIERFT, WAVEFT, MISS, BONE, LN_TUNING,
    TRAINABLE_TOKENS,
)  # fmt: skip
"""The types of adapters that are imported."""

_PROMPT = "it adds tokens to the input, and no weight"

UNMERGEABLE = {
    **dict.fromkeys(
        ("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT", "CARTRIDGE"), _PROMPT
    ),
    "ADAPTION_PROMPT": "it adds tokens to the keys and values of each layer, behind a gate, and no weight",
    **dict.fromkeys(("XLORA", "LILY"), "a router weighs the adapters by the input, so that no merged weight equals it"),
    "POLY": "a router weighs the adapters by the task, which is an input",
    "SHADOW": "a network beside the base refines its features, which no merged weight does",
    "ADAMSS": "which outputs its factors belong to is found by clustering and not stored",
    "PSOFT": "its factors are singular vectors of the base, whose signs are not stored",
}
"""Types of adapters that cannot be imported, and why."""
