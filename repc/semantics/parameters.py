"""The parameters of a block: what a call gives, and the defaults for the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from repc.diagnostics import Diagnostic, Span
from repc.semantics import errors
from repc.semantics.context import Context, Env
from repc.semantics.modules import Module, Named
from repc.semantics.values import Block, Poison, Value, depends_on_tensor, describe
from repc.syntax import tree


def given_parameters(
    ctx: Context, block: Block, positional: Sequence[Value], keywords: Mapping[str, Value], expr: tree.Call
) -> dict[str, Value] | None:
    """Every parameter of a block with its value; None after an error, all of which are reported."""
    faults = list(_faults(block.definition, positional, keywords, expr))
    for fault in faults:
        ctx.report(fault)
    names = [parameter.name for parameter in block.definition.parameters]
    given = {**dict(zip(names, positional, strict=False)), **keywords}
    if faults or any(isinstance(value, Poison) for value in given.values()):
        return None
    with ctx.called(expr.span):  # a default may apply blocks, and so end in itself
        return complete(ctx, block.definition, block.home, given, expr.span)


def _faults(
    definition: tree.Definition, positional: Sequence[Value], keywords: Mapping[str, Value], expr: tree.Call
) -> Iterator[Diagnostic]:
    """What is wrong with the arguments of a call, whatever their values."""
    names = [parameter.name for parameter in definition.parameters]
    if len(positional) > len(names):
        yield errors.argument_count(expr.span, definition.name, 0, len(names), len(positional))
    for name in keywords:
        if name not in names:
            place = next((a.span for a in expr.arguments if a.name == name), expr.span)
            yield errors.unknown_keyword(place, definition.name, name, names)
        elif name in names[: len(positional)]:
            yield errors.given_twice(expr.span, definition.name, name)
    for argument, value in zip(expr.arguments, [*positional, *keywords.values()], strict=False):
        if depends_on_tensor(value):
            yield errors.not_static(argument.span, describe(value))


def complete(
    ctx: Context, named: Named, home: Module, given: Mapping[str, Value], span: Span
) -> dict[str, Value] | None:
    """The parameters with their values or defaults, which may use the parameters before them; None after an error."""
    env = Env(home)
    for parameter in named.parameters:
        if parameter.name in given:
            env.names[parameter.name] = given[parameter.name]
        elif parameter.default is not None:
            env.names[parameter.name] = ctx.evaluate(ctx, parameter.default, env)
        else:
            ctx.report(errors.missing_parameter(span, named.name, parameter.name))
            return None
    return None if any(isinstance(value, Poison) for value in env.names.values()) else env.names
