"""What an adapter_config.json of PEFT says: the method, and its settings for each module.

A setting that repc does not model is an error and never passed over: most of them change what the stored factors mean,
and the merged weights would be wrong without a sign.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from repc.checkpoints import errors
from repc.checkpoints.peft.method import Method, Setting, Values, are_names
from repc.checkpoints.peft.methods import IDLE, METHODS, REFUSED, UNMERGEABLE
from repc.diagnostics import Diagnostic, Failure

OFF: tuple[object, ...] = (None, False, "none", {}, [])
"""Values that turn a setting off, whatever it means."""

COMMON: Mapping[str, Setting] = {
    "bias": Setting("none", lambda v: v in ("none", "all") or (isinstance(v, str) and v.endswith("_only"))),
    "modules_to_save": Setting(None, are_names),
}
"""Settings of all methods: what was trained and stored besides the adapters."""


@dataclass(frozen=True)
class Config:
    """The settings that decide what the stored tensors mean; `base` is the class that PEFT noted."""

    method: Method
    settings: Mapping[str, Any]
    base: str | None

    @property
    def saved(self) -> list[str]:
        """The modules that are stored whole, by the ends of their paths."""
        return self.settings["modules_to_save"] or []

    @property
    def only_own_biases(self) -> bool:
        """Whether the biases of the adapted modules were trained, and no others."""
        return self.settings["bias"].endswith("_only")

    @property
    def parameters(self) -> list[str]:
        """The parameters that are adapted without being the weight of a layer, by the ends of their paths."""
        return self.settings.get("target_parameters") or []

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """The ranges of layers of the base that were trained on, one after the other; none where it is as it was."""
        return tuple((start, stop) for start, stop in self.settings.get("layer_replication") or ())

    @property
    def transposed(self) -> bool:
        """Whether the base keeps linear weights as (in, out)."""
        return bool(self.settings.get("fan_in_fan_out"))

    def values(self, module: str) -> Values:
        """The settings as they are for one module: the first pattern that matches the end of its path counts."""
        own = dict(self.settings)
        for name, patterns in self.method.patterns.items():
            found = _pattern(self.settings[patterns] or {}, module)
            if found is not None:
                own[name] = self.settings[patterns][found]
        return {**own, **self.method.derived(own, module)}

    def idle_patterns(self, modules: list[str]) -> list[str]:
        """The patterns that decide about no module."""
        tables: list[Mapping[str, object]] = [self.settings[name] or {} for name in self.method.patterns.values()]
        return [
            pattern
            for table in tables
            for pattern in table
            if all(_pattern(table, module) != pattern for module in modules)
        ]


def read_config(path: Path) -> Config:
    """The configuration in a file; raises `Failure` E620 to E623 with every setting that cannot be imported."""
    stored = _stored(path)
    kind = stored.get("peft_type")
    method = next((method for method in METHODS if method.kind == kind), None)
    if method is None:
        known = [method.kind for method in METHODS]
        raise Failure(errors.unknown_method(path, str(kind), UNMERGEABLE.get(str(kind)), known))
    known = {**COMMON, **method.settings}
    settings = {name: stored.get(name, setting.default) for name, setting in known.items()}
    faults = [*_refused(path, stored, method), *_senseless(path, settings, known)]
    if faults:
        raise Failure(faults)
    mapping = stored.get("auto_mapping")
    base = cast("Mapping[str, object]", mapping).get("base_model_class") if isinstance(mapping, Mapping) else None
    return Config(
        method, settings, base if isinstance(base, str) and re.fullmatch(r"[A-Za-z_]\w*", base, re.A) else None
    )


def _stored(path: Path) -> dict[str, Any]:
    try:
        settings: object = json.loads(path.read_bytes())
    except OSError:
        raise Failure(errors.no_adapter_file(path.parent, path.name)) from None
    except (ValueError, RecursionError) as error:
        raise Failure(errors.bad_config(path, f"is no JSON: {error}")) from None
    if not isinstance(settings, dict):
        raise Failure(errors.bad_config(path, "is no JSON object"))
    return cast("dict[str, Any]", settings)


def _refused(path: Path, stored: Mapping[str, Any], method: Method) -> Iterator[Diagnostic]:
    known = {*COMMON, *method.settings, *method.idle, *IDLE}
    for name, value in stored.items():
        if name not in known and value not in OFF:
            meaning = {**REFUSED, **method.refused}.get(name, "this version of repc does not know the setting")
            yield errors.refused_setting(path, name, json.dumps(value), meaning)


def _senseless(path: Path, settings: Mapping[str, Any], known: Mapping[str, Setting]) -> Iterator[Diagnostic]:
    for name, setting in known.items():
        value = settings[name]
        if not setting.sensible(value):
            yield errors.bad_config(path, f"{name} = {json.dumps(value)[:60]} makes no sense")
        elif not setting.modelled(value):
            yield errors.refused_setting(path, name, json.dumps(value), setting.meaning)


def _pattern(patterns: Mapping[str, object], module: str) -> str | None:
    return next((p for p in patterns if re.fullmatch(rf"(.*\.)?({p})", module)), None)
