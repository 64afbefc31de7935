"""The parameters of a block: what a call gives, and the defaults for the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from repc.semantics import errors
from repc.semantics.context import Context, Env
from repc.semantics.statics import is_static
from repc.semantics.values import LAYERS, Block, Poison, Value, describe
from repc.syntax import tree


def given_parameters(
    ctx: Context, block: Block, positional: Sequence[Value], keywords: Mapping[str, Value], expr: tree.Call
) -> dict[str, Value] | None:
    """Every parameter of a block with its value; None after an error, all of which are reported."""
    definition = block.definition
    names = [parameter.name for parameter in definition.parameters]
    known = len(ctx.errors)
    if len(positional) > len(names):
        ctx.report(errors.argument_count(expr.span, definition.name, 0, len(names), len(positional)))
    given = dict(zip(names, positional, strict=False))
    for name, value in keywords.items():
        if name not in names:
            place = next((a.span for a in expr.arguments if a.name == name), expr.span)
            ctx.report(errors.unknown_keyword(place, definition.name, name, names))
        elif name in given:
            ctx.report(errors.given_twice(expr.span, definition.name, name))
        given[name] = value
    for argument, value in zip(expr.arguments, [*positional, *keywords.values()], strict=False):
        if not (is_static(value) or isinstance(value, (*LAYERS, Block, Poison))):
            ctx.report(errors.not_static(argument.span, describe(value)))
    if len(ctx.errors) > known or any(isinstance(value, Poison) for value in given.values()):
        return None
    return complete(ctx, definition.parameters, block, given, expr)


def complete(
    ctx: Context,
    parameters: Sequence[tree.Parameter],
    block: Block,
    given: Mapping[str, Value],
    place: tree.Tree,
) -> dict[str, Value] | None:
    """Fill in defaults, which may use the parameters before them."""
    env = Env(block.home)
    for parameter in parameters:
        if parameter.name in given:
            env.names[parameter.name] = given[parameter.name]
        elif parameter.default is None:
            ctx.report(errors.missing_parameter(place.span, block.definition.name, parameter.name))
            return None
        else:
            env.names[parameter.name] = ctx.evaluate(ctx, parameter.default, env)
    return None if any(isinstance(value, Poison) for value in env.names.values()) else env.names
