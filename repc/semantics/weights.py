"""The ``weight`` and ``buffer`` statements: parameters with their keys, types and initial values."""

from __future__ import annotations

from fractions import Fraction

from repc.diagnostics import Span
from repc.ir.dims import Dim
from repc.ir.expr import Apply, Expr, Param, apply
from repc.ir.node import Parameter
from repc.ir.types import DTYPES, TensorType
from repc.ops.constant import Fill
from repc.semantics import adapters, errors, initial
from repc.semantics.context import Context, Env
from repc.semantics.errors import Rejected
from repc.semantics.values import POISON, Initialiser, Poison, Value, as_dim, describe
from repc.syntax import tree

MAX_ELEMENTS = 2**40


def declare(ctx: Context, statement: tree.Weight, env: Env) -> Value:
    """The value of a declared weight after the adapters on it; None where its condition is false."""
    if statement.condition is not None:
        condition = ctx.truth(statement.condition, env)
        if condition is not True:
            return None if condition is False else POISON
    try:
        type = weight_type(ctx, statement.type, env)
        if type is None:
            return POISON
        init = _initial(ctx, statement, type, env)
    except Rejected as rejected:
        ctx.report(rejected.diagnostic)
        return POISON
    if init is None:
        return POISON
    key = statement.key or statement.name
    path = ".".join([*ctx.path, key])
    buffer = statement.kind == "buffer"
    ctx.declare(Parameter(path, type, init, buffer, not (buffer or ctx.frozen), statement.span))
    param = Param(path, type)
    ctx.parts[-1][key] = param
    return adapters.use_on_weight(ctx, param, key, env, statement.span)


def weight_type(ctx: Context, type: tree.TypeExpr, env: Env) -> TensorType | None:
    """The concrete type of a parameter, None after an error; a named rest splices a list of sizes."""
    shape: list[Dim] = []
    for dim in type.dims:
        if isinstance(dim, tree.Rest):
            value = env.get(dim.name) if dim.name and env.has(dim.name) else None
            if isinstance(value, Poison):
                return None
            if not isinstance(value, tuple):
                raise Rejected(errors.unknown_rest(dim.span, dim.name, env.visible()))
            values = value
        else:
            value = ctx.evaluate(ctx, dim, env)
            if isinstance(value, Poison):
                return None
            values = (value,)
        for value in values:
            shape.append(_size(value, dim.span))
    if type.dtype is not None and type.dtype not in DTYPES:
        raise Rejected(errors.unknown_dtype(type.span, type.dtype, list(DTYPES)))
    total = 1
    for size in shape:
        total *= size if isinstance(size, int) else 1
    if total > MAX_ELEMENTS:
        raise Rejected(errors.too_many_elements(type.span, total, MAX_ELEMENTS))
    return TensorType(tuple(shape), type.dtype or "f32")


def _size(value: Value, span: Span) -> int:
    size = as_dim(value)
    if size is None:
        raise Rejected(errors.not_a_size(span, describe(value)))
    if not isinstance(size, int):
        raise Rejected(errors.symbolic_weight(span, str(size)))
    if size < 0:
        raise Rejected(errors.negative_size(span, size))
    return size


def _initial(ctx: Context, statement: tree.Weight, type: TensorType, env: Env) -> Expr | None:
    value = ctx.evaluate(ctx, statement.init, env)
    if isinstance(value, Poison):
        return None
    if isinstance(value, Initialiser):
        return initial.build(value, type, statement.init.span)
    if isinstance(value, (int, Fraction)) and not isinstance(value, bool):
        return apply(Fill(type.concrete(), Fraction(value), type.dtype))
    if isinstance(value, (Param, Apply)):
        if value.type.shape != type.shape:
            raise Rejected(errors.initial_shape(statement.init.span, type, value.type))
        return value
    raise Rejected(errors.not_initial(statement.init.span, describe(value)))
