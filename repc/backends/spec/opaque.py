"""Opaque calls: their arguments with sizes and integers as slots, and their results."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite
from typing import TypeAlias, cast

from repc.backends.spec.slots import Form, Slot
from repc.backends.spec.terms import NOWHERE, literal, negative
from repc.ir.dims import Polynomial
from repc.ir.foreign import Call, Dtype, Hole, Named, OnnxCall, Seed, Template, TorchCall
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
    """A call with all its results: of a function of the language that is made of one, or an opaque one."""
    known = _function(call) if isinstance(call, TorchCall) else None
    if known is not None:
        return known
    slots: list[Slot] = []
    if isinstance(call, OnnxCall):
        node = b64encode(call.node).decode()
        given: Iterable[Template] = map(Hole, range(len(call.operands)))
        named: Mapping[str, Template] = {"node": node, "opset": call.opset, "names": call.names}
    else:
        given, named = call.args, call.keywords
    arguments = [*((None, value) for value in given), *named.items()]
    patterns = tuple((name, _pattern(value, name, slots)) for name, value in arguments)
    slots += [Slot("size", size, width=True) for type in call.types for size in type.shape]
    said = Said(patterns, tuple((type.dtype, type.rank) for type in call.types))
    return Form("opaque", call.target, tuple(slots), detail=said)


def _function(call: TorchCall) -> Form | None:
    """The function of the language that makes this call."""
    name, keywords = call.target.rpartition(".")[2], dict(call.keywords)
    seed = keywords.pop("generator", None)
    holes = tuple(Hole(i) for i in range(len(call.operands)))
    by_place: tuple[Slot, ...] = ()
    match call.target:
        case "torch.linalg.solve" | "torch.linalg.qr":
            known = call.args == holes and not keywords
        case "torch.linalg.svd":
            known = call.args == holes and keywords == {"full_matrices": False}
        case "torch.topk":
            known = call.args == holes and list(keywords) == ["k"]
            by_place = tuple(Slot("k", value, by_place=True) for value in keywords.values())
        case "torch.index_add" | "torch.index_copy":
            known = call.args == (Hole(0), 0, Hole(1), Hole(2)) and not keywords
        case "torch.randn" | "torch.rand" | "torch.randperm":
            known = isinstance(seed, Seed) and len(call.args) == 1
            first = call.args[0] if known else None
            by_place = (Slot("shape", first, by_place=True), Slot("seed", getattr(seed, "number", 0), by_place=True))
        case _:
            known = False
    return Form("function", name, by_place, tuple(str(i) for i in range(len(holes)))) if known else None


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
        case slice() | Seed():
            raise TypeError(f"no call of an imported network has the argument {value}")


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
