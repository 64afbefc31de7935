"""What happens when a layer is applied: ports are bound to inputs and the body is elaborated."""

from __future__ import annotations

from collections.abc import Sequence

from repc.diagnostics import Span
from repc.semantics import adapters, errors, flow, merges
from repc.semantics.call import as_tensor, bind
from repc.semantics.context import Applied, Context, Env
from repc.semantics.declared import bind_type
from repc.semantics.errors import Rejected
from repc.semantics.functions import Function
from repc.semantics.values import (
    POISON,
    Activation,
    Block,
    BlockLayer,
    Chain,
    FunctionLayer,
    MergeLayer,
    Poison,
    Repetition,
    Tensor,
    Value,
    describe,
)
from repc.semantics.weights import declare
from repc.syntax import tree


def apply_layer(ctx: Context, layer: Value, inputs: tuple[Value, ...], span: Span) -> Value:
    """The value of a layer on its inputs; an error is reported once and gives poison."""
    if isinstance(layer, Poison) or any(isinstance(value, Poison) for value in inputs):
        return POISON
    ctx.spend(span)
    try:
        return _apply(ctx, layer, inputs, span)
    except Rejected as rejected:
        ctx.report(rejected.diagnostic)
    except OverflowError:
        ctx.report(errors.too_large_size(span))
    return POISON


def _apply(ctx: Context, layer: Value, inputs: tuple[Value, ...], span: Span) -> Value:
    match layer:
        case BlockLayer():
            return _apply_block(ctx, layer, inputs, span)
        case FunctionLayer():
            call = bind(ctx, layer.function, [*inputs, *layer.positional], layer.keywords, layer.span)
            return call if isinstance(call, Poison) else layer.function.build(call)
        case Function():
            call = bind(ctx, layer, inputs, {}, span)
            return call if isinstance(call, Poison) else layer.build(call)
        case Chain():
            value = flow.as_value(inputs)
            for step in layer.steps:
                value = flow.apply_step(ctx, step, flow.as_inputs(value))
            return value
        case Repetition():
            return flow.apply_rounds(ctx, layer, inputs, indexed=False)
        case MergeLayer():
            return merges.apply_merge(ctx, layer, inputs)
        case Block():
            raise Rejected(errors.block_without_call(span, layer.definition.name))
        case _:
            raise Rejected(errors.not_a_layer(span, describe(layer)))


def _apply_block(ctx: Context, layer: BlockLayer, inputs: tuple[Value, ...], span: Span) -> Value:
    definition = layer.definition
    if len(inputs) != len(definition.ports):
        raise Rejected(errors.port_count(span, definition.name, len(definition.ports), len(inputs)))
    tensors = [as_tensor(value, span) for value in inputs]
    if ctx.known is not None and not ctx.attachments:
        return _apply_known(ctx, ctx.known, layer, tensors, span)
    return _elaborate_block(ctx, layer, tensors, span)[0]


def _apply_known(
    ctx: Context, known: dict[object, Applied], layer: BlockLayer, tensors: list[Tensor], span: Span
) -> Value:
    """Check a block once for each choice of parameters and input types; later on only its paths can be wrong."""
    given = tuple((name, type(value), value) for name, value in layer.given.items())
    key = (layer.definition.span, given, tuple((type(tensor), tensor.type) for tensor in tensors))
    found = known.get(key)
    prefix = f"{ctx.dotted}." if ctx.path else ""
    if found is None:
        before, aliases = len(ctx.declared), len(ctx.aliases)
        result, names = _elaborate_block(ctx, layer, tensors, span)
        if not isinstance(result, Poison) and len(ctx.aliases) == aliases:
            paths = {path.removeprefix(prefix): ctx.graph.parameters[path] for path in ctx.declared[before:]}
            known[key] = Applied(result, names, paths)
        return result
    if any(prefix + path in ctx.graph.parameters or prefix + path in ctx.aliases for path in found.paths):
        return _elaborate_block(ctx, layer, tensors, span)[0]
    ctx.parts[-1].update(found.names)
    ctx.graph.parameters.update((prefix + path, parameter) for path, parameter in found.paths.items())
    ctx.declared.extend(prefix + path for path in found.paths)
    return _moved(found.result, tensors)


