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
from repc.semantics.values import POISON, MergeLayer, Poison, Step, Tensor, Value, as_integer, describe
from repc.syntax import tree


def merge(ctx: Context, expr: tree.Merge, env: Env) -> Value:
    """The merged value of the branches, or a layer where the branches are layers."""
    axis = _axis(ctx, expr, env)
    found = [(span, value) for branch in expr.branches for span, value in _branch(ctx, branch, env)]
    if any(isinstance(value, Poison) for _, value in found):
        return POISON
    if not found:
        raise Rejected(errors.no_branches(expr.span, expr.kind))
    layers = [isinstance(value, APPLICABLE) for _, value in found]
    if all(layers):
        steps = tuple(Step((), value, span) for span, value in found)
        return MergeLayer(expr.kind, axis, expr.name, steps, expr.span)
    if any(layers):
        span, value = found[layers.index(True)]
        raise Rejected(errors.layer_among_values(span, describe(value)))
    return merged(ctx, expr.kind, axis, expr.name, found, expr.span)


def apply_merge(ctx: Context, layer: MergeLayer, inputs: tuple[Value, ...]) -> Value:
    """All branches on the same inputs, merged."""
    found = [(step.span, flow.apply_step(ctx, step, inputs)) for step in layer.steps]
    if any(isinstance(value, Poison) for _, value in found):
        return POISON
    return merged(ctx, layer.kind, layer.axis, layer.name, found, layer.span)


def merged(ctx: Context, kind: str, axis: int, name: str | None, found: list[tuple[Span, Value]], span: Span) -> Tensor:
    """One n-ary operator; also over a single branch, which may still be named or folded."""
    values = [as_tensor(value, place) for place, value in found]
    if kind == "concat":
        return emit_all(ctx, Concat(checked_axis(axis, values[0].type, span)), values, span, name)
    share = Fraction(1, len(values)) if kind == "mean" else Fraction(1)
    return emit_all(ctx, Sum((share,) * len(values)), values, span, name)


def _axis(ctx: Context, expr: tree.Merge, env: Env) -> int:
    """The axis that branches are concatenated along, the only argument of any merge."""
    most = int(expr.kind == "concat")
    if len(expr.arguments) > most:
        raise Rejected(errors.merge_arguments(expr.arguments[most].span, expr.kind))
    if not expr.arguments:
        return 1
    argument = expr.arguments[0]
    if argument.name not in (None, "axis"):
        raise Rejected(errors.unknown_keyword(argument.span, expr.kind, argument.name, ["axis"]))
    value = ctx.evaluate(ctx, argument.value, env)
    axis = as_integer(value)
    if axis is None and not isinstance(value, Poison):
        raise Rejected(errors.not_a_count(argument.span, describe(value)))
    return 1 if axis is None else axis


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
