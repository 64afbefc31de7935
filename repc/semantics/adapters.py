"""Adapters: blocks attached by path to the weights and layers of a model that does not know them.

``use`` replaces a weight by an expression over it, or with two ports the weight and bias of a layer; ``then`` and
``before`` compose a layer after and before a labelled part.  The parameters of an adapter lie under the path of what it
adapts, below the attachment's own label.  While an adapter is elaborated nothing else attaches, so that a pattern never
meets the adapter's own weights.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction

from repc.ir.expr import Apply, Param, apply
from repc.ir.paths import Pattern
from repc.ops.constant import Fill
from repc.semantics import errors
from repc.semantics.context import Context, Env
from repc.semantics.errors import Rejected
from repc.semantics.values import POISON, BlockLayer, Poison, Value, as_integer, describe
from repc.syntax import tree

EXPRS = (Param, Apply)


@dataclass(eq=False)
class Attachment:
    """One ``at`` line of an ``adapt``, with the layer that it attaches and the places it has matched."""

    statement: tree.Attach
    pattern: Pattern
    layer: Value
    label: tuple[str, ...]
    home: Env
    shared: frozenset[str]
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


def use_on_weight(ctx: Context, param: Param, env: Env) -> Value:
    """The value of a declared weight, after the attachments that replace it."""
    value: Value = param
    for attachment in _verb(ctx, "use"):
        if attachment.fits(ctx, param.path, env):
            value = _use(ctx, attachment, param.path, (value,), most=1)[0]
            ctx.replaced[value] = param
    return value


def use_on_layer(ctx: Context, env: Env, names: Mapping[str, str]) -> None:
    """Attachments to a layer as a whole replace its weight and bias; a missing bias may be made.

    `names` leads from the keys of the layer's weights to their names in its body.
    """
    keys = [key for key in ("weight", "bias") if key in names]
    if "weight" not in names or not ctx.path:
        return
    for attachment in _verb(ctx, "use"):
        if attachment.fits(ctx, ctx.dotted, env):
            weights = tuple(value for value in (env.names[names[key]] for key in keys) if value is not None)
            if len(weights) < len(keys) and _own_ports(attachment) == len(keys):
                weights = (*weights, *_zero_bias(weights))
            results = _use(ctx, attachment, ctx.dotted, weights, most=len(keys))
            for key, result in zip(keys, results, strict=False):
                env.names[names[key]] = ctx.parts[-1][key] = result


def _own_ports(attachment: Attachment) -> int:
    """How many ports of an attached block are for the weights of a layer."""
    layer = attachment.layer
    ports = layer.definition.ports if isinstance(layer, BlockLayer) else ()
    return sum(port.name not in attachment.shared for port in ports)


def _zero_bias(weights: tuple[Value, ...]) -> Iterator[Value]:
    """The bias of a layer that has none."""
    for weight in weights:
        if isinstance(weight, EXPRS):
            yield apply(Fill(weight.type.concrete()[:1], Fraction(0), weight.type.dtype))


def _use(ctx: Context, attachment: Attachment, path: str, weights: tuple[Value, ...], most: int) -> tuple[Value, ...]:
    """What an attachment makes of the weights at a path: each keeps its type, and up to `most` in all may be made.

    Further ports of its block are the adapter's own weights of the same names.

    Raises `Rejected` where the adapter has other ports, or gives something else.
    """
    span, layer = attachment.statement.span, attachment.layer
    shared = tuple[Value, ...]()
    if isinstance(layer, BlockLayer):
        names = [port.name for port in layer.definition.ports[len(weights) :]]
        shared = tuple(attachment.home.names[name] for name in names if name in attachment.shared)
        if len(weights) + len(shared) != len(layer.definition.ports):
            ports = len(layer.definition.ports)
            raise Rejected(errors.adapter_ports(span, layer.definition.name, ports, path, len(weights)))
    value = _attach(ctx, attachment, (*weights, *shared))
    results = value if isinstance(value, tuple) else (value,)
    if any(isinstance(result, Poison) for result in (*weights, *results)):
        return (POISON,) * len(weights)
    if not len(weights) <= len(results) <= most:
        raise Rejected(errors.adapter_result(span, path, f"{len(weights)} weights", describe(value)))
    for weight, result in zip(weights, results, strict=False):
        if not (isinstance(weight, EXPRS) and isinstance(result, EXPRS) and weight.type == result.type):
            raise Rejected(errors.adapter_result(span, path, describe(weight), describe(result)))
    return results


def before(ctx: Context, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
    """The inputs of a labelled stage, after the attachments in front of it."""
    for attachment in _verb(ctx, "before"):
        if attachment.fits(ctx, ctx.dotted, None):
            value = _attach(ctx, attachment, inputs)
            inputs = value if isinstance(value, tuple) else (value,)
    return inputs


def after(ctx: Context, value: Value) -> Value:
    """The value of a labelled part, after the attachments behind it."""
    for attachment in _verb(ctx, "then"):
        if attachment.fits(ctx, ctx.dotted, None):
            value = _attach(ctx, attachment, value if isinstance(value, tuple) else (value,))
    return value


def alias(ctx: Context, statement: tree.Alias, value: Value) -> None:
    """Give a parameter another key, also where an adapter replaced it."""
    if isinstance(value, Poison):
        return
    param = ctx.replaced.get(value, value)
    if not isinstance(param, Param):
        ctx.report(errors.alias_of_nothing(statement.span, describe(value)))
        return
    key = ctx.key(statement.key, statement.span)
    if ctx.claim(key, statement.span):
        ctx.aliases[key] = statement.span
        known = ctx.graph.parameters.get(param.path)
        if known is not None:  # in a block that was checked before, it lies under another path
            ctx.graph.parameters[param.path] = replace(known, aliases=(*known.aliases, key))


def check_counts(ctx: Context) -> None:
    """Report every attachment that did not match as often as it says."""
    for attachment in ctx.attachments:
        statement = attachment.statement
        value = ctx.evaluate(ctx, statement.expect, attachment.home)
        expected = as_integer(value)
        if expected is None and not isinstance(value, Poison):
            ctx.report(errors.not_a_count(statement.expect.span, describe(value)))
        elif expected is not None and expected != len(attachment.matched):
            ctx.report(errors.attachment_count(statement, expected, attachment.matched, sorted(attachment.passed)))


def _verb(ctx: Context, verb: str) -> list[Attachment]:
    return [a for a in ctx.attachments if a.statement.verb == verb] if ctx.attaching else []


def _attach(ctx: Context, attachment: Attachment, inputs: tuple[Value, ...]) -> Value:
    with _detached(ctx), ctx.labelled(attachment.label):
        return ctx.apply(ctx, attachment.layer, inputs, attachment.statement.layer.span)


@contextmanager
def _detached(ctx: Context) -> Generator[None]:
    """Inside an adapter: nothing attaches, and weights are trainable."""
    before = ctx.attaching, ctx.frozen
    ctx.attaching, ctx.frozen = False, False
    try:
        yield
    finally:
        ctx.attaching, ctx.frozen = before
