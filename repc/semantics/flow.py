"""Pipes, labels and repeats: how a value flows through layers, and what the layers' parameters are called."""

from __future__ import annotations

import re
from collections.abc import Sequence

from repc.semantics import adapters, errors
from repc.semantics.context import MAX_ROUNDS, SEGMENT, Context, Env
from repc.semantics.errors import Rejected
from repc.semantics.functions import APPLICABLE
from repc.semantics.values import POISON, Chain, Poison, Repetition, Step, Value, as_integer, describe
from repc.syntax import tree


def pipe(ctx: Context, expr: tree.Pipe, env: Env) -> Value:
    """``value >> layer`` applies, ``layer >> layer`` composes."""
    value = ctx.evaluate(ctx, expr.first, env)
    steps = [Step((), value, expr.first.span)] if isinstance(value, APPLICABLE) else []
    for stage in expr.stages:
        layer = ctx.evaluate(ctx, stage.value, env)
        step = Step(label_text(stage.label, env) if stage.label else (), layer, stage.value.span)
        if steps:
            steps.append(step)
        else:
            value = apply_step(ctx, step, as_inputs(value))
    return Chain(tuple(steps)) if steps else value


def as_inputs(value: Value) -> tuple[Value, ...]:
    """What a layer is fed with: ``(a, b)`` feeds two ports."""
    return value if isinstance(value, tuple) else (value,)


def as_value(inputs: tuple[Value, ...]) -> Value:
    """The inputs of a layer as one value, the inverse of `as_inputs`."""
    return inputs[0] if len(inputs) == 1 else inputs


def label_text(label: tree.Label, env: Env) -> tuple[str, ...]:
    """The path segments of a label, its holes filled; raises `Rejected` for a hole without a number or name."""

    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        if not env.has(name):
            raise Rejected(errors.bad_hole(label.span, name, None, env.visible()))
        value = env.get(name)
        index = as_integer(value)
        text = str(index) if index is not None else value
        if isinstance(text, str) and re.fullmatch(SEGMENT, text):
            return text
        raise Rejected(errors.bad_hole(label.span, name, describe(value), env.visible()))

    return tuple(re.sub(r"\{(\w+)\}", fill, label.text).split("."))


def labelled(ctx: Context, label: tree.Label, expr: tree.Expr, env: Env, index: tuple[str, ...] = ()) -> Value:
    """The value of an expression under a label, which then names a part of the body."""
    labels = (*label_text(label, env), *index)
    with ctx.labelled(labels):
        value = ctx.evaluate(ctx, expr, env)
        if not isinstance(value, APPLICABLE):
            return adapters.after(ctx, value)
    return Chain((Step(labels, value, expr.span),))


def apply_step(ctx: Context, step: Step, inputs: tuple[Value, ...]) -> Value:
    """Apply a layer under its labels; a labelled ``repeat`` adds the index of each round."""
    if not step.labels:
        return ctx.apply(ctx, step.layer, inputs, step.span)
    with ctx.labelled(step.labels):
        inputs = adapters.before(ctx, inputs)
        if isinstance(step.layer, Repetition):
            value = apply_rounds(ctx, step.layer, inputs, indexed=True)
        else:
            value = ctx.apply(ctx, step.layer, inputs, step.span)
        return adapters.after(ctx, value)


def apply_rounds(ctx: Context, layer: Repetition, inputs: tuple[Value, ...], indexed: bool) -> Value:
    """Every round of a ``repeat`` on what the one before made."""
    value = as_value(inputs)
    for index, step in layer.rounds:
        labels = (index, *step.labels) if indexed else step.labels
        value = apply_step(ctx, Step(labels, step.layer, step.span), as_inputs(value))
    return value


def repeat(ctx: Context, expr: tree.Repeat, env: Env) -> Value:
    """A layer made of one layer for each index."""
    values = loop_values(ctx, expr.range, env)
    if values is None:
        return POISON
    rounds: list[tuple[str, Step]] = []
    for position, value in enumerate(values):
        ctx.spend(expr.span)
        inner = env.inner({expr.name: value}) if expr.name else env
        labels = label_text(expr.label, inner) if expr.label else ()
        step = Step(labels, ctx.evaluate(ctx, expr.body, inner), expr.body.span)
        rounds.append((loop_index(position, value), step))
    return Repetition(tuple(rounds))


def loop_values(ctx: Context, expr: tree.Range, env: Env) -> Sequence[Value] | None:
    """What a loop runs over: a count, a range, or the entries of a list; None after an error."""
    start = 0 if expr.start is None else ctx.evaluate(ctx, expr.start, env)
    stop = ctx.evaluate(ctx, expr.stop, env)
    if isinstance(start, Poison) or isinstance(stop, Poison):
        return None
    if isinstance(stop, tuple) and expr.start is None:
        return stop
    first, last = as_integer(start), as_integer(stop)
    if first is None or last is None:
        ctx.report(errors.not_a_count(expr.span, describe(start if first is None else stop)))
        return None
    if last - first > MAX_ROUNDS:
        ctx.report(errors.too_many_rounds(expr.span, MAX_ROUNDS))
        return None
    return range(first, last)


def loop_index(position: int, value: Value) -> str:
    """What a round of a loop adds to the path of its label: the index, or the position of any other entry of a list."""
    index = as_integer(value)
    return str(position if index is None or index < 0 else index)
