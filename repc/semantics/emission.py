"""From an operator and its operands to a tensor: a weight expression, or a node of the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from repc.diagnostics import Span
from repc.ir.dims import MAX_FACTOR
from repc.ir.expr import Apply, Expr, Param, apply
from repc.ir.node import Node
from repc.ir.operator import Operator
from repc.ir.types import WHOLE, ShapeError, TensorType
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
    weights.  So is what weights make of a free size, which is only known when the network runs.  Raises `Rejected`
    where the shapes do not fit.
    """
    weights = {key: value for key, value in operands.items() if not isinstance(value, Activation)}
    try:
        type = op.infer({key: value.type for key, value in operands.items()})
    except ShapeError as error:
        raise Rejected(errors.shape(span, op.name, error)) from None
    if any(isinstance(size, int) and size >= MAX_FACTOR for size in type.shape):
        raise Rejected(errors.too_large_size(span))
    if len(weights) == len(operands) and all(isinstance(size, int) for size in type.shape):
        return Apply(op, weights, type)
    inputs = tuple(value.id for value in operands.values() if isinstance(value, Activation))
    path = ".".join([*ctx.path, name]) if name else ctx.dotted
    id = ctx.graph.add(Node(op, inputs, weights, type, path, (*ctx.origin, span), named=name is not None))
    return Activation(id, type)


def emit_all(ctx: Context, op: Operator, operands: Sequence[Tensor], span: Span, name: str | None = None) -> Tensor:
    """The same for a variadic operator."""
    return emit(ctx, op, {str(i): value for i, value in enumerate(operands)}, span, name)


def constant(value: Number, like: TensorType | None = None) -> Expr:
    """A number as a weight expression without dimensions, of the element type of what it is combined with."""
    whole = like is not None and like.dtype in (*WHOLE, "bool")
    return apply(Fill((), Fraction(value), like.dtype if like and not (whole and value % 1) else "f32"))


def checked_axis(axis: int, type: TensorType, span: Span) -> int:
    """An axis counted from the front; raises `Rejected` where there is none such."""
    if not -type.rank <= axis < type.rank:
        raise Rejected(errors.no_such_axis(span, axis, type))
    return axis % type.rank


def combine(ctx: Context, operator: str, left: Tensor | Along, right: Tensor | Along, span: Span) -> Tensor | Along:
    """``left operator right`` for tensors, one of which may be a vector along an axis of the other."""
    if isinstance(left, Along) and isinstance(right, Along):
        if left.axis != right.axis:
            raise Rejected(errors.two_axes(span, left.axis, right.axis))
        return replace(left, value=_tensor(combine(ctx, operator, left.value, right.value, span)))
    for along, other in ((left, right), (right, left)):
        if isinstance(along, Along) and not isinstance(other, Along) and not other.type.rank:
            a, b = (x.value if isinstance(x, Along) else x for x in (left, right))
            return replace(along, value=_tensor(combine(ctx, operator, a, b, span)))
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
    factor = _factor(operator, a, b)
    if factor is not None:
        return emit_all(ctx, Sum((factor,)), [a if isinstance(a, Activation) else b], span)
    op = {"*": Multiply(), "/": Divide(), "@": MatMul()}.get(operator)
    if op is None:
        raise Rejected(errors.no_tensor_operator(span, operator))
    return emit(ctx, op, {"a": a, "b": b}, span)


def _factor(operator: str, a: Tensor, b: Tensor) -> Fraction | None:
    """The number that an activation is multiplied with or divided by, which is no weight but a part of the operator."""
    for x, y in ((a, b), (b, a)):
        if isinstance(x, Activation) and isinstance(y, Apply) and isinstance(y.op, Fill) and x.type.dtype == "f32":
            if operator == "*":
                return None if y.op.shape else y.op.value
            if operator == "/" and y is b:
                return None if y.op.shape else 1 / y.op.value
    return None


def negate(ctx: Context, value: Tensor | Along, span: Span) -> Tensor | Along:
    """``-value``."""
    if isinstance(value, Along):
        return replace(value, value=_tensor(negate(ctx, value.value, span)))
    return emit_all(ctx, Sum((Fraction(-1),)), [value], span)


def _tensor(value: Tensor | Along) -> Tensor:
    """What arithmetic on tensors gives is one."""
    assert not isinstance(value, Along)
    return value


def _affine(ctx: Context, operator: str, x: Activation, axis: int, vector: Expr, span: Span) -> Tensor:
    """``x * along(v)``, ``x + along(v)`` and ``x - along(v)`` are per-channel affine maps."""
    axis = checked_axis(axis, x.type, span)
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
    axis = checked_axis(along.axis, other.type, span)
    (size,) = along.value.type.shape
    shape = tuple(size if i == axis else 1 for i in range(other.type.rank))
    return emit(ctx, Reshape(shape), {"x": along.value}, span)
