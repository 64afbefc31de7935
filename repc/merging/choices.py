"""What the options of a merge may be: Python gives them by their names, and nothing of them is passed over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from repc.diagnostics import Failure
from repc.merging import errors
from repc.merging.hashes import NEW
from repc.merging.precision import FORMATS, Precision

CHOICES: Mapping[str, tuple[str | None, ...]] = {
    "arithmetic": ("f32", "f64"),
    "base_precision": (None, *get_args(Precision)),
    "hash": (None, *NEW),
    "quantised": tuple(FORMATS),
    "tied": (None, "untie", "share"),
}
COUNTS = ("every", "memory", "threads")


def check_options(options: Mapping[str, object]) -> None:
    """Raises `Failure` E644 for every option that is none of its choices or no count, and where there is no adapter."""
    faults = [
        errors.no_choice(name, options[name], f"it is one of {', '.join(map(repr, known))}")
        for name, known in CHOICES.items()
        if name in options and options[name] not in known
    ]
    faults += [
        errors.no_choice(name, count, "give a number from 1 on, or leave it out")
        for name in COUNTS
        if (count := options.get(name)) is not None and not (isinstance(count, int) and count > 0)
    ]
    if "adapters" in options and not options["adapters"]:
        faults.append(errors.no_choice("adapters", options["adapters"], "give one at least"))
    if faults:
        raise Failure(faults)
