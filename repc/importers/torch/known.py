"""Values that no parameter is part of: positions, masks and other constants, computed while they are imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, cast

import torch
from torch import Tensor

from repc.importers.torch.functional import Call
from repc.importers.torch.opaque import Argument
from repc.importers.torch.site import exact
from repc.ir.expr import Apply, Expr, Param
from repc.ir.types import TensorType
from repc.ops import Fill


class Known:
    """The constants of a network, which are weights with a path, or one number repeated.

    `held` are all tensors of the network by path: those that it is given, and the constants that come to them.
    """

    def __init__(self, given: Mapping[str, Tensor]) -> None:
        self.held = {**given}
        self.tensors: dict[str, Tensor] = {}
        self._values: dict[Expr, Tensor] = {}

    def constant(self, path: str, tensor: Tensor, type: TensorType) -> Expr:
        """A constant with this value; `path` is what it is called, if that is free."""
        tensor = tensor.detach().cpu()
        expr = _repeated(tensor, type) or self._stored(path, tensor, type)
        self._values[expr] = tensor
        return expr

    def call(self, target: Call, args: Sequence[Argument], keywords: Mapping[str, Argument]) -> list[Tensor] | None:
        """The results of a call on constants alone; None for any other, and for one that draws random numbers."""
        if torch.Tag.nondeterministic_seeded in target.tags or not self._covers([*args, *keywords.values()]):
            return None
        given = {name: self._filled(value) for name, value in keywords.items()}
        if "device" in given:
            given["device"] = torch.device("cpu")
        found = cast("Any", target)(*map(self._filled, args), **given)
        return [found] if isinstance(found, Tensor) else list(found)

    def _covers(self, args: Sequence[Argument]) -> bool:
        return all(
            self._covers(cast("Sequence[Argument]", arg))
            if isinstance(arg, list | tuple)
            else arg in self._values
            if isinstance(arg, Param | Apply)
            else arg is None or isinstance(arg, _PLAIN)
            for arg in args
        )

    def _filled(self, arg: Argument) -> Any:
        if isinstance(arg, list | tuple):
            return [self._filled(item) for item in cast("Sequence[Argument]", arg)]
        return self._values[arg] if isinstance(arg, Param | Apply) else arg

    def _stored(self, path: str, tensor: Tensor, type: TensorType) -> Param:
        name, count = path, 0
        while name in self.held:
            count += 1
            name = f"{path}_{count}"
        self.held[name] = self.tensors[name] = tensor
        return Param(name, type)


_PLAIN = (bool, int, float, str, torch.dtype, torch.device, torch.layout, torch.memory_format)


def _repeated(tensor: Tensor, type: TensorType) -> Apply | None:
    """One number for all elements, where there is one."""
    if not tensor.numel() or not tensor.is_floating_point():
        return None
    first = tensor.flatten()[0]
    number = first.item()
    if not isfinite(number) or not bool((tensor == first).all()):
        return None
    return Apply(Fill(type.concrete(), exact(number), type.dtype), {}, type)
