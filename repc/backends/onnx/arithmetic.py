"""Sums, products and their relatives."""

from __future__ import annotations

from collections.abc import Mapping

from repc.backends.onnx.emitter import Emitter, Value
from repc.backends.onnx.norm import affine
from repc.ops.arithmetic import Affine, Detach, Divide, Multiply, Sum


def sum_of(e: Emitter, op: Sum, given: Mapping[str, Value]) -> str:
    """A chain of Add and Sub, the added operands first; Mul where a coefficient is not ±1."""
    terms = sorted(zip(op.coefficients, given.values(), strict=True), key=lambda term: term[0] < 0)
    total: str | None = None
    for coefficient, x in terms:
        size = abs(coefficient)
        term = x.name if size == 1 else e.add("Mul", x.name, e.filled(x, size))
        if total is None:
            total = e.add("Neg", term) if coefficient < 0 else term
        else:
            total = e.add("Sub" if coefficient < 0 else "Add", total, term)
    assert total is not None, "a sum has operands"
    return total


def multiply(e: Emitter, op: Multiply, given: Mapping[str, Value]) -> str:
    """Mul broadcasts as numpy does."""
    return e.add("Mul", given["a"].name, given["b"].name)


def divide(e: Emitter, op: Divide, given: Mapping[str, Value]) -> str:
    """Div broadcasts as numpy does."""
    return e.add("Div", given["a"].name, given["b"].name)


def scaled(e: Emitter, op: Affine, given: Mapping[str, Value]) -> str:
    """Mul and Add with the weights along one axis."""
    return affine(e, given["x"], given, op.axis % given["x"].type.rank)


def detach(e: Emitter, op: Detach, given: Mapping[str, Value]) -> str:
    """The identity: there is no gradient here."""
    return given["x"].name
