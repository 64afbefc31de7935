"""Functions that make constants: weights without a parameter."""

from __future__ import annotations

from fractions import Fraction

from repc.ir.types import DTYPES
from repc.ops.constant import Constant, Fill
from repc.semantics.call import Call
from repc.semantics.values import Value, as_number


def tensor(c: Call) -> Value:
    """The numbers of a list, or of lists of equal length."""
    rows, shape = [c.attributes["values"]], list[int]()
    while rows and all(isinstance(row, tuple) for row in rows):
        lists = [row for row in rows if isinstance(row, tuple)]
        shape.append(len(lists[0]))
        if any(len(row) != shape[-1] for row in lists):
            raise c.wrong("values", "lists of equal length")
        rows = [item for row in lists for item in row]
    numbers = [number for number in map(as_number, rows) if number is not None]
    if len(numbers) < len(rows):
        raise c.wrong("values", "a list of numbers, or of such lists")
    return c.emit(Constant(tuple(shape), tuple(map(Fraction, numbers))))


def fill(c: Call) -> Value:
    """One number everywhere."""
    return c.emit(Fill(c.sizes("shape"), c.fraction("value"), c.choice("dtype", DTYPES)))


def arange(c: Call) -> Value:
    """0, 1, 2, …"""
    size = c.integer("size", least=0)
    c.ctx.spend(c.span, size)
    return c.emit(Constant((size,), tuple(map(Fraction, range(size)))))
