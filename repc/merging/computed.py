"""The new value of one tensor, by tiles of its rows, and how much of the change the stored type loses.

A tile has the same size whatever the memory and the number of threads, so that the result has the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, prod, sqrt
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from repc.diagnostics import Failure
from repc.evaluate import evaluate
from repc.evaluate.floating import TorchField
from repc.evaluate.raw import raw
from repc.evaluate.tiles import Leaf, tiling
from repc.ir.expr import Expr, Param, walk
from repc.merging import errors
from repc.merging.fused import fused, overwritten
from repc.merging.operands import Operands

TILE = 1 << 20
"""Elements of a tile: 4 MB in float32, which caches hold, and enough to hide the cost of a call."""

MEASURED = 64
"""One row in so many is measured, the first of each tile: a row is as good as another, and each costs as much again."""


@dataclass(frozen=True)
class Loss:
    """How far stored values y' are from the exact y*, both beside the base y: sums of squares, and counts."""

    lost: float = 0.0
    change: float = 0.0
    same: int = 0
    count: int = 0

    def __add__(self, other: Loss) -> Loss:
        return Loss(
            self.lost + other.lost, self.change + other.change, self.same + other.same, self.count + other.count
        )

    @property
    def relative(self) -> float:
        """‖y' − y*‖ / ‖y* − y‖."""
        return sqrt(self.lost / self.change) if self.change else 0.0

    @property
    def unchanged(self) -> float:
        """The share of stored values that are the base's own."""
        return self.same / self.count if self.count else 0.0


class Computed:
    """The new value of a tensor; its tiles can be asked for in any order, from several threads."""

    def __init__(self, key: str, expr: Expr, dtype: torch.dtype, stored: torch.dtype, operands: Operands) -> None:
        self.key, self.stored = key, stored
        # A wider base is not narrowed on the way.
        self._field = TorchField(torch.promote_types(dtype, stored))
        self._operands, self._expr = operands, expr
        found = tiling(expr)
        shape = expr.type.concrete()
        self._rows = (shape[0] if shape else 1) // found.units
        self._count = min(found.units, max(1, TILE * found.units // max(1, prod(shape))))
        self._units = found.units
        self.tiles = -(-found.units // self._count)
        last = found.units - (self.tiles - 1) * self._count
        forms = {count: found.tile(count) for count in {self._count, last}}
        self._forms = {count: (fused(expr), leaves) for count, (expr, leaves) in forms.items()}
        self._overwritten = {name for expr, _ in self._forms.values() for name in overwritten(expr)}
        self._once: dict[Expr, Tensor] | None = None
        self._lock = Lock()
        self._left = self.tiles
        self.cost = self._cost()

    def _cost(self) -> int:
        """The bytes that a tile needs at most: as if nothing were forgotten before its end."""
        expr, leaves = self._forms[self._count]
        once = [leaf.expr for leaf in leaves.values() if not isinstance(leaf.expr, Param)]
        return sum(prod(part.type.concrete()) for part in walk([expr, *once])) * self._field.dtype.itemsize

    def place(self, index: int) -> tuple[int, int]:
        """The rows of a tile: the first, and that after the last."""
        return index * self._count * self._rows, min(self._units, (index + 1) * self._count) * self._rows

    @property
    def has_base(self) -> bool:
        """Whether there is a value of the base to compare with."""
        return self._operands.stored(self.key) in self._operands.base.homes

    def files(self) -> set[Path]:
        """The files that the expression reads."""
        return self._operands.files(part.path for part in walk([self._expr]) if isinstance(part, Param))

    def tile(self, index: int) -> Tensor:
        """The exact values of a tile, in the type of the arithmetic.

        Raises `Failure` E637 where they are not finite in the stored type.
        """
        start, stop = index * self._count, min(self._units, (index + 1) * self._count)
        expr, leaves = self._forms[stop - start]
        once = self._computed_once(leaves)
        values = {name: self._leaf(leaf, once, start, stop) for name, leaf in leaves.items()}
        values |= {name: values[name].to(self._field.dtype, copy=True) for name in self._overwritten}
        exact = evaluate({"": expr}, self._field, values)[""]
        self._check(exact)
        with self._lock:
            self._left -= 1
            if not self._left:
                self._once = None
        return exact

    def measure(self, index: int, exact: Tensor, new: Tensor, every: int = 1) -> Loss:
        """What the rounding of a tile loses, by its first rows: one in `every`."""
        first, last = self.place(index)
        if exact.dim():
            last = first - (first - last) // every
            exact, new = exact[: last - first], new[: last - first]
        old = self._operands.read(self.key, 0 if exact.dim() else None, first, last)
        # Converted first: operators of two types take far longer.
        lost, change = squares(new.to(exact.dtype) - exact), squares(old.to(exact.dtype) - exact)
        return Loss(lost, change, same(new, old), new.numel())

    def _computed_once(self, leaves: Mapping[str, Leaf]) -> dict[Expr, Tensor]:
        with self._lock:
            if self._once is None:
                exprs = [leaf.expr for leaf in leaves.values() if not isinstance(leaf.expr, Param)]
                params = {part.path for part in walk(exprs) if isinstance(part, Param)}
                given = {path: self._operands.read(path, None, 0, 0) for path in sorted(params)}
                self._once = evaluate(dict(zip(exprs, exprs, strict=True)), self._field, given)
            return self._once

    def _leaf(self, leaf: Leaf, once: Mapping[Expr, Tensor], start: int, stop: int) -> Tensor:
        size = 1 if leaf.axis is None else leaf.expr.type.concrete()[leaf.axis] // self._units
        if isinstance(leaf.expr, Param):
            return self._operands.read(leaf.expr.path, leaf.axis, start * size, stop * size)
        whole = once[leaf.expr]
        return whole if leaf.axis is None else whole.narrow(leaf.axis, start * size, (stop - start) * size)

    def _check(self, exact: Tensor) -> None:
        # A sum is faster than a look at each value, and tells enough where both types end at about the same number.
        if not exact.numel() or (self.stored is not torch.float16 and isfinite(float(exact.sum()))):
            return
        low, high = torch.aminmax(exact)
        largest = max(-float(low), float(high))
        if not largest <= torch.finfo(self.stored).max:
            raise Failure(errors.not_finite(self.key, str(self.stored).removeprefix("torch."), largest))


def squares(x: Tensor) -> float:
    """The sum of the squares of all elements."""
    flat = x.reshape(-1)
    return float(flat @ flat)


def same(a: Tensor, b: Tensor) -> int:
    """How many elements of two tensors of one type have the same bits, which numpy counts much faster than torch."""
    bits = f"u{a.itemsize}"
    return int(np.count_nonzero(raw(a).view(bits) == raw(b).view(bits)))
