"""The new value of one tensor, by tiles of its rows, and how much of the change the stored type loses.

A tile has the same size whatever the memory and the number of threads, so that the result has the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from math import isfinite, prod, sqrt
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from repc.diagnostics import Failure
from repc.evaluate import evaluate
from repc.evaluate.expressions import Program
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
"""One row of a large tensor in so many is measured: a row is as good as another, and each costs as much again."""

STRETCH = 8
"""The measured rows of so many tiles are the first ones of their first tile: few calls, which cost more than rows do.
"""

WHOLE = 1 << 16
"""Elements up to which a tensor is measured as a whole: a few rows say little of it, and all of them cost little."""


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

    def of(self, count: int) -> Loss:
        """That of so many values, of which these are a sample."""
        share = count / self.count if self.count else 0.0
        return Loss(share * self.lost, share * self.change, round(share * self.same), count)

    @property
    def relative(self) -> float:
        """‖y' − y*‖ / ‖y* − y‖."""
        return sqrt(self.lost / self.change) if self.change else 0.0

    @property
    def unchanged(self) -> float:
        """The share of stored values that are the base's own."""
        return self.same / self.count if self.count else 0.0


@dataclass(frozen=True, eq=False)
class Form:
    """How a tile of one size is computed: a program, and what it reads.

    The parameters that are `overwritten` must be copies; `base` is the one that has the value before, and `size` how
    many elements there are at most, as if nothing were forgotten before the end.
    """

    program: Program[str]
    leaves: Mapping[str, Leaf]
    overwritten: Set[str]
    base: str | None
    size: int


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
        self._forms = {count: self._form(*found.tile(count)) for count in {self._count, last}}
        self._once: dict[Expr, Tensor] | None = None
        self._lock = Lock()
        self._left = self.tiles
        self.cost = self._forms[self._count].size * self._field.dtype.itemsize

    def _form(self, expr: Expr, leaves: Mapping[str, Leaf]) -> Form:
        expr = fused(expr)
        base = [name for name, leaf in leaves.items() if leaf.axis == 0 and self._is_base(leaf.expr)]
        once = [leaf.expr for leaf in leaves.values() if not isinstance(leaf.expr, Param)]
        size = sum(prod(part.type.concrete()) for part in walk([expr, *once]))
        return Form(Program({"": expr}), leaves, overwritten(expr), next(iter(base), None), size)

    def _is_base(self, expr: Expr) -> bool:
        """Whether an expression is the value before."""
        if not isinstance(expr, Param) or expr.path in self._operands.given:
            return False
        return self._operands.stored(expr.path) == self._operands.stored(self.key)

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

    def tile(self, index: int) -> tuple[Tensor, Tensor | None]:
        """The exact values of a tile, in the type of the arithmetic, and those of the base where they had to be read.

        Raises `Failure` E637 where they are not finite in the stored type.
        """
        start, stop = index * self._count, min(self._units, (index + 1) * self._count)
        form = self._forms[stop - start]
        once = self._computed_once(form.leaves)
        values = {name: self._leaf(leaf, once, start, stop) for name, leaf in form.leaves.items()}
        old = None if form.base is None else values[form.base]
        values |= {name: values[name].to(self._field.dtype, copy=True) for name in form.overwritten}
        ((_, exact),) = form.program.run(self._field, values)
        check_finite(self.key, exact, self.stored)
        with self._lock:
            self._left -= 1
            if not self._left:
                self._once = None
        return exact, old

    def measure(self, index: int, exact: Tensor, new: Tensor, old: Tensor | None, every: int) -> Loss:
        """What the rounding of a tile loses, by one row in `every`; the base is read where it is not given."""
        every = 1 if prod(self._expr.type.concrete()) <= WHOLE else every
        stretch = min(STRETCH, every)
        if index % stretch:
            return Loss()
        first, last = self.place(index)
        if exact.dim():
            _, end = self.place(index + stretch - 1)
            last = first - (first - end) // every
            exact, new, old = exact[: last - first], new[: last - first], old if old is None else old[: last - first]
        if old is None:
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


def check_finite(key: str, exact: Tensor, stored: torch.dtype) -> None:
    """Raises `Failure` E637 where a value would not be finite in the stored type."""
    # A sum is faster than a look at each value, and tells enough where both types end at about the same number.
    end = torch.finfo(stored).max
    if not exact.numel() or (2 * end > torch.finfo(exact.dtype).max and isfinite(float(exact.sum()))):
        return
    low, high = torch.aminmax(exact)
    largest = max(-float(low), float(high))
    if not largest <= end:
        raise Failure(errors.not_finite(key, str(stored).removeprefix("torch."), largest))


def squares(x: Tensor) -> float:
    """The sum of the squares of all elements."""
    flat = x.reshape(-1)
    return float(flat @ flat)


def same(a: Tensor, b: Tensor) -> int:
    """How many elements of two tensors of one type have the same bits, which numpy counts much faster than torch."""
    bits = f"u{a.itemsize}"
    return int(np.count_nonzero(raw(a).view(bits) == raw(b).view(bits)))