def _moved(result: Value, tensors: list[Tensor]) -> Value:
    """A result of the same type in this graph, standing on the input, since only types are looked at."""
    if isinstance(result, tuple):
        return tuple(_moved(item, tensors) for item in result)
    if isinstance(result, Activation):
        place = next(tensor for tensor in tensors if isinstance(tensor, Activation))
        return Activation(place.id, result.type)
    return result


def _elaborate_block(
    ctx: Context, layer: BlockLayer, tensors: list[Tensor], span: Span
) -> tuple[Value, dict[str, Value]]:
    """The result of a block, and what its body named."""
    definition = layer.definition
    env = Env(layer.home, dict(layer.given))
    with ctx.called(span), ctx.body(env) as names:
        names.update(layer.given)
        for port, tensor in zip(definition.ports, tensors, strict=True):
            bind_type(ctx, port.type, tensor, env, span, f"port {port.name} of {definition.name}")
        env.names.update({port.name: tensor for port, tensor in zip(definition.ports, tensors, strict=True)})
        results = run_body(ctx, definition, env)
        return flow.as_value(tuple(value for value, _ in results)) if results else POISON, names


def run_body(ctx: Context, definition: tree.Definition, env: Env) -> list[tuple[Tensor, tree.Expr]]:
    """Statements, then results with the expressions that gave them.

    There are none after an error, nor where a requirement fails, since what follows relies on it.
    """
    body = definition.body
    for statement in body.statements:
        if not _run_statement(ctx, statement, env):
            return []
    adapters.use_on_layer(ctx, env, _keys(body))
    values, exprs = tuple(ctx.evaluate(ctx, result, env) for result in body.results), body.results
    if len(values) == 1 and isinstance(values[0], tuple) and values[0]:
        values, exprs = values[0], exprs * len(values[0])
    if any(isinstance(value, Poison) for value in values):
        return []
    results = [(as_tensor(value, expr.span), expr) for value, expr in zip(values, exprs, strict=True)]
    if definition.result is not None:
        span, what = definition.result.span, f"result of {definition.name}"
        if len(results) > 1:
            raise Rejected(errors.rank(span, what, span.text, describe(tuple(value for value, _ in results))))
        bind_type(ctx, definition.result, results[0][0], env, span, what, new=False)
    return results


def _keys(body: tree.Body) -> dict[str, str]:
    """The weights of a body: their keys, and their names in it."""
    return {w.key or w.name: w.name for w in body.statements if isinstance(w, tree.Weight)}


def _run_statement(ctx: Context, statement: tree.Statement, env: Env) -> bool:
    match statement:
        case tree.Require():
            condition = ctx.truth(statement.condition, env)
            if condition is False:
                ctx.report(errors.requirement(statement.condition.span, statement.message))
            return condition is True
        case tree.Let():
            _let(ctx, statement, env)
        case tree.Weight():
            env.names[statement.name] = declare(ctx, statement, env)
        case tree.Alias():
            adapters.alias(ctx, statement, ctx.evaluate(ctx, statement.value, env))
        case _:
            raise AssertionError(f"no such statement: {statement}")
    return True


def _let(ctx: Context, statement: tree.Let, env: Env) -> None:
    value = ctx.evaluate(ctx, statement.value, env)
    if len(statement.names) == 1:
        env.names[statement.names[0]] = value
        return
    parts: Sequence[Value] = value if isinstance(value, tuple) else ()
    if len(parts) != len(statement.names):
        if not isinstance(value, Poison):
            ctx.report(errors.unpacking(statement.span, len(statement.names), describe(value)))
        parts = [POISON] * len(statement.names)
    env.names.update(zip(statement.names, parts, strict=True))
