"""Opaque calls: their arguments with sizes and integers as slots, and their results."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite
from typing import TypeAlias, cast

from repc.backends.spec.forms import Form, Slot
from repc.backends.spec.terms import NOWHERE, literal, negative
from repc.ir.dims import Polynomial
from repc.ir.foreign import Call, Dtype, Hole, Named, OnnxCall, Template
from repc.ir.types import TensorType
from repc.syntax import tree


@dataclass(frozen=True, slots=True)
class Mark:
    """The place of a slot."""

    number: int


Pattern: TypeAlias = "bool | float | str | Hole | Mark | tuple[Pattern, ...] | None"


@dataclass(frozen=True, slots=True)
class Said:
    """The arguments of a call by name, None for those by place, and the element types and ranks of its results."""

    arguments: tuple[tuple[str | None, Pattern], ...]
    results: tuple[tuple[str, int], ...]


def opaque_form(call: Call) -> Form:
    """A call with all its results."""
    slots: list[Slot] = []
    if isinstance(call, OnnxCall):
        node = b64encode(call.node).decode()
        named = {"node": node, "opset": call.opset, "names": call.names}
        arguments: list[tuple[str | None, Template]] = [(None, Hole(i)) for i in range(len(call.operands))]
    else:
        named, arguments = call.keywords, [(None, value) for value in call.args]
    arguments += named.items()
    patterns = tuple((name, _pattern(value, name, slots)) for name, value in arguments)
    slots += [Slot("size", size, width=True) for type in call.types for size in type.shape]
    said = Said(patterns, tuple((type.dtype, type.rank) for type in call.types))
    return Form("opaque", call.target, tuple(slots), detail=said)


def _pattern(value: Template, name: str | None, slots: list[Slot]) -> Pattern:
    match value:
        case bool() | None | Hole():
            return value
        case int() | Polynomial():
            slots.append(Slot(name or "n", value, width=isinstance(value, Polynomial)))
            return Mark(len(slots) - 1)
        case Dtype(text) | Named(text):
            return text
        case tuple():
            return tuple(_pattern(item, name, slots) for item in value)
        case float():
            return value if isfinite(value) else str(value)
        case str():
            return value
        case slice():
            raise TypeError(f"no argument of a call is a slice: {value}")


def typed(form: Form, operands: Sequence[tree.Expr], slots: Sequence[tree.Expr | None]) -> tree.Typed:
    """The call in the language, given what stands for its operands and slots."""
    said = cast("Said", form.detail)
    given = [tree.Argument(NOWHERE, name, _argument(value, operands, slots)) for name, value in said.arguments]
    function = tree.Name(NOWHERE, "opaque")
    call = tree.Call(NOWHERE, function, (tree.Argument(NOWHERE, None, literal(form.name)), *given))
    sizes = iter(slots[len(slots) - sum(rank for _, rank in said.results) :])
    types = tuple(
        tree.TypeExpr(NOWHERE, dtype, tuple(cast("tree.Expr", next(sizes)) for _ in range(rank)))
        for dtype, rank in said.results
    )
    return tree.Typed(NOWHERE, call, types)


def _argument(value: Pattern, operands: Sequence[tree.Expr], slots: Sequence[tree.Expr | None]) -> tree.Expr:
    match value:
        case Hole(index):
            return operands[index]
        case Mark(number):
            return cast("tree.Expr", slots[number])
        case tuple():
            return tree.List(NOWHERE, tuple(_argument(item, operands, slots) for item in value))
        case float():
            spelling = repr(abs(value))
            size = tree.Float(NOWHERE, Fraction(spelling), spelling)
            return size if value >= 0 else negative(size)
        case _:
            return literal(value)
