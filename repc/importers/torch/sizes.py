"""Sizes of torch programs, which are expressions of sympy, as sizes of repc."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any, cast

import sympy  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch import Tensor
from torch.utils._sympy.functions import CleanDiv, FloorDiv, Mod, PythonMod
from torch.utils._sympy.symbol import SymT, symbol_is_type

from repc.ir.dims import Dim, Shape, symbol


class Unrepresentable(Exception):
    """A size that is no polynomial over floors; the text says which."""

    def __init__(self, size: Any) -> None:
        decided = any(symbol_is_type(part, SymT.UNBACKED_INT) for part in size.free_symbols)
        reason = "is data-dependent" if decided else "is no polynomial of free sizes over whole divisors"
        super().__init__(f"the size {size} {reason}")


class Sizes:
    """The sizes of one program over its free dimensions.

    `free` names the free dimensions by the symbols that torch gave them.
    """

    def __init__(self, free: Mapping[sympy.Symbol, Dim]) -> None:
        self._free = free

    def dim(self, size: int | torch.SymInt) -> Dim:
        """A size.  Raises `Unrepresentable`."""
        if isinstance(size, int):
            return size
        return self._dim(cast("Any", size).node.expr)

    def shape(self, tensor: Tensor) -> Shape:
        """The shape of an example value.  Raises `Unrepresentable`."""
        return tuple(map(self.dim, tensor.shape))

    def _dim(self, expr: Any) -> Dim:
        match expr:
            case sympy.Integer():
                return int(expr)
            case sympy.Symbol() if expr in self._free:
                return self._free[expr]
            case sympy.Add():
                return reduce(_plus, map(self._dim, expr.args))
            case sympy.Mul():
                return reduce(_times, map(self._dim, expr.args))
            case sympy.Pow(exp=sympy.Integer()) if expr.exp > 0:
                return reduce(_times, [self._dim(expr.base)] * int(expr.exp))
            case FloorDiv() | CleanDiv() if isinstance(divisor := self._dim(expr.args[1]), int):
                return self._dim(expr.args[0]) // divisor
            case Mod() | PythonMod() if isinstance(divisor := self._dim(expr.args[1]), int):
                return self._dim(expr.args[0]) % divisor
            case _:
                raise Unrepresentable(expr)


def _plus(a: Dim, b: Dim) -> Dim:
    return a + b


def _times(a: Dim, b: Dim) -> Dim:
    return a * b


def free_dimensions(named: Iterable[tuple[torch.SymInt, str]]) -> dict[sympy.Symbol, Dim]:
    """The free dimensions of the given sizes of inputs, each with the name that it is to have.

    A size that is a multiple of a symbol (``32*s``) is a stated multiple: it has the name, and s is a part of it.
    """
    found: dict[sympy.Symbol, Dim] = {}
    for size, name in named:
        factor, rest = cast("Any", size).node.expr.as_coeff_Mul()
        if isinstance(rest, sympy.Symbol) and isinstance(factor, sympy.Integer):
            found.setdefault(rest, symbol(name) // int(factor))
    return found
