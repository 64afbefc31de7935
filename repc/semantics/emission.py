"""From an operator and its operands to a tensor: a weight expression, or a node of the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from repc.diagnostics import Span
from repc.ir.expr import Apply, Expr, Param, apply
from repc.ir.node import Node
from repc.ir.operator import Operator
from repc.ir.types import ShapeError
from repc.ops.arithmetic import Affine, Divide, Multiply, Sum
from repc.ops.constant import Fill
from repc.ops.linear import MatMul
from repc.ops.shape import Reshape
from repc.semantics import errors
from repc.semantics.context import Context
from repc.semantics.errors import Rejected
from repc.semantics.values import Activation, Along, Number, Tensor


def emit(ctx: Context, op: Operator, operands: Mapping[str, Tensor], span: Span, name: str | None = None) -> Tensor:
    """The value of ``op(operands)``; `name` is what the spec calls the operator (``sum as name``).

    With weights only, it is an expression; with an activation among the operands, a node whose other operands are its
    weights.  Raises `Rejected` where the shapes do not fit.
    """
    weights = {key: value for key, value in operands.items() if not isinstance(value, Activation)}
    try:
        if len(weights) == len(operands):
            return apply(op, **weights)
        inputs = tuple(value.id for value in operands.values() if isinstance(value, Activation))
        type = op.infer({key: value.type for key, value in operands.items()})
    except ShapeError as error:
        raise Rejected(errors.shape(span, op.name, error)) from None
    path = ".".join([*ctx.path, name]) if name else ctx.dotted
    id = ctx.graph.add(Node(op, inputs, weights, type, path, (*ctx.origin, span), named=name is not None))
    return Activation(id, type)


def emit_all(ctx: Context, op: Operator, operands: Sequence[Tensor], span: Span, name: str | None = None) -> Tensor:
    """The same for a variadic operator."""
    return emit(ctx, op, {str(i): value for i, value in enumerate(operands)}, span, name)


def constant(value: Number) -> Expr:
    """A number as a weight expression without dimensions."""
    return apply(Fill((), Fraction(value)))


def combine(ctx: Context, operator: str, left: Tensor | Along, right: Tensor | Along, span: Span) -> Tensor | Along:
    """``left operator right`` for tensors, one of which may be a vector along an axis of the other."""
    if isinstance(left, Along) and isinstance(right, Along):
        if left.axis != right.axis:
            raise Rejected(errors.two_axes(span, left.axis, right.axis))
        value = combine(ctx, operator, left.value, right.value, span)
        assert not isinstance(value, Along)
        return Along(value, left.axis)
    if operator in "+*" and isinstance(left, Along):
        left, right = right, left
    vector = right.value if isinstance(right, Along) else None
    if operator in "+-*" and isinstance(left, Activation) and isinstance(vector, (Param, Apply)):
        assert isinstance(right, Along)
        return _affine(ctx, operator, left, right.axis, vector, span)
    a, b = _aligned(ctx, left, right, span)
    if operator == "+":
        return emit_all(ctx, Sum((Fraction(1), Fraction(1))), [a, b], span)
    if operator == "-":
        return emit_all(ctx, Sum((Fraction(1), Fraction(-1))), [a, b], span)
    op = {"*": Multiply(), "/": Divide(), "@": MatMul()}.get(operator)
    if op is None:
        raise Rejected(errors.no_tensor_operator(span, operator))
    return emit(ctx, op, {"a": a, "b": b}, span)


def negate(ctx: Context, value: Tensor | Along, span: Span) -> Tensor | Along:
    """``-value``."""
    if isinstance(value, Along):
        inner = negate(ctx, value.value, span)
        assert not isinstance(inner, Along)
        return replace(value, value=inner)
    return emit_all(ctx, Sum((Fraction(-1),)), [value], span)


def _affine(ctx: Context, operator: str, x: Activation, axis: int, vector: Expr, span: Span) -> Tensor:
    """``x * along(v)``, ``x + along(v)`` and ``x - along(v)`` are per-channel affine maps."""
    axis = _axis(axis, x, span)
    if operator == "*":
        return emit(ctx, Affine(axis), {"x": x, "weight": vector}, span)
    bias = vector if operator == "+" else apply(Sum((Fraction(-1),)), **{"0": vector})
    return emit(ctx, Affine(axis), {"x": x, "bias": bias}, span)


def _aligned(ctx: Context, left: Tensor | Along, right: Tensor | Along, span: Span) -> tuple[Tensor, Tensor]:
    if isinstance(left, Along):
        assert not isinstance(right, Along)
        return _spread(ctx, left, right, span), right
    if isinstance(right, Along):
        return left, _spread(ctx, right, left, span)
    return left, right


def _spread(ctx: Context, along: Along, other: Tensor, span: Span) -> Tensor:
    """The vector with the rank of the other operand, so that it broadcasts along its axis."""
    axis = _axis(along.axis, other, span)
    if along.value.type.rank != 1:
        raise Rejected(errors.not_a_vector(span, along.value.type))
    size = along.value.type.shape[0]
    shape = tuple(size if i == axis else 1 for i in range(other.type.rank))
    return emit(ctx, Reshape(shape), {"x": along.value}, span)


def _axis(axis: int, x: Tensor, span: Span) -> int:
    rank = x.type.rank
    if not -rank <= axis < rank:
        raise Rejected(errors.no_such_axis(span, axis, x.type))
    return axis % rank
