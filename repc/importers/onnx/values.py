"""What a name of the file stands for while it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from repc.ir.dims import Dim
from repc.ir.expr import Expr
from repc.ir.node import NodeId


class Misfit(Exception):
    """A node that no operator of repc expresses, so that it stays opaque; the text says why."""


@dataclass(frozen=True, eq=False)
class Known:
    """A tensor whose elements are known while the file is read: constants, or sizes that follow from the inputs'.

    The array has the element type object where an element is symbolic, then integers and polynomials.  `computed` adds
    to the graph what computes it at run time.
    """

    array: np.ndarray
    dtype: str
    computed: Callable[[], Operand] | None = None

    @property
    def symbolic(self) -> bool:
        return self.array.dtype == object

    def elements(self) -> tuple[Dim, ...]:
        """The elements, in order, as plain integers and polynomials."""
        return tuple(self.array.astype(object).flat)


Operand: TypeAlias = NodeId | Expr
"""A value of the graph, or a weight."""

Value: TypeAlias = Operand | Known | tuple[Operand, ...]
"""What a name stands for; a tuple is a sequence of tensors."""
