"""Matrix products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from repc.ir.dims import Dim
from repc.ir.field import Field, T
from repc.ir.notation import Term, infix
from repc.ir.operator import Operator
from repc.ir.types import ShapeError, TensorType, broadcast
from repc.ops.operands import of_rank, one_dtype, vectors


@dataclass(frozen=True)
class Linear(Operator):
    """x […, i] times weight [o, i] transposed, plus bias [o]."""

    name = "linear"
    required = ("x", "weight")
    optional = ("bias",)

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        one_dtype(given)
        x, (out, features) = given["x"], of_rank(given, "weight", 2, "linear").shape
        if not x.rank or x.shape[-1] != features:
            raise ShapeError(
                f"the last axis of x, {x}, does not have the {features} features of the weight",
                "x",
                "flatten or permute x, or change the weight",
            )
        vectors(given, ("bias",), out, "output features")
        return x.with_shape((*x.shape[:-1], out))

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        y = field.matmul(given["x"], field.permute(given["weight"], (1, 0)))
        return field.add(y, given["bias"]) if "bias" in given else y


@dataclass(frozen=True)
class MatMul(Operator):
    """The matrix product of numpy: leading axes broadcast, a vector is a row on the left and a column on the right."""

    name = "matmul"
    required = ("a", "b")

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        one_dtype(given)
        a, b = given["a"], given["b"]
        if not a.rank or not b.rank:
            raise ShapeError(f"matmul takes vectors and matrices, not {a} and {b}", "a", "multiply by a scalar with *")
        inner = b.shape[max(b.rank - 2, 0)]
        if a.shape[-1] != inner:
            raise ShapeError(
                f"{a} times {b}: the last axis of a has {a.shape[-1]} elements, b takes {inner}", "b", "transpose one"
            )
        batch = broadcast([a.with_shape(a.shape[:-2]), b.with_shape(b.shape[:-2])]).shape
        return a.with_shape((*batch, *a.shape[-2:-1], *(b.shape[-1:] if b.rank > 1 else ())))

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return field.matmul(given["a"], given["b"])

    def notation(self, operands: Mapping[str, Term]) -> Term:
        return infix("@", operands["a"], operands["b"])


@dataclass(frozen=True)
class Einsum(Operator):
    """Einstein's sum over two operands, with an explicit result: ``bqd,bkd->bqk``."""

    name = "einsum"
    required = ("a", "b")

    equation: str

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        one_dtype(given)
        sizes: dict[str, Dim] = {}
        left, right, result = self.letters()
        for operand, letters in (("a", left), ("b", right)):
            shape = of_rank(given, operand, len(letters), f"einsum {self.equation!r}").shape
            for letter, size in zip(letters, shape, strict=True):
                if sizes.setdefault(letter, size) != size:
                    raise ShapeError(
                        f"{letter!r} of einsum {self.equation!r} is {sizes[letter]} in a and {size} in b",
                        operand,
                        "reshape or permute one operand",
                    )
        return given["a"].with_shape([sizes[letter] for letter in result])

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        left, right, result = self.letters()
        sizes = dict(zip(left + right, (*field.shape(given["a"]), *field.shape(given["b"])), strict=True))
        batch = [letter for letter in result if letter in left and letter in right]
        inner = [letter for letter in left if letter in right and letter not in result]
        rows = [letter for letter in result if letter not in right]
        columns = [letter for letter in result if letter not in left]

        def matrices(x: T, letters: str, first: list[str], second: list[str]) -> T:
            wanted = batch + first + second
            x = field.sum(x, [i for i, letter in enumerate(letters) if letter not in wanted], keep=False)
            kept = [letter for letter in letters if letter in wanted]
            x = field.permute(x, [kept.index(letter) for letter in wanted])
            return field.reshape(x, [prod(sizes[letter] for letter in group) for group in (batch, first, second)])

        product = field.matmul(matrices(given["a"], left, rows, inner), matrices(given["b"], right, inner, columns))
        found = batch + rows + columns
        product = field.reshape(product, [sizes[letter] for letter in found])
        return field.permute(product, [found.index(letter) for letter in result])

    def letters(self) -> tuple[str, str, str]:
        """The axes of a, b and the result, a letter each."""
        operands, _, result = self.equation.replace(" ", "").partition("->")
        left, _, right = operands.partition(",")
        once = all(len(set(part)) == len(part) for part in (left, right, result))
        plain = (left + right + result).isalpha() and "->" in self.equation and operands.count(",") == 1
        if not (once and plain and set(result) <= set(left + right)):
            raise ShapeError(
                f"{self.equation!r} is no product of two operands",
                remedy="write it like 'bqd,bkd->bqk', with no letter twice in one operand",
            )
        return left, right, result
