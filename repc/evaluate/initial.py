"""The values that parameters have before training."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from repc.evaluate import evaluate
from repc.evaluate.dtypes import DTYPES
from repc.evaluate.floating import TorchField
from repc.ir.expr import parameters as parameters_of
from repc.ir.node import Parameter


def initial_values(parameters: Mapping[str, Parameter], seed: int | None) -> dict[str, Tensor]:
    """Evaluate every initial value, in float32; those that read other parameters come after them.

    The same seed gives the same values; without one they come from torch's own generator.
    """
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    field = TorchField(torch.float32, generator)
    values: dict[str, Tensor] = {}
    waiting = list(parameters.values())[::-1]
    while waiting:
        parameter = waiting[-1]
        missing = [path for path in parameters_of([parameter.init]) if path not in values]
        if missing:
            waiting += [parameters[path] for path in missing]
            continue
        waiting.pop()
        if parameter.path not in values:
            value = evaluate({"": parameter.init}, field, values)[""]
            values[parameter.path] = value.to(DTYPES[parameter.type.dtype]).clone(memory_format=torch.contiguous_format)
    return values
