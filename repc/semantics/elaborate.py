"""From a model of a parsed file to the typed graph that people train."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

from repc.diagnostics import Failure
from repc.ir.graph import Graph
from repc.ir.paths import Pattern
from repc.ir.types import TensorType
from repc.semantics import adapters, errors, flow, parameters
from repc.semantics.adapters import Attachment
from repc.semantics.application import apply_layer, run_body
from repc.semantics.context import Context, Env
from repc.semantics.declared import bind_type
from repc.semantics.errors import Rejected
from repc.semantics.expressions import evaluate
from repc.semantics.inputs import add_input, add_inputs
from repc.semantics.modules import Module, Named
from repc.semantics.values import Activation, Tensor, Value, describe
from repc.semantics.weights import declare
from repc.syntax import tree

Layers: TypeAlias = list[tuple[tree.Adapt, Module]]
"""Adapters with the modules that they stand in."""

_STACK = 20_000
"""Frames that nested calls of blocks may need: the limit on their depth times what one level takes, and room."""


def elaborate(
    module: Module,
    name: str,
    given: Mapping[str, Value] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Graph:
    """The training graph of a model or an adapted model.

    `given` sets the model's parameters, `sizes` pins free dimensions of its inputs.  Raises `Failure` with every error
    found.
    """
    ctx = new_context(name)
    with deep_stack():
        build_model(ctx, module, name, given or {}, sizes or {})
    if ctx.errors:
        raise Failure(ctx.errors)
    return ctx.graph


def elaborate_block(module: Module, name: str, given: Mapping[str, Value], types: Mapping[str, TensorType]) -> Graph:
    """The training graph of a block by itself; its inputs have these types, by port.

    Raises `Failure` with every error found.
    """
    ctx = new_context(name)
    definition, home = block_of(module, name)
    with deep_stack():
        try:
            _run_block(ctx, definition, home, given, types)
        except Rejected as rejected:
            ctx.report(rejected.diagnostic)
    if ctx.errors:
        raise Failure(ctx.errors)
    return ctx.graph


def block_of(module: Module, name: str) -> tuple[tree.Definition, Module]:
    """The definition of a block or model that a file has or sees, and the module that it stands in."""
    found = module.find(name)
    if found is None or isinstance(found[0], tree.Adapt):
        raise Failure(errors.unknown_name(module.file.span, name, module.visible()))
    return found[0], found[1]


def new_context(name: str) -> Context:
    """A fresh elaboration; here evaluating and applying are given to each other."""
    return Context(evaluate, apply_layer, Graph(name))


def build_model(ctx: Context, module: Module, name: str, given: Mapping[str, Value], sizes: Mapping[str, int]) -> None:
    """Elaborate a model into the graph of a context, collecting its errors there."""
    named = module.models().get(name)
    if named is None:
        raise Failure(errors.unknown_model(module.file.span, name, list(module.models())))
    try:
        definition, home, values = _unwrap(ctx, named, module, given)
        _run_model(ctx, definition, home, values, sizes)
        if not ctx.errors:  # a place that an error hides is no wrong count
            adapters.check_counts(ctx)
    except Rejected as rejected:
        ctx.report(rejected.diagnostic)


def _unwrap(
    ctx: Context, named: Named, home: Module, given: Mapping[str, Value]
) -> tuple[tree.Definition, Module, dict[str, Value]]:
    """The model behind adapters, its parameters, and the attachments on the way (innermost first)."""
    layers, found = unwrapped(named, home)
    if found is None:
        adapt, place = layers[-1]
        raise Rejected(errors.unknown_name(adapt.span, adapt.base, place.visible()))
    definition, place = found
    if definition.kind != "model":
        raise Rejected(errors.not_a_model(layers[-1][0].span if layers else definition.span, definition.name))
    rest = attach_all(ctx, layers, given)
    names = [parameter.name for parameter in definition.parameters]
    unknown = [key for key in rest if key not in names]
    if unknown:
        raise Rejected(errors.unknown_keyword(definition.span, definition.name, unknown[0], names))
    return definition, place, _parameters(ctx, definition, rest, place).names


def unwrapped(named: Named, home: Module) -> tuple[Layers, tuple[tree.Definition, Module] | None]:
    """The adapters of a model, outermost first, and what they adapt in the end, None where no spec defines it.

    Raises `Rejected` for one that adapts itself.
    """
    layers: Layers = []
    while isinstance(named, tree.Adapt):
        layers.append((named, home))
        found = home.find(named.base)
        if found is None:
            return layers, None
        if any(found[0] is adapt for adapt, _ in layers):
            raise Rejected(errors.adapts_itself(named.span, named.name))
        named, home = found
    return layers, (named, home)


def attach_all(ctx: Context, layers: Layers, given: Mapping[str, Value]) -> dict[str, Value]:
    """Enter the weights and attachments of adapters, the innermost first; what is left of the given parameters."""
    rest = dict(given)
    for adapt, place in reversed(layers):
        own = {p.name: rest.pop(p.name) for p in adapt.parameters if p.name in rest}
        env = _parameters(ctx, adapt, own, place)
        env.names.update({weight.name: declare(ctx, weight, env) for weight in adapt.weights})
        ctx.attachments.extend(_attachment(ctx, item, env, adapt) for item in adapt.attachments)
        ctx.frozen = True
    return rest


def _parameters(ctx: Context, named: Named, given: Mapping[str, Value], home: Module) -> Env:
    """The parameters of a model or an adapter; `Failure` where one has no value."""
    values = parameters.complete(ctx, named, home, given, named.span)
    if values is None:
        raise Failure(ctx.errors)
    return Env(home, values)


def _attachment(ctx: Context, statement: tree.Attach, env: Env, adapt: tree.Adapt) -> Attachment:
    label = flow.label_text(statement.label, env) if statement.label else ()
    shared = frozenset(weight.name for weight in adapt.weights)
    return Attachment(statement, Pattern(statement.path.text), evaluate(ctx, statement.layer, env), label, env, shared)


def _run_model(
    ctx: Context, definition: tree.Definition, home: Module, values: dict[str, Value], sizes: Mapping[str, int]
) -> None:
    env = Env(home, dict(values))
    with ctx.body(env):
        add_inputs(ctx, definition, env, sizes)
        results = run_body(ctx, definition, env)
    _add_outputs(ctx, results)


def _run_block(
    ctx: Context, definition: tree.Definition, home: Module, given: Mapping[str, Value], types: Mapping[str, TensorType]
) -> None:
    unknown = [key for key in given if key not in [p.name for p in definition.parameters]]
    if unknown:
        known = [p.name for p in definition.parameters]
        raise Rejected(errors.unknown_keyword(definition.span, definition.name, unknown[0], known))
    env = Env(home, _parameters(ctx, definition, given, home).names)
    with ctx.body(env):
        for port in definition.ports:
            id = add_input(ctx, port, types[port.name])
            value = Activation(id, types[port.name])
            bind_type(ctx, port.type, value, env, port.span, f"port {port.name} of {definition.name}")
            env.names[port.name] = value
        results = run_body(ctx, definition, env)
    _add_outputs(ctx, results)


def _add_outputs(ctx: Context, results: list[tuple[Tensor, tree.Expr]]) -> None:
    for index, (value, expr) in enumerate(results):
        if isinstance(value, Activation):
            ctx.graph.outputs[_output_name(ctx.graph, expr, index, len(results))] = value.id
        else:
            ctx.report(errors.constant_result(expr.span, describe(value)))


def _output_name(graph: Graph, expr: tree.Expr, index: int, count: int) -> str:
    """The name of the result in the spec where it has one of its own, made unique."""
    name = "output" if count == 1 else f"output{index}"
    if isinstance(expr, tree.Name) and expr.name not in graph.inputs and expr.name not in graph.outputs:
        name = expr.name
    while name in graph.inputs or name in graph.outputs:
        name += "_"
    return name


@contextmanager
def deep_stack() -> Generator[None]:
    """Room for nested blocks: plain Python calls need no machine stack, only a higher limit."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _STACK))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
