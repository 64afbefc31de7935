"""Pipes, labels and repeats: how a value flows through layers, and what the layers' parameters are called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

from repc.semantics import adapters, errors
from repc.semantics.context import MAX_ROUNDS, Context, Env
from repc.semantics.errors import Rejected
from repc.semantics.functions import Function
from repc.semantics.values import LAYERS, Block, Chain, Part, Poison, Repetition, Step, Value, describe
from repc.syntax import tree


def pipe(ctx: Context, expr: tree.Pipe, env: Env) -> Value:
    """``value >> layer`` applies, ``layer >> layer`` composes."""
    value = ctx.evaluate(ctx, expr.first, env)
    steps = [Step((), value, expr.first.span)] if isinstance(value, (*LAYERS, Function, Block)) else []
    for stage in expr.stages:
        layer = ctx.evaluate(ctx, stage.value, env)
        step = Step(label_text(stage.label, env) if stage.label else (), layer, stage.value.span)
        if steps:
            steps.append(step)
        else:
            value = apply_step(ctx, step, as_inputs(value), env)
    return Chain(tuple(steps)) if steps else value


def as_inputs(value: Value) -> tuple[Value, ...]:
    """What a layer is fed with: ``(a, b)`` feeds two ports."""
    return value if isinstance(value, tuple) else (value,)


def as_value(inputs: tuple[Value, ...]) -> Value:
    """The inputs of a layer as one value, the inverse of `as_inputs`."""
    return inputs[0] if len(inputs) == 1 else inputs


def label_text(label: tree.Label, env: Env) -> tuple[str, ...]:
    """The path segment of a label, its holes filled."""

    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        value = env.get(name) if env.has(name) else None
        if isinstance(value, (int, str)) and not isinstance(value, bool):
            return str(value)
        raise Rejected(errors.bad_hole(label.span, name, env.visible()))

    return tuple(re.sub(r"\{(\w+)\}", fill, label.text).split("."))


def labelled(ctx: Context, label: tree.Label, expr: tree.Expr, env: Env, index: tuple[str, ...] = ()) -> Value:
    """The value of an expression under a label, which then names a part of the body."""
    labels = (*label_text(label, env), *index)
    with ctx.labelled(labels) as names:
        value = ctx.evaluate(ctx, expr, env)
        if not isinstance(value, LAYERS):
            value = adapters.after(ctx, value, expr.span)
        part = Part(ctx.dotted, names)
    if isinstance(value, LAYERS):
        return Chain((Step(labels, value, expr.span),))
    _remember(ctx, env, labels, part)
    return value


def apply_step(ctx: Context, step: Step, inputs: tuple[Value, ...], env: Env | None = None) -> Value:
    """Apply a layer under its labels; a labelled ``repeat`` adds the index of each round."""
    if not step.labels:
        return ctx.apply(ctx, step.layer, inputs, step.span)
    with ctx.labelled(step.labels) as names:
        inputs = adapters.before(ctx, inputs, step.span)
        if isinstance(step.layer, Repetition):
            value = apply_rounds(ctx, step.layer, inputs, indexed=True)
        else:
            value = ctx.apply(ctx, step.layer, inputs, step.span)
        value = adapters.after(ctx, value, step.span)
        part = Part(ctx.dotted, names)
    _remember(ctx, env, step.labels, part)
    return value


def apply_rounds(ctx: Context, layer: Repetition, inputs: tuple[Value, ...], indexed: bool) -> Value:
    """Every round of a ``repeat`` on what the one before made."""
    value = as_value(inputs)
    for index, step in layer.rounds:
        labels = (index, *step.labels) if indexed else step.labels
        value = apply_step(ctx, Step(labels, step.layer, step.span), as_inputs(value))
    return value


def repeat(ctx: Context, expr: tree.Repeat, env: Env) -> Value:
    """A layer made of one layer for each index."""
    rounds: list[tuple[str, Step]] = []
    for i, value in enumerate(loop_values(ctx, expr.range, env)):
        ctx.spend(expr.span)
        inner = env.inner({expr.name: value}) if expr.name else env
        labels = label_text(expr.label, inner) if expr.label else ()
        index = str(value if isinstance(value, int) else i)
        rounds.append((index, Step(labels, ctx.evaluate(ctx, expr.body, inner), expr.body.span)))
    return Repetition(tuple(rounds))


def loop_values(ctx: Context, expr: tree.Range, env: Env) -> Sequence[Value]:
    """What a loop runs over: a count, a range, or the entries of a list; nothing after an error."""
    start = 0 if expr.start is None else ctx.evaluate(ctx, expr.start, env)
    stop = ctx.evaluate(ctx, expr.stop, env)
    if isinstance(start, Poison) or isinstance(stop, Poison):
        return ()
    if isinstance(stop, tuple) and expr.start is None:
        return stop
    for value in (start, stop):
        if isinstance(value, bool) or not isinstance(value, int):
            ctx.report(errors.not_a_count(expr.span, describe(value)))
            return ()
    indices = range(cast(int, start), cast(int, stop))
    if len(indices) > MAX_ROUNDS:
        ctx.report(errors.too_many_rounds(expr.span, MAX_ROUNDS))
        return ()
    return indices


def index_label(label: tree.Label | None, variable: str | None, value: Value) -> tuple[str, ...]:
    """What a loop adds to the path of its label: the index, unless the label has a hole for it already."""
    held = label is not None and variable is not None and f"{{{variable}}}" in label.text
    return () if held or not isinstance(value, (int, str)) else (str(value),)


def _remember(ctx: Context, env: Env | None, labels: tuple[str, ...], part: Part) -> None:
    ctx.parts[-1][".".join(labels)] = part
    if env is not None:
        env.parts[labels[0]] = part
