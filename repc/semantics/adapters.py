"""Adapters: blocks attached by path to the weights and layers of a model that does not know them.

``use`` replaces a weight by an expression over it, or with two ports the weight and bias of a layer; ``then`` and
``before`` compose a layer after and before a labelled part.  The parameters of an adapter lie under the path of what it
adapts, below the attachment's own label.  While an adapter is elaborated nothing else attaches, so that a pattern never
meets the adapter's own weights.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from repc.diagnostics import Span
from repc.ir.expr import Param
from repc.ir.paths import Pattern
from repc.semantics import errors
from repc.semantics.context import Context, Env
from repc.semantics.errors import Rejected
from repc.semantics.values import LAYERS, POISON, Poison, Value, describe
from repc.syntax import tree


@dataclass(eq=False)
class Attachment:
    """One ``at`` line of an ``adapt``, with the layer that it attaches and the places it has matched."""

    statement: tree.Attach
    pattern: Pattern
    layer: Value
    label: tuple[str, ...]
    home: Env
    matched: list[str] = field(default_factory=list[str])
    passed: set[str] = field(default_factory=set[str])

    def fits(self, ctx: Context, path: str, env: Env | None) -> bool:
        """Whether it attaches at a path; its condition may use what the body there knows."""
        self.passed.add(path)
        if not self.pattern.matches(path):
            return False
        if self.statement.condition is not None:
            scope = Env(self.home.home, dict(env.names) if env else {}, self.home)
            if ctx.truth(self.statement.condition, scope) is not True:
                return False
        self.matched.append(path)
        return True


def use_on_weight(ctx: Context, param: Param, key: str, env: Env, span: Span) -> Value:
    """The value of a declared weight, after the attachments that replace it."""
    value: Value = param
    for attachment in _verb(ctx, "use"):
        if attachment.fits(ctx, param.path, env):
            value = _attach(ctx, attachment, (value,), span)
    return value


def use_on_layer(ctx: Context, env: Env, definition: tree.Definition) -> None:
    """Attachments to a layer as a whole replace its weight and bias; a missing bias may be made."""
    names = {w.key or w.name: w.name for w in definition.body.statements if isinstance(w, tree.Weight)}
    if "weight" not in names or not ctx.path:
        return
    for attachment in _verb(ctx, "use"):
        if attachment.fits(ctx, ctx.dotted, env):
            inputs = tuple(env.names[names[key]] for key in ("weight", "bias") if names.get(key) in env.names)
            value = _attach(ctx, attachment, inputs, attachment.statement.span)
            results = value if isinstance(value, tuple) else (value,) * len(inputs)
            for key, result in zip(("weight", "bias"), results, strict=False):
                if key in names:
                    env.names[names[key]] = result


def before(ctx: Context, inputs: tuple[Value, ...], span: Span) -> tuple[Value, ...]:
    """The inputs of a labelled stage, after the attachments in front of it."""
    for attachment in _verb(ctx, "before"):
        if attachment.fits(ctx, ctx.dotted, None):
            value = _attach(ctx, attachment, inputs, span)
            inputs = value if isinstance(value, tuple) else (value,)
    return inputs


def after(ctx: Context, value: Value, span: Span) -> Value:
    """The value of a labelled part, after the attachments behind it."""
    for attachment in _verb(ctx, "then"):
        if attachment.fits(ctx, ctx.dotted, None):
            value = _attach(ctx, attachment, value if isinstance(value, tuple) else (value,), span)
    return value


def alias(ctx: Context, statement: tree.Alias, value: Value) -> None:
    """Give a parameter another key."""
    if isinstance(value, Poison):
        return
    if not isinstance(value, Param):
        ctx.report(errors.alias_of_nothing(statement.span, describe(value)))
        return
    key = ".".join([*ctx.path, statement.key])
    known = ctx.graph.parameters[value.path]
    ctx.graph.parameters[value.path] = replace(known, aliases=(*known.aliases, key))


def check_counts(ctx: Context) -> None:
    """Report every attachment that did not match as often as it says."""
    for attachment in ctx.attachments:
        expected = ctx.evaluate(ctx, attachment.statement.expect, attachment.home)
        if not isinstance(expected, Poison) and expected != len(attachment.matched):
            ctx.report(
                errors.attachment_count(
                    attachment.statement.span,
                    attachment.statement.path.text,
                    describe(expected).removeprefix("the number "),
                    attachment.matched,
                    sorted(attachment.passed),
                )
            )


def _verb(ctx: Context, verb: str) -> list[Attachment]:
    return [a for a in ctx.attachments if a.statement.verb == verb] if ctx.attaching else []


def _attach(ctx: Context, attachment: Attachment, inputs: tuple[Value, ...], span: Span) -> Value:
    if not isinstance(attachment.layer, LAYERS):
        if isinstance(attachment.layer, Poison):
            return POISON
        raise Rejected(errors.not_a_layer(attachment.statement.layer.span, describe(attachment.layer)))
    with _detached(ctx), ctx.labelled(attachment.label):
        return ctx.apply(ctx, attachment.layer, inputs, attachment.statement.span)


@contextmanager
def _detached(ctx: Context) -> Generator[None]:
    """Inside an adapter: nothing attaches, and weights are trainable."""
    before = ctx.attaching, ctx.frozen
    ctx.attaching, ctx.frozen = False, False
    try:
        yield
    finally:
        ctx.attaching, ctx.frozen = before
