"""The value of an expression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from repc.diagnostics import Span
from repc.ir.expr import Apply, Param
from repc.ops.shape import Permute
from repc.semantics import errors, flow, initial, merges, movement, opaque, statics
from repc.semantics.call import bind
from repc.semantics.context import Context, Env
from repc.semantics.emission import combine, constant, emit, negate
from repc.semantics.errors import Rejected
from repc.semantics.functions import FUNCTIONS, Function
from repc.semantics.modules import Module
from repc.semantics.parameters import given_parameters
from repc.semantics.values import (
    LAYERS,
    POISON,
    Activation,
    Along,
    Block,
    BlockLayer,
    FunctionLayer,
    Part,
    Poison,
    Value,
    as_dim,
    as_integer,
    as_number,
    depends_on_tensor,
    describe,
)
from repc.syntax import tree

CONSTANTS: dict[str, Value] = {"true": True, "false": False, "none": None}
_TENSORS = (Activation, Param, Apply)
_OPERANDS = (*_TENSORS, Along)


def evaluate(ctx: Context, expr: tree.Expr, env: Env) -> Value:
    """The value of an expression; an error is reported once and gives poison."""
    try:
        return _FORMS[type(expr)](ctx, expr, env)
    except Rejected as rejected:
        ctx.report(rejected.diagnostic)
    except OverflowError:
        ctx.report(errors.too_large_size(expr.span))
    return POISON


# ---------------------------------------------------------------- names and literals


def _name(ctx: Context, expr: tree.Name, env: Env) -> Value:
    if env.has(expr.name):
        return env.get(expr.name)
    if expr.name in CONSTANTS:
        return CONSTANTS[expr.name]
    if env.home.find(expr.name) is not None:
        return _block(env.home, expr.name, expr.span, ())
    if expr.name in env.home.qualified:
        return env.home.qualified[expr.name]
    if expr.name in FUNCTIONS:
        return FUNCTIONS[expr.name]
    if expr.name in initial.INITIALISERS:
        return initial.call(expr.name, (), {}, expr.span)
    if expr.name == opaque.NAME:
        raise Rejected(errors.untyped_opaque(expr.span))
    if expr.name in statics.STATIC_FUNCTIONS:
        raise Rejected(errors.function_without_call(expr.span, expr.name))
    raise Rejected(errors.unknown_name(expr.span, expr.name, known_names(env)))


def _block(module: Module, name: str, span: Span, known: Sequence[str]) -> Block:
    """The block or model that a name means in a module."""
    found = module.find(name)
    if found is None:
        raise Rejected(errors.unknown_name(span, name, known))
    definition, home = found
    if isinstance(definition, tree.Adapt):
        raise Rejected(errors.adapted_as_block(span, name))
    return Block(definition, home)


def known_names(env: Env) -> list[str]:
    """Everything that a name could have meant here."""
    functions = [*FUNCTIONS, *statics.STATIC_FUNCTIONS, *initial.INITIALISERS, *CONSTANTS, opaque.NAME]
    return [*env.visible(), *env.home.visible(), *functions]


def _literal(ctx: Context, expr: tree.Int | tree.Float | tree.String, env: Env) -> Value:
    return statics.exact(expr.value, expr.span) if isinstance(expr, (tree.Int, tree.Float)) else expr.value


def _items(ctx: Context, expr: tree.List | tree.Tuple, env: Env) -> Value:
    values = tuple(evaluate(ctx, item, env) for item in expr.items)
    return POISON if any(isinstance(value, Poison) for value in values) else statics.limited_list(values, expr.span)


def _group(ctx: Context, expr: tree.Group, env: Env) -> Value:
    if expr.label is None:
        return evaluate(ctx, expr.value, env)
    return flow.labelled(ctx, expr.label, expr.value, env)


# ---------------------------------------------------------------- operators


def _unary(ctx: Context, expr: tree.Unary, env: Env) -> Value:
    if expr.operator == "not":
        value = ctx.truth(expr.operand, env)
        return POISON if value is None else not value
    value = evaluate(ctx, expr.operand, env)
    if isinstance(value, Poison):
        return value
    if isinstance(value, _OPERANDS):
        return negate(ctx, value, expr.span)
    if as_number(value) is None and as_dim(value) is None:
        raise Rejected(errors.bad_operands(expr.span, "-", describe(value)))
    return statics.binary("*", value, -1, expr.span)


def _binary(ctx: Context, expr: tree.Binary, env: Env) -> Value:
    if expr.operator in ("and", "or"):
        left = ctx.truth(expr.left, env)
        if left is None or left is (expr.operator == "or"):
            return POISON if left is None else left
        right = ctx.truth(expr.right, env)
        return POISON if right is None else right
    left, right = evaluate(ctx, expr.left, env), evaluate(ctx, expr.right, env)
    if isinstance(left, Poison) or isinstance(right, Poison):
        return POISON
    if isinstance(left, _OPERANDS) or isinstance(right, _OPERANDS):
        if expr.operator == "/" and right == 0:
            raise Rejected(errors.division_by_zero(expr.span))
        a, b = _operand(left, right), _operand(right, left)
        if a is not None and b is not None:
            return combine(ctx, expr.operator, a, b, expr.span)
    return statics.binary(expr.operator, left, right, expr.span)


def _operand(value: Value, other: Value) -> Activation | Param | Apply | Along | None:
    """A tensor, or a number as one of the element type of the other operand; None where it is neither."""
    if isinstance(value, _OPERANDS):
        return value
    number, beside = as_number(value), other.value if isinstance(other, Along) else other
    return None if number is None else constant(number, beside.type if isinstance(beside, _TENSORS) else None)


def _if(ctx: Context, expr: tree.If, env: Env) -> Value:
    condition = ctx.truth(expr.condition, env)
    if condition is None:
        return POISON
    return evaluate(ctx, expr.then if condition else expr.otherwise, env)


# ---------------------------------------------------------------- calls, indices, attributes


def _call(ctx: Context, expr: tree.Call, env: Env) -> Value:
    if isinstance(expr.function, tree.Name) and not env.has(expr.function.name):
        name = expr.function.name
        if name in initial.INITIALISERS or name in statics.STATIC_FUNCTIONS:
            return _static_call(ctx, name, expr, env)
    function = evaluate(ctx, expr.function, env)
    positional, keywords = _arguments(ctx, expr, env)
    if isinstance(function, Poison):
        return POISON
    if isinstance(function, Block):
        given = given_parameters(ctx, function, positional, keywords, expr)
        return POISON if given is None else BlockLayer(function.definition, function.home, given, expr.span)
    if isinstance(function, Function):
        return call_function(ctx, function, positional, keywords, expr.span)
    if isinstance(function, LAYERS):
        if keywords:
            raise Rejected(errors.keywords_on_layer(expr.span))
        return ctx.apply(ctx, function, tuple(positional), expr.span)
    raise Rejected(errors.not_callable(expr.function.span, describe(function)))


def _static_call(ctx: Context, name: str, expr: tree.Call, env: Env) -> Value:
    """A function of numbers and lists, or an initial value; the same name may be a function of tensors too.

    What has a seed is no initial value, which is drawn anew for each training.
    """
    positional, keywords = _arguments(ctx, expr, env)
    if any(isinstance(value, Poison) for value in (*positional, *keywords.values())):
        return POISON
    if name in initial.INITIALISERS and "seed" not in keywords:
        return initial.call(name, positional, keywords, expr.span)
    if name in FUNCTIONS and ("seed" in keywords or not positional or depends_on_tensor(tuple(positional))):
        return call_function(ctx, FUNCTIONS[name], positional, keywords, expr.span)
    if keywords:
        raise Rejected(errors.unknown_keyword(expr.span, name, next(iter(keywords)), []))
    return statics.call(name, positional, expr.span)


def _arguments(ctx: Context, expr: tree.Call, env: Env) -> tuple[list[Value], dict[str, Value]]:
    positional: list[Value] = []
    keywords: dict[str, Value] = {}
    for argument in expr.arguments:
        value = evaluate(ctx, argument.value, env)
        if argument.name is None:
            if keywords:
                ctx.report(errors.positional_after_keyword(argument.span))
            positional.append(value)
        elif argument.name in keywords:
            ctx.report(errors.given_twice(argument.span, "the call", argument.name))
        else:
            keywords[argument.name] = value
    return positional, keywords


def call_function(
    ctx: Context, function: Function, positional: Sequence[Value], keywords: dict[str, Value], span: Span
) -> Value:
    """Call a function of tensors; without its first operand, so with only attributes by position, it is a layer."""
    given = any(isinstance(value, (*_OPERANDS, Poison)) for value in positional[:1])
    missing = [name for name in function.operands[:1] if name not in keywords]
    if missing and not given and len(positional) <= function.positional:
        return FunctionLayer(function, tuple(positional), keywords, span)
    call = bind(ctx, function, positional, keywords, span)
    return call if isinstance(call, Poison) else function.build(call)


def _index(ctx: Context, expr: tree.Index, env: Env) -> Value:
    value, entries = evaluate(ctx, expr.value, env), [_entry(ctx, entry, env) for entry in expr.items]
    items = [entry for entry in entries if not isinstance(entry, Poison)]
    if isinstance(value, Poison) or len(items) < len(entries):
        return POISON
    if isinstance(value, _TENSORS):
        return movement.index(ctx, value, items, expr.span)
    if not isinstance(value, tuple) or len(items) != 1:
        raise Rejected(errors.not_indexable(expr.span, describe(value)))
    (item,) = items
    if isinstance(item, int) and not -len(value) <= item < len(value):
        raise Rejected(errors.list_index(expr.span, item, len(value)))
    return value[item]


def _entry(ctx: Context, entry: tree.Expr | tree.Slice, env: Env) -> int | slice | Poison:
    if not isinstance(entry, tree.Slice):
        return _position(ctx, entry, env)
    start = None if entry.start is None else _position(ctx, entry.start, env)
    stop = None if entry.stop is None else _position(ctx, entry.stop, env)
    return POISON if isinstance(start, Poison) or isinstance(stop, Poison) else slice(start, stop)


def _position(ctx: Context, expr: tree.Expr, env: Env) -> int | Poison:
    value = evaluate(ctx, expr, env)
    position = as_integer(value)
    if position is None and not isinstance(value, Poison):
        raise Rejected(errors.not_an_index(expr.span, describe(value)))
    return POISON if position is None else position


def _attribute(ctx: Context, expr: tree.Attribute, env: Env) -> Value:
    part = ctx.part(expr.value.name, env) if isinstance(expr.value, tree.Name) else None
    value = part or evaluate(ctx, expr.value, env)
    if isinstance(value, Poison):
        return POISON
    if isinstance(value, Part):
        if expr.name not in value.names:
            raise Rejected(errors.unknown_part(expr.span, expr.value.span.text, expr.name, list(value.names)))
        return value.names[expr.name]
    if isinstance(value, Module):
        return _block(value, expr.name, expr.span, value.visible())
    if isinstance(value, _TENSORS) and expr.name == "shape":
        return tuple(value.type.shape)
    if isinstance(value, _TENSORS) and expr.name == "T" and value.type.rank == 2:
        return emit(ctx, Permute((1, 0)), {"x": value}, expr.span)
    raise Rejected(errors.no_attribute(expr.span, describe(value), expr.name))


_FORMS: dict[type[tree.Expr], Callable[[Context, tree.Expr, Env], Value]] = cast(
    "dict[type[tree.Expr], Callable[[Context, tree.Expr, Env], Value]]",
    {
        tree.Name: _name,
        tree.Int: _literal,
        tree.Float: _literal,
        tree.String: _literal,
        tree.List: _items,
        tree.Tuple: _items,
        tree.Group: _group,
        tree.Unary: _unary,
        tree.Binary: _binary,
        tree.If: _if,
        tree.Call: _call,
        tree.Typed: opaque.typed,
        tree.Index: _index,
        tree.Attribute: _attribute,
        tree.Pipe: flow.pipe,
        tree.Repeat: flow.repeat,
        tree.Merge: merges.merge,
    },
)
