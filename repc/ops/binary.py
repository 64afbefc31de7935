"""Elementwise functions of two operands, truth, and choices by it; broadcasting is as in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from repc.ir.field import Field, T
from repc.ir.notation import Term, call
from repc.ir.operator import Operator
from repc.ir.types import ShapeError, TensorType, broadcast
from repc.ops.function import check_bool
from repc.ops.operands import one_dtype

# Every elementwise function of two operands: what it takes, and what it gives, None being what it takes.
BINARY: dict[str, tuple[str, str | None]] = {
    "maximum": ("number", None),
    "minimum": ("number", None),
    "power": ("number", None),
    "equal": ("any", "bool"),
    "not_equal": ("any", "bool"),
    "less": ("number", "bool"),
    "less_equal": ("number", "bool"),
    "greater": ("number", "bool"),
    "greater_equal": ("number", "bool"),
    "logical_and": ("bool", None),
    "logical_or": ("bool", None),
    "logical_xor": ("bool", None),
}


@dataclass(frozen=True)
class Binary(Operator):
    """An elementwise function of `BINARY`: a larger or smaller number, a power, a comparison, or a logical one."""

    name = "binary"
    required = ("a", "b")

    function: str

    @property
    def title(self) -> str:
        return self.function

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        if self.function not in BINARY:
            raise ShapeError(f"there is no function {self.function!r}", "a", f"one of {', '.join(BINARY)}")
        one_dtype(given)
        taken, result = BINARY[self.function]
        if taken == "bool":
            check_bool(given, "a", self.function)
        if taken == "number" and given["a"].dtype == "bool":
            raise ShapeError(f"{self.function} takes numbers, not {given['a']}", "a", "use a logical function")
        found = broadcast([given["a"], given["b"]])
        return replace(found, dtype=result or found.dtype)

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return field.function(self.function, (), given["a"], given["b"])

    def notation(self, operands: Mapping[str, Term]) -> Term:
        return call(self.function, operands.values())


@dataclass(frozen=True)
class Not(Operator):
    """True where x is false."""

    name = "logical_not"
    required = ("x",)

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        return check_bool(given, "x", self.name)

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return field.function("logical_not", (), given["x"])


@dataclass(frozen=True)
class Where(Operator):
    """a where the condition is true, else b."""

    name = "where"
    required = ("condition", "a", "b")

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        condition, a, b = check_bool(given, "condition", self.name), given["a"], given["b"]
        one_dtype({"a": a, "b": b})
        return replace(broadcast([condition, a, b]), dtype=a.dtype)

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return field.function("where", (), given["condition"], given["a"], given["b"])
