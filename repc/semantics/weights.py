"""The ``weight`` and ``buffer`` statements: parameters with their keys, types and initial values."""

from __future__ import annotations

from fractions import Fraction

from repc.ir.expr import Apply, Expr, Param, apply
from repc.ir.node import Parameter
from repc.ir.types import TensorType
from repc.ops.constant import Fill
from repc.semantics import adapters, errors, initial
from repc.semantics.context import Context, Env
from repc.semantics.declared import weight_type
from repc.semantics.errors import Rejected
from repc.semantics.values import POISON, Initialiser, Poison, Value, as_number, describe
from repc.syntax import tree


def declare(ctx: Context, statement: tree.Weight, env: Env) -> Value:
    """The value of a declared weight after the adapters on it; None where its condition is false."""
    wanted = True if statement.condition is None else ctx.truth(statement.condition, env)
    if wanted is None:
        return POISON
    key = statement.name if statement.key is None else statement.key
    try:
        value = _declare(ctx, statement, key, env) if wanted else None
    except Rejected as rejected:
        ctx.report(rejected.diagnostic)
        return POISON
    ctx.parts[-1][key] = value
    return value


def _declare(ctx: Context, statement: tree.Weight, key: str, env: Env) -> Value:
    type = weight_type(ctx, statement.type, env)
    init = None if type is None else _initial(ctx, statement, type, env)
    if type is None or init is None:
        return POISON
    path = ctx.key(key, statement.span)
    buffer = statement.kind == "buffer"
    ctx.declare(Parameter(path, type, init, buffer, not (buffer or ctx.frozen), statement.span))
    return adapters.use_on_weight(ctx, Param(path, type), env)


def _initial(ctx: Context, statement: tree.Weight, type: TensorType, env: Env) -> Expr | None:
    value = ctx.evaluate(ctx, statement.init, env)
    if isinstance(value, Poison):
        return None
    if isinstance(value, Initialiser):
        value = initial.build(value, type, statement.init.span)
        if type.dtype not in ("i64", "bool"):
            return value
    number = as_number(value)
    if number is not None:
        return apply(Fill(type.concrete(), Fraction(number), type.dtype))
    if isinstance(value, (Param, Apply)):
        if value.type != type:
            raise Rejected(errors.initial_shape(statement.init.span, type, value.type))
        return value
    raise Rejected(errors.not_initial(statement.init.span, describe(value)))
