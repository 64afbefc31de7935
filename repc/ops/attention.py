"""Attention as one operator, so that runtimes get the kernel that they have for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import sqrt

from repc.ir.field import Field, T
from repc.ir.operator import Operator
from repc.ir.types import ShapeError, TensorType, broadcast
from repc.ops.function import check_real
from repc.ops.operands import one_dtype

MASKED = Fraction(-(2**15))
"""Added to what must not be attended to: softmax makes a plain zero of it, f16 has it, and no field needs infinity."""


def usual_scale(length: int) -> Fraction:
    """One over the root of the length of the vectors, as a float (Vaswani et al. 2017)."""
    return Fraction(1 / sqrt(length))


@dataclass(frozen=True)
class Attention(Operator):
    """softmax(scale · q kᵀ + mask) v: q (…, l, e), k (…, s, e), v (…, s, d), as scaled_dot_product_attention in torch.

    The mask is added and broadcasts to (…, l, s).  With `causal`, row i attends to the first i + 1 positions.
    """

    name = "attention"
    required = ("q", "k", "v")
    optional = ("mask",)

    scale: Fraction
    causal: bool = False

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        q, k, v = (given[name] for name in self.required)
        check_real(q, self.name)
        one_dtype(given)
        for name in self.required:
            if given[name].rank < 2:
                raise ShapeError(f"attention takes rows of vectors, not {given[name]}", name, "use at least two axes")
        if q.shape[-1] != k.shape[-1]:
            raise ShapeError(f"q is {q} and k is {k}: their vectors differ in length", "k", "project both to one size")
        if k.shape[-2] != v.shape[-2]:
            raise ShapeError(f"k is {k} and v is {v}: they have other numbers of rows", "v", "give a value to each key")
        batch = broadcast([x.with_shape(x.shape[:-2]) for x in (q, k, v)]).shape
        self._check_mask(given, q.with_shape((*batch, q.shape[-2], k.shape[-2])))
        return q.with_shape((*batch, q.shape[-2], v.shape[-1]))

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        q, k, v = (given[name] for name in self.required)
        rank = len(field.shape(k))
        turned = field.permute(k, (*range(rank - 2), rank - 1, rank - 2))
        scores = field.mul(field.matmul(q, turned), field.fill((), self.scale))
        if "mask" in given:
            scores = field.add(scores, given["mask"])
        rows, columns = field.shape(scores)[-2:]
        if self.causal:
            future = [MASKED if j > i else Fraction(0) for i in range(rows) for j in range(columns)]
            scores = field.add(scores, field.constant((rows, columns), future))
        return field.matmul(field.softmax(scores, len(field.shape(scores)) - 1), v)

    def _check_mask(self, given: Mapping[str, TensorType], scores: TensorType) -> None:
        if "mask" not in given:
            return
        if self.causal:
            raise ShapeError("attention is causal and has a mask", "mask", "add the causal part to the mask")
        if broadcast([given["mask"], scores]).shape != scores.shape:
            raise ShapeError(
                f"the mask is {given['mask']} and the scores are {scores}",
                "mask",
                "give a mask that broadcasts to them",
            )
