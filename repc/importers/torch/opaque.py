"""Calls that the table does not have, as they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast

import torch

from repc.importers.torch.site import Ref, Site, Value
from repc.ir.dims import Polynomial
from repc.ir.expr import Apply, Param
from repc.ir.foreign import DEVICE, Dtype, Hole, Named, Template, TorchCall
from repc.ops import Opaque

Argument: TypeAlias = object
"""An argument of a call: a value, a size, a plain constant, or a list of these."""


class Unwritable(Exception):
    """An argument that cannot be kept as plain data; the text says which."""


def opaque(
    at: Site, target: str, args: Sequence[Argument], keywords: Mapping[str, Argument], types: Types
) -> list[Value]:
    """All results of a call.  Raises `Unwritable`."""
    operands: list[Value] = []
    template = tuple(_template(arg, operands, types) for arg in args)
    named = {name: _template(value, operands, types) for name, value in keywords.items()}
    call = TorchCall(target, template, tuple(value.type.dtype for value in operands), at.results, named)
    return [at.add_all(Opaque(call, result), operands) for result in range(len(at.results))]


Types: TypeAlias = Mapping[torch.dtype, str]


def _template(arg: Argument, operands: list[Value], types: Types) -> Template:
    match arg:
        case Ref() | Param() | Apply():
            if arg not in operands:
                operands.append(arg)
            return Hole(operands.index(arg))
        case list() | tuple():
            return tuple(_template(item, operands, types) for item in cast("Sequence[Argument]", arg))
        case torch.dtype() if arg in types:
            return Dtype(types[arg])
        case torch.device():
            return DEVICE
        case torch.layout() | torch.memory_format():
            return Named(str(arg))
        case bool() | int() | float() | str() | None | Polynomial():
            return arg
        case _:
            raise Unwritable(f"{type(arg).__name__} {arg}")
