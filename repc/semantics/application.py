"""What happens when a layer is applied: ports are bound to inputs and the body is elaborated."""

from __future__ import annotations

from collections.abc import Sequence

from repc.diagnostics import Span
from repc.ir.dims import Dim
from repc.semantics import adapters, errors, flow, merges
from repc.semantics.call import as_tensor, bind
from repc.semantics.context import Applied, Context, Env
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
    as_dim,
    describe,
)
from repc.semantics.weights import declare
from repc.syntax import tree


def apply_layer(ctx: Context, layer: Value, inputs: tuple[Value, ...], span: Span) -> Value:
    """The value of a layer on its inputs; an error is reported once and gives poison."""
    if isinstance(layer, Poison) or any(isinstance(value, Poison) for value in inputs):
        return POISON
    try:
        return _apply(ctx, layer, inputs, span)
    except Rejected as rejected:
        ctx.report(rejected.diagnostic)
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
    return _elaborate_block(ctx, layer, tensors, span)


def _apply_known(
    ctx: Context, known: dict[object, Applied], layer: BlockLayer, tensors: list[Tensor], span: Span
) -> Value:
    """Check a block once for each choice of parameters and input types; later on only its paths can be wrong."""
    given = tuple((name, type(value), value) for name, value in layer.given.items())
    key = (layer.definition.span, given, tuple((type(tensor), tensor.type) for tensor in tensors))
    found = known.get(key)
    prefix = f"{ctx.dotted}." if ctx.path else ""
    if found is None:
        before, names = len(ctx.declared), dict(ctx.parts[-1])
        result = _elaborate_block(ctx, layer, tensors, span)
        if not isinstance(result, Poison):
            paths = {path.removeprefix(prefix): ctx.graph.parameters[path] for path in ctx.declared[before:]}
            added = {name: value for name, value in ctx.parts[-1].items() if names.get(name) is not value}
            known[key] = Applied(result, added, paths)
        return result
    ctx.parts[-1].update(found.names)
    for path, parameter in found.paths.items():
        if prefix + path in ctx.graph.parameters:
            return _elaborate_block(ctx, layer, tensors, span)
        ctx.graph.parameters[prefix + path] = parameter
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


def _elaborate_block(ctx: Context, layer: BlockLayer, tensors: list[Tensor], span: Span) -> Value:
    definition = layer.definition
    with ctx.called(span):
        env = Env(layer.home, dict(layer.given))
        ctx.parts[-1].update(layer.given)
        for port, tensor in zip(definition.ports, tensors, strict=True):
            bind_type(ctx, port.type, tensor, env, span, f"port {port.name} of {definition.name}")
        env.names.update({port.name: tensor for port, tensor in zip(definition.ports, tensors, strict=True)})
        return run_body(ctx, definition, env)


def run_body(ctx: Context, definition: tree.Definition, env: Env) -> Value:
    """Statements, then results; a failed requirement gives poison, since what follows relies on it."""
    body = definition.body
    for statement in body.statements:
        if not _run_statement(ctx, statement, env):
            return POISON
    adapters.use_on_layer(ctx, env, definition)
    values = [ctx.evaluate(ctx, result, env) for result in body.results]
    if any(isinstance(value, Poison) for value in values):
        return POISON
    results = [as_tensor(value, expr.span) for value, expr in zip(values, body.results, strict=True)]
    if definition.result is not None:
        bind_type(ctx, definition.result, results[0], env, definition.result.span, f"result of {definition.name}")
    return results[0] if len(results) == 1 else tuple(results)


def _run_statement(ctx: Context, statement: tree.Statement, env: Env) -> bool:
    match statement:
        case tree.Require():
            condition = ctx.truth(statement.condition, env)
            if condition is False:
                ctx.report(errors.requirement(statement.span, statement.message))
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


# ---------------------------------------------------------------- ports


def bind_type(ctx: Context, type: tree.TypeExpr, tensor: Tensor, env: Env, span: Span, what: str) -> None:
    """Match a tensor with a declared type: new names are bound, known ones must agree.

    Raises `Rejected` where the ranks or sizes differ.
    """
    shape = tensor.type.shape
    rests = [i for i, dim in enumerate(type.dims) if isinstance(dim, tree.Rest)]
    fixed = len(type.dims) - len(rests)
    if len(rests) > 1:
        raise Rejected(errors.two_rests(type.span))
    if (not rests and fixed != len(shape)) or fixed > len(shape):
        raise Rejected(errors.rank(span, what, type.span.text, tensor.type))
    position = 0
    for dim in type.dims:
        if isinstance(dim, tree.Rest):
            width = len(shape) - fixed
            if dim.name is not None:
                _bind_rest(dim, shape[position : position + width], env, span, what)
            position += width
        else:
            _bind_dim(ctx, dim, shape[position], env, span, what)
            position += 1


def _bind_rest(dim: tree.Rest, sizes: tuple[Dim, ...], env: Env, span: Span, what: str) -> None:
    assert dim.name is not None
    known = env.names.setdefault(dim.name, sizes)
    if known != sizes:
        raise Rejected(errors.size(span, what, dim.name, _list(known), _list(sizes)))


def _list(value: Value) -> str:
    return f"[{', '.join(str(item) for item in value)}]" if isinstance(value, tuple) else describe(value)


def _bind_dim(ctx: Context, dim: tree.Expr, actual: Dim, env: Env, span: Span, what: str) -> None:
    if isinstance(dim, tree.Name) and not env.has(dim.name):
        env.names[dim.name] = actual
        return
    value = ctx.evaluate(ctx, dim, env)
    if isinstance(value, Poison):
        return
    expected = as_dim(value)
    if expected is None:
        raise Rejected(errors.not_a_size(dim.span, describe(value)))
    if expected != actual:
        raise Rejected(errors.size(span, what, dim.span.text, str(expected), str(actual)))
