"""``sum``, ``mean`` and ``concat`` over branches."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from repc.diagnostics import Span
from repc.ops.arithmetic import Sum
from repc.ops.shape import Concat
from repc.semantics import errors, flow
from repc.semantics.call import as_tensor
from repc.semantics.context import Context, Env
from repc.semantics.emission import checked_axis, emit_all
from repc.semantics.errors import Rejected
from repc.semantics.functions import APPLICABLE
from repc.semantics.values import POISON, MergeLayer, Poison, Step, Tensor, Value, as_integer, as_number, describe
from repc.syntax import tree


def merge(ctx: Context, expr: tree.Merge, env: Env) -> Value:
    """The merged value of the branches, or a layer where the branches are layers."""
    argument = _argument(ctx, expr, env)
    found = [(span, value) for branch in expr.branches for span, value in _branch(ctx, branch, env)]
    if isinstance(argument, Poison) or any(isinstance(value, Poison) for _, value in found):
        return POISON
    if not found:
        raise Rejected(errors.no_branches(expr.span, expr.kind))
    layers = [isinstance(value, APPLICABLE) for _, value in found]
    if all(layers):
        steps = tuple(Step((), value, span) for span, value in found)
        return MergeLayer(expr.kind, argument, expr.name, steps, expr.span)
    if any(layers):
        span, value = found[layers.index(True)]
        raise Rejected(errors.layer_among_values(span, describe(value)))
    return merged(ctx, expr.kind, argument, expr.name, found, expr.span)


def apply_merge(ctx: Context, layer: MergeLayer, inputs: tuple[Value, ...]) -> Value:
    """All branches on the same inputs, merged."""
    found = [(step.span, flow.apply_step(ctx, step, inputs)) for step in layer.steps]
    if any(isinstance(value, Poison) for _, value in found):
        return POISON
    return merged(ctx, layer.kind, layer.argument, layer.name, found, layer.span)


def merged(
    ctx: Context, kind: str, argument: Value, name: str | None, found: list[tuple[Span, Value]], span: Span
) -> Tensor:
    """One n-ary operator; also over a single branch, which may still be named or folded."""
    values = [as_tensor(value, place) for place, value in found]
    if kind == "concat":
        axis = checked_axis(1 if argument is None else as_integer(argument) or 0, values[0].type, span)
        return emit_all(ctx, Concat(axis), values, span, name)
    if argument is not None:
        items = argument if isinstance(argument, tuple) else ()
        coefficients = tuple(Fraction(item) for item in map(as_number, items) if item is not None)
        if len(coefficients) != len(values) or len(items) != len(values):
            expected = f"a list of {len(values)} numbers, one for each branch"
            raise Rejected(errors.bad_attribute(span, kind, _ARGUMENTS[kind], expected, describe(argument)))
        return emit_all(ctx, Sum(coefficients), values, span, name)
    share = Fraction(1, len(values)) if kind == "mean" else Fraction(1)
    return emit_all(ctx, Sum((share,) * len(values)), values, span, name)


_ARGUMENTS = {"concat": "axis", "sum": "coefficients"}
"""What a merge takes before its branches."""


def _argument(ctx: Context, expr: tree.Merge, env: Env) -> Value:
    """The axis that branches are concatenated along, or what they are multiplied by; None where it is not given."""
    known = _ARGUMENTS.get(expr.kind)
    if len(expr.arguments) > (known is not None):
        raise Rejected(errors.merge_arguments(expr.arguments[known is not None].span, expr.kind, known))
    if not expr.arguments:
        return None
    argument = expr.arguments[0]
    if argument.name not in (None, known):
        raise Rejected(errors.unknown_keyword(argument.span, expr.kind, argument.name, [known or ""]))
    value = ctx.evaluate(ctx, argument.value, env)
    if expr.kind == "concat" and as_integer(value) is None and not isinstance(value, Poison):
        raise Rejected(errors.not_a_count(argument.span, describe(value)))
    return value


def _branch(ctx: Context, branch: tree.Branch, env: Env) -> Iterator[tuple[Span, Value]]:
    """The values of a branch: one, none where its condition is false, or one for each round of its loop."""
    if branch.loop is None:
        yield from _round(ctx, branch, env, ())
        return
    name = branch.loop.name
    values = flow.loop_values(ctx, branch.loop.range, env)
    if values is None:
        yield branch.loop.span, POISON
        return
    held = branch.label is not None and f"{{{name}}}" in branch.label.text
    for position, value in enumerate(values):
        ctx.spend(branch.span)
        index = () if held else (flow.loop_index(position, value),)
        yield from _round(ctx, branch, env.inner({name: value}), index)


def _round(ctx: Context, branch: tree.Branch, env: Env, index: tuple[str, ...]) -> Iterator[tuple[Span, Value]]:
    if branch.condition is not None:
        condition = ctx.truth(branch.condition, env)
        if condition is None:
            yield branch.condition.span, POISON
        if not condition:
            return
    if branch.label is not None:
        yield branch.value.span, flow.labelled(ctx, branch.label, branch.value, env, index)
    else:
        yield branch.value.span, ctx.evaluate(ctx, branch.value, env)
