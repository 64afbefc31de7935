"""The arguments of one call of a function, sorted into operands and attributes, with typed access."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from repc.diagnostics import Span
from repc.ir.expr import Apply, Param
from repc.ir.operator import Operator
from repc.ir.types import TensorType
from repc.semantics import errors
from repc.semantics.context import Context
from repc.semantics.emission import checked_axis, constant, emit
from repc.semantics.errors import Rejected
from repc.semantics.values import POISON, Activation, Along, Poison, Tensor, Value, as_integer, as_number, describe

if TYPE_CHECKING:
    from repc.semantics.functions import Function

REQUIRED = "<required>"
"""Marks an attribute without default."""


@dataclass(frozen=True, eq=False)
class Call:
    """A call with every operand a tensor (missing ones absent) and every attribute a static value."""

    ctx: Context
    function: str
    span: Span
    operands: Mapping[str, Tensor]
    attributes: Mapping[str, Value]

    def emit(self, op: Operator) -> Tensor:
        return emit(self.ctx, op, self.operands, self.span)

    def tensor(self, name: str) -> Tensor:
        return self.operands[name]

    def type(self, name: str) -> TensorType:
        return self.operands[name].type

    def spatial(self, operand: str = "x") -> int:
        """The number of axes of an operand behind the batch and the channels; operators tell if there are too few."""
        return max(self.type(operand).rank - 2, 0)

    def integer(self, name: str, least: int | None = None) -> int:
        value = as_integer(self.attributes[name])
        if value is None:
            raise self.wrong(name, "an integer")
        if least is not None and value < least:
            raise self.wrong(name, f"at least {least}")
        return value

    def fraction(self, name: str, least: int | None = None) -> Fraction:
        value = as_number(self.attributes[name])
        if value is None:
            raise self.wrong(name, "a number")
        if least is not None and value < least:
            raise self.wrong(name, f"at least {least}")
        return Fraction(value)

    def flag(self, name: str) -> bool:
        value = self.attributes[name]
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def text(self, name: str) -> str:
        value = self.attributes[name]
        if not isinstance(value, str):
            raise self.wrong(name, "a string")
        return value

    def choice(self, name: str, options: Sequence[str]) -> str:
        value = self.text(name)
        if value not in options:
            raise self.wrong(name, "one of " + ", ".join(f'"{o}"' for o in options))
        return value

    def integers(
        self, name: str, count: int, least: int | None = 1, default: tuple[int, ...] | None = None
    ) -> tuple[int, ...]:
        """An integer for every axis, or a list of `count` integers."""
        value = self.attributes[name]
        if value is None and default is not None:
            return default
        items = value if isinstance(value, tuple) else (value,) * count
        whole = [item for item in map(as_integer, items) if item is not None]
        found = tuple(item for item in whole if least is None or item >= least)
        if len(found) != count or len(items) != count:
            bound = "" if least is None else f", each at least {least}"
            raise self.wrong(name, f"an integer or a list of {count}{bound}")
        return found

    def fractions(self, name: str, count: int) -> tuple[Fraction, ...]:
        """A number for every axis, or a list of `count` numbers."""
        value = self.attributes[name]
        items = value if isinstance(value, tuple) else (value,) * count
        found = tuple(Fraction(item) for item in map(as_number, items) if item is not None)
        if len(found) != count or len(items) != count:
            raise self.wrong(name, f"a number or a list of {count}")
        return found

    def pairs(self, name: str, count: int, negative: bool = False) -> tuple[tuple[int, int], ...]:
        """Widths before and after each axis: one integer, one for each axis, or a pair for each axis."""
        value = self.attributes[name]
        items = value if isinstance(value, tuple) else (value,) * count
        found: list[tuple[int, int]] = []
        for item in items:
            pair = [as_integer(side) for side in (item if isinstance(item, tuple) else (item, item))]
            match pair:
                case [int(before), int(after)] if negative or (before >= 0 and after >= 0):
                    found.append((before, after))
                case _:
                    kind = "an" if negative else "a non-negative"
                    raise self.wrong(name, f"{kind} integer, or a list of integers or of [before, after] pairs")
        if len(found) != count:
            raise self.wrong(name, f"one entry for each of the {count} spatial axes")
        return tuple(found)

    def sizes(self, name: str) -> tuple[int, ...]:
        """A list of known sizes, or one."""
        value = self.attributes[name]
        items = value if isinstance(value, tuple) else (value,)
        found = tuple(size for size in map(as_integer, items) if size is not None and size >= 0)
        if len(found) != len(items):
            raise self.wrong(name, "a list of known sizes")
        return found

    def axis(self, name: str) -> int:
        """An axis of x, counted from the front."""
        return checked_axis(self.integer(name), self.type("x"), self.span)

    def axes(self, name: str) -> tuple[int, ...]:
        """One axis of x or a list of different ones, counted from the front."""
        value = self.attributes[name]
        items = [as_integer(item) for item in (value if isinstance(value, tuple) else (value,))]
        axes = dict.fromkeys(checked_axis(item, self.type("x"), self.span) for item in items if item is not None)
        if len(axes) < len(items):
            raise self.wrong(name, "an axis or a list of different axes")
        return tuple(axes)

    def misfit(self, operand: str, expected: str) -> Rejected:
        """An operand of another shape than the function is defined for."""
        return Rejected(errors.bad_attribute(self.span, self.function, operand, expected, str(self.type(operand))))

    def wrong(self, name: str, expected: str) -> Rejected:
        return Rejected(errors.bad_attribute(self.span, self.function, name, expected, describe(self.attributes[name])))


def bind(
    ctx: Context, function: Function, positional: Sequence[Value], keywords: Mapping[str, Value], span: Span
) -> Call | Poison:
    """Sort arguments into operands and attributes; raises `Rejected` where they do not fit the signature."""
    names = [name.rstrip("?") for name in function.operands]
    optional = {name.rstrip("?") for name in function.operands if name.endswith("?")}
    slots = [*names, *list(function.attributes)[: function.positional]]
    given: dict[str, Value] = {}
    values = list(positional)
    for slot in slots:
        if not values:
            break
        if slot in optional and function.positional and not _tensor_like(values[0]):
            continue
        given[slot] = values.pop(0)
    if values:
        raise Rejected(errors.argument_count(span, function.name, len(names), len(slots), len(positional)))
    for name, value in keywords.items():
        if name not in names and name not in function.attributes and not function.open_keywords:
            raise Rejected(errors.unknown_keyword(span, function.name, name, [*names, *function.attributes]))
        if name in given:
            raise Rejected(errors.given_twice(span, function.name, name))
        given[name] = value
    if any(isinstance(value, Poison) for value in given.values()):
        return POISON
    operands: dict[str, Tensor] = {}
    for name in names:
        if name not in given and name not in optional:
            raise Rejected(errors.missing_argument(span, function.name, name))
        value = given.pop(name, None)
        if value is not None or name not in optional:
            operands[name] = as_tensor(value, span)
    attributes = {**function.attributes, **given}
    missing = [name for name, value in attributes.items() if value is REQUIRED]
    if missing:
        raise Rejected(errors.missing_argument(span, function.name, missing[0]))
    return Call(ctx, function.name, span, operands, attributes)


def as_tensor(value: Value, span: Span) -> Tensor:
    """A tensor, or a number as one; raises `Rejected` for anything else."""
    if isinstance(value, (Activation, Param, Apply)):
        return value
    number = as_number(value)
    if number is not None:
        return constant(number)
    if isinstance(value, Along):
        raise Rejected(errors.stray_along(span))
    raise Rejected(errors.not_a_tensor(span, describe(value)))


def _tensor_like(value: Value) -> bool:
    return value is None or isinstance(value, (Activation, Param, Apply, Along, Poison))
