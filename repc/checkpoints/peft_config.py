"""What an adapter_config.json of PEFT says about a LoRA.

A setting that repc does not model is an error and never passed over: most of them change what the stored factors mean,
and the merged weights would be wrong without a sign.  Source: ``LoraConfig`` of PEFT 0.21.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from repc.checkpoints import errors
from repc.diagnostics import Diagnostic, Failure

MODELLED = {
    "peft_type", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora", "lora_bias",
    "fan_in_fan_out", "init_lora_weights", "auto_mapping",
}  # fmt: skip

WITHOUT_EFFECT = {
    # where adapters were attached: the keys say it
    "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern",
    # how they were trained
    "lora_dropout", "eva_config", "inference_mode", "task_type",
    # where they come from
    "base_model_name_or_path", "revision", "peft_version",
    # read only where a refused setting turns them on
    "megatron_core", "qalora_group_size",
}  # fmt: skip

INITIALISATIONS = (True, False, "gaussian", "eva", "orthogonal")
"""The initial values of the factors that leave the base weights as they are."""

OFF: tuple[object, ...] = (None, False, "none", {}, [])

REFUSED = {
    "bias": "biases of the base were trained and stored with the adapter",
    "modules_to_save": "whole modules were trained and are stored with the adapter",
    "trainable_token_indices": "rows of an embedding were trained and are stored with the adapter",
    "target_parameters": "the factors belong to parameters that are no layer's weight",
    "layer_replication": "layers of the base are repeated, each copy with an adapter of its own",
    "ensure_weight_tying": "adapters are shared between tied modules",
    "alora_invocation_tokens": "the adapter acts only after certain tokens, so that no merged weight equals it",
    "arrow_config": "a router chooses between several adapters, so that no merged weight equals it",
    "monteclora_config": "the factors are random variables",
    "use_qalora": "inputs are pooled in groups before the first factor",
    "use_bdlora": "the factors are block-diagonal",
    "loftq_config": "the base weights were replaced by quantised ones",
    "corda_config": "the base weights were changed when the adapter was attached",
    "lora_ga_config": "the base weights were changed when the adapter was attached",
    "kasa_config": "the base weights were changed when the adapter was attached",
    "velora_config": "repc does not know what it changes",
    "megatron_config": "the factors are split over devices",
}

INIT_REMEDY = (
    "save it as a plain LoRA (save_pretrained with path_initial_model_for_weight_conversion), or "
    + errors.MERGE_WITH_PEFT
)


@dataclass(frozen=True)
class LoraConfig:
    """The settings that decide what the factors mean.

    `ranks` and `alphas` are PEFT's patterns: the first that matches the end of a module's path counts, else `rank` and
    `alpha`.  `transposed` says that the base keeps weights as (in, out).
    """

    rank: int
    alpha: float
    ranks: dict[str, int]
    alphas: dict[str, float]
    rank_stabilised: bool
    dora: bool
    bias: bool
    transposed: bool
    base: str | None

    def rank_of(self, module: str) -> int:
        return self.ranks.get(_pattern(self.ranks, module) or "", self.rank)

    def alpha_of(self, module: str) -> float:
        return self.alphas.get(_pattern(self.alphas, module) or "", self.alpha)

    def idle_patterns(self, modules: list[str]) -> list[str]:
        """The patterns that decide about no module."""
        used = {(id(p), _pattern(p, module)) for p in (self.ranks, self.alphas) for module in modules}
        return [pattern for p in (self.ranks, self.alphas) for pattern in p if (id(p), pattern) not in used]


def read_config(path: Path) -> LoraConfig:
    """The configuration in a file; raises `Failure` E620 to E623 with every setting that cannot be imported."""
    settings = _settings(path)
    method = settings.get("peft_type")
    if method != "LORA":
        raise Failure(errors.unknown_method(path, str(method)))
    refused = list(_refused(path, settings))
    if refused:
        raise Failure(refused)
    take = _Taker(path, settings)
    mapping = settings.get("auto_mapping")
    base = cast("Mapping[str, object]", mapping).get("base_model_class") if isinstance(mapping, Mapping) else None
    config = LoraConfig(
        rank=take("r", 8, _is_rank),
        alpha=take("lora_alpha", 8, _is_number),
        ranks=take("rank_pattern", {}, _patterns_of(_is_rank)) or {},
        alphas=take("alpha_pattern", {}, _patterns_of(_is_number)) or {},
        rank_stabilised=take("use_rslora", False, _is_bool),
        dora=take("use_dora", False, _is_bool),
        bias=take("lora_bias", False, _is_bool),
        transposed=take("fan_in_fan_out", False, _is_bool),
        base=base if isinstance(base, str) and re.fullmatch(r"[A-Za-z_]\w*", base, re.ASCII) else None,
    )
    if take.faults:
        raise Failure(take.faults)
    return config


def _settings(path: Path) -> dict[str, Any]:
    try:
        settings: object = json.loads(path.read_bytes())
    except OSError:
        raise Failure(errors.no_adapter_file(path.parent, path.name)) from None
    except (ValueError, RecursionError) as error:
        raise Failure(errors.bad_config(path, f"is no JSON: {error}")) from None
    if not isinstance(settings, dict):
        raise Failure(errors.bad_config(path, "is no JSON object"))
    return cast("dict[str, Any]", settings)


def _refused(path: Path, settings: Mapping[str, Any]) -> Iterator[Diagnostic]:
    for name, value in settings.items():
        if name in MODELLED or name in WITHOUT_EFFECT or value in OFF:
            continue
        meaning = REFUSED.get(name, "this version of repc does not know the setting")
        yield errors.refused_setting(path, name, json.dumps(value), meaning, errors.MERGE_WITH_PEFT)
    init = settings.get("init_lora_weights", True)
    if init not in INITIALISATIONS:
        meaning = "the base weights were changed when the adapter was attached, and the factors fit the changed ones"
        yield errors.refused_setting(path, "init_lora_weights", json.dumps(init), meaning, INIT_REMEDY)
    if settings.get("lora_bias") and settings.get("use_dora"):
        meaning = "a bias of the second factor is not defined together with use_dora"
        yield errors.refused_setting(path, "lora_bias", "true", meaning, errors.MERGE_WITH_PEFT)


class _Taker:
    """Takes settings one by one; what has no sensible value becomes a fault, and the default goes on."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.settings = settings
        self.faults: list[Diagnostic] = []

    def __call__(self, name: str, default: Any, sensible: Callable[[Any], bool]) -> Any:
        value = self.settings.get(name, default)
        if sensible(value):
            return value
        self.faults.append(errors.bad_config(self.path, f"{name} = {json.dumps(value)[:60]} makes no sense"))
        return default


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_rank(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _patterns_of(sensible: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        if value is None:
            return True
        return isinstance(value, dict) and all(
            _is_regex(pattern) and sensible(setting) for pattern, setting in cast("dict[str, Any]", value).items()
        )

    return check


def _is_regex(text: str) -> bool:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _pattern(patterns: Mapping[str, object], module: str) -> str | None:
    return next((p for p in patterns if re.fullmatch(rf"(.*\.)?({p})", module)), None)
