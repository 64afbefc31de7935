"""Sums and products, element by element, with broadcasting as in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from repc.ir.field import Field, T
from repc.ir.notation import ATOM, PRODUCT, SUM, Term, infix
from repc.ir.operator import Operator
from repc.ir.types import ShapeError, TensorType, broadcast
from repc.ops.operands import along, check_axes, numbered, one_dtype, vectors


@dataclass(frozen=True)
class Sum(Operator):
    """The sum of the operands, each times its constant coefficient."""

    name = "sum"
    variadic = True

    coefficients: tuple[Fraction, ...]

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        if not given or len(given) != len(self.coefficients):
            raise ShapeError(
                f"a sum with {len(self.coefficients)} coefficients has {len(given)} operands",
                remedy="give one coefficient for each operand",
            )
        one_dtype(given)
        return broadcast(numbered(given))

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        first, *others = zip(self.coefficients, numbered(given), strict=True)
        total = _times(field, *first)
        for coefficient, x in others:
            total = field.sub(total, x) if coefficient == -1 else field.add(total, _times(field, coefficient, x))
        return total

    def notation(self, operands: Mapping[str, Term]) -> Term:
        text = ""
        for coefficient, term in zip(self.coefficients, numbered(operands), strict=True):
            size = abs(coefficient)
            shown = term.within(PRODUCT) if size == 1 else f"{size}*{term.within(ATOM)}"
            text += f" {'-' if coefficient < 0 else '+'} {shown}"
        return Term(text[3:] if self.coefficients[0] >= 0 else f"-{text[3:]}", SUM)


def _times(field: Field[T], coefficient: Fraction, x: T) -> T:
    return x if coefficient == 1 else field.mul(x, field.fill((), coefficient))


@dataclass(frozen=True)
class Multiply(Operator):
    """a · b."""

    name = "multiply"
    required = ("a", "b")

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        one_dtype(given)
        return broadcast([given["a"], given["b"]])

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return field.mul(given["a"], given["b"])

    def notation(self, operands: Mapping[str, Term]) -> Term:
        return infix("*", operands["a"], operands["b"])


@dataclass(frozen=True)
class Divide(Operator):
    """a / b."""

    name = "divide"
    required = ("a", "b")

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        one_dtype(given)
        return broadcast([given["a"], given["b"]])

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return field.div(given["a"], given["b"])

    def notation(self, operands: Mapping[str, Term]) -> Term:
        return infix("/", operands["a"], operands["b"])


@dataclass(frozen=True)
class Affine(Operator):
    """x · weight + bias, with vectors along one axis; either may be missing."""

    name = "affine"
    required = ("x",)
    optional = ("weight", "bias")

    axis: int

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        one_dtype(given)
        check_axes((self.axis,), given["x"])
        vectors(given, self.optional, given["x"].shape[self.axis], f"elements along axis {self.axis}")
        return given["x"]

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        x = given["x"]
        rank = len(field.shape(x))
        if "weight" in given:
            x = field.mul(x, along(field, given["weight"], self.axis, rank))
        return field.add(x, along(field, given["bias"], self.axis, rank)) if "bias" in given else x


@dataclass(frozen=True)
class Detach(Operator):
    """The identity; in training no gradient passes."""

    name = "detach"
    required = ("x",)

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        return given["x"]

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return given["x"]
