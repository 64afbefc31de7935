"""Initial values as the language says them."""

from __future__ import annotations

import math
from fractions import Fraction

from repc.backends.spec.slots import Form, Slot
from repc.ir.expr import Apply
from repc.ir.node import Parameter
from repc.ops.constant import Eye, Fill, Random


def initial_form(parameter: Parameter) -> Form | None:
    """The initialiser or number that a parameter starts from; None where that is computed from other parameters."""
    match parameter.init:
        case Apply(op=Fill(value=value)) if value in (0, 1):
            return Form("name", "ones" if value else "zeros")
        case Apply(op=Fill(value=value)):
            return Form("number", "", (Slot("value", int(value) if value.denominator == 1 else value),))
        case Apply(op=Eye()):
            return Form("name", "identity")
        case Apply(op=Random() as op):
            return _random(op)
        case _:
            return None


def _random(op: Random) -> Form:
    if op.distribution == "uniform" and len(op.shape) > 1:
        std = math.sqrt(2 / (1 + math.sqrt(5) ** 2)) / math.sqrt(max(1, math.prod(op.shape[1:])))
        bound = math.sqrt(3) * std
        if (op.low, op.high) == (-bound, bound):
            return Form("kaiming", "kaiming_uniform")
    names = ("low", "high") if op.distribution == "uniform" else ("mean", "std")
    values = (Fraction(repr(value)) for value in (op.low, op.high))
    return Form(
        "function", op.distribution, tuple(Slot(n, v, by_place=True) for n, v in zip(names, values, strict=True))
    )
