"""What a method of PEFT is: its settings, and its forms.

A form names the tensors of one adapted module with their shapes, in letters as an einsum has them, and the block that
is attached.  The holes of the block are filled by the sizes that the tensors have and by the settings of the
configuration; a letter that is also a setting (`r`) must have its value.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from repc.checkpoints.peft.projections import Draw
from repc.checkpoints.peft.spread import Spread

Values: TypeAlias = Mapping[str, Any]


# ------------------------------------------------------------------------------------------------ settings


@dataclass(frozen=True)
class Setting:
    """The default of a setting and which values make sense; what `meaning` allows is modelled, the rest is refused."""

    default: object
    sensible: Callable[[Any], bool]
    modelled: Callable[[Any], bool] = lambda value: True
    meaning: str = ""


def is_flag(value: object) -> bool:
    """Whether a value is true or false."""
    return isinstance(value, bool)


def is_count(value: object) -> bool:
    """Whether a value is a positive integer."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def is_number(value: object) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_patterns(sensible: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Whether a setting maps regular expressions to sensible values, or is absent."""

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


def are_names(value: object) -> bool:
    """Whether a value is a list of names, or absent."""
    return value is None or (
        isinstance(value, list) and all(isinstance(name, str) for name in cast("list[object]", value))
    )


def is_rows(value: object) -> bool:
    """Whether a value is a list of positions."""
    return isinstance(value, list) and all(
        isinstance(row, int) and not isinstance(row, bool) and row >= 0 for row in cast("list[object]", value)
    )


def is_rows_of_modules(value: object) -> bool:
    """Whether a value has positions for all modules, for each, or none."""
    if isinstance(value, dict):
        return all(is_rows(rows) for rows in cast("dict[str, object]", value).values())
    return value is None or is_rows(value)


def are_ranges(value: object) -> bool:
    """Whether a value is a list of ranges, each of a first position and that after its last, or absent."""
    return value is None or (
        isinstance(value, list)
        and all(is_rows(pair) and len(pair) == 2 and pair[0] < pair[1] for pair in cast("list[Any]", value))
    )


def _is_scalar(value: object) -> bool:
    return isinstance(value, bool | str)


def flag(default: bool = False) -> Setting:
    """A setting that is on or off."""
    return Setting(default, is_flag)


def count(default: int = 8) -> Setting:
    """A positive integer."""
    return Setting(default, is_count)


def number(default: float) -> Setting:
    """A finite number."""
    return Setting(default, is_number)


def patterns(sensible: Callable[[Any], bool]) -> Setting:
    """Values for the modules that a regular expression fits, none by default."""
    return Setting(None, is_patterns(sensible))


def one_of(default: object, values: tuple[object, ...], meaning: str) -> Setting:
    """A choice of which repc models some values."""
    return Setting(default, _is_scalar, lambda value: value in values, meaning)


TRANSPOSED = {"fan_in_fan_out": flag()}
"""Where the base keeps linear weights as (in, out)."""


# ------------------------------------------------------------------------------------------------ methods


@dataclass(frozen=True)
class Form:
    """One way in which a module is adapted.

    `block` is attached to the weight, or to the whole `layer`; `parts` are the tensors of the module and their shapes
    (`...k` stands for any sizes, `...1` for ones).  `when` are the settings that lead to the form.  A form of a linear
    weight is `turned` where the base keeps weights as (in, out).  A `relative` form reads the weight of the base
    itself, so that no other adapter may come before it.  What `never` merges is a form too, with the reason.
    `names` are those that the block has for parts, where it has others.
    """

    block: str
    parts: Mapping[str, str]
    when: Mapping[str, object] = field(default_factory=dict[str, object])
    layer: bool = False
    turned: bool = True
    relative: bool = False
    never: str = ""
    names: Mapping[str, str] = field(default_factory=dict[str, str])

    def applies(self, values: Values) -> bool:
        """Whether the configuration leads to this form."""
        return all(values[name] == wanted for name, wanted in self.when.items())


def _nothing(values: Values, module: str) -> Values:
    return {}


@dataclass(frozen=True)
class Method:
    """A type of adapters: its blocks and its configuration.

    `settings` are modelled; `idle` ones change nothing that is merged; `refused` ones have a reason.  `patterns` says
    which setting overrides another by module, and `derived` what follows for a module from its settings.  `shared` are
    tensors that all modules use, with their shapes, and `draw` makes them where they were not stored; `spread` gives
    modules what only some of them share; `replaced` is the
    part of a module whose tensors replace its own, and `unused` those that nothing reads after training.
    """

    kind: str
    module: str
    forms: tuple[Form, ...] = ()
    settings: Mapping[str, Setting] = field(default_factory=dict[str, Setting])
    idle: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict[str, str])
    patterns: Mapping[str, str] = field(default_factory=dict[str, str])
    derived: Callable[[Values, str], Values] = _nothing
    shared: Mapping[str, str] = field(default_factory=dict[str, str])
    draw: Draw | None = None
    spread: Spread | None = None
    unused: frozenset[str] = frozenset()
    replaced: str | None = None

    @property
    def label(self) -> str:
        """The label of its attachments."""
        return self.kind.lower()

    @property
    def parts(self) -> list[str]:
        """The tensors that any form has, `lora_B.bias` before `bias`."""
        return sorted({part for form in self.forms for part in form.parts}, key=len, reverse=True)


def named_by(module: str, name: str) -> bool:
    """Whether a module has a name, or ends in it."""
    return f".{module}".endswith(f".{name}")


def spelled(value: object) -> str:
    """A setting as a spec writes it: numbers that are whole without a point."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value)
