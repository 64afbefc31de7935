"""The runtime inputs of a model: which of their sizes are free, pinned, or multiples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import lcm

from repc.diagnostics import Failure
from repc.ir.dims import Dim, symbol
from repc.ir.node import Node, NodeId
from repc.ir.types import TensorType
from repc.ops.constant import Input
from repc.semantics import errors
from repc.semantics.context import Context, Env
from repc.semantics.declared import dtype_of, size_of
from repc.semantics.errors import Rejected
from repc.semantics.values import Activation, Poison, as_integer
from repc.syntax import tree


def add_inputs(ctx: Context, definition: tree.Definition, env: Env, sizes: Mapping[str, int]) -> None:
    """A node for every port of a model; `sizes` pins free dimensions.

    What the model itself requires of a free dimension, ``require h % 4 == 0``, is a fact about its input: the size is
    then the multiple ``4*(h//4)``, which can be divided.  Raises `Rejected` for a type that an input cannot have.
    """
    free: dict[str, Dim] = {}
    divisors = _divisors(definition, env)
    for port in definition.ports:
        shape = tuple(_size(ctx, dim, env, free, sizes, divisors) for dim in port.type.dims)
        add_input(ctx, port, TensorType(shape, dtype_of(port.type) or "f32"))
    unknown = sorted(set(sizes) - set(free))
    if unknown:
        raise Rejected(errors.unknown_size_name(definition.span, unknown[0], list(free)))
    env.names.update({name: Activation(id, ctx.graph[id].type) for name, id in ctx.graph.inputs.items()})


def add_input(ctx: Context, port: tree.Port, type: TensorType) -> NodeId:
    """The node of one port."""
    id = ctx.graph.add(Node(Input(port.name, type), (), {}, type, port.name, (port.span,)))
    ctx.graph.inputs[port.name] = id
    return id


def _size(
    ctx: Context,
    dim: tree.Expr | tree.Rest,
    env: Env,
    free: dict[str, Dim],
    sizes: Mapping[str, int],
    divisors: Mapping[str, int],
) -> Dim:
    if isinstance(dim, tree.Rest):
        raise Rejected(errors.rest_in_model(dim.span))
    if isinstance(dim, tree.Name) and not env.has(dim.name):
        pinned = sizes.get(dim.name)
        free[dim.name] = symbol(dim.name, divisors.get(dim.name, 1)) if pinned is None else pinned
        env.names[dim.name] = free[dim.name]
    value = ctx.evaluate(ctx, dim, env)
    if isinstance(value, Poison):
        raise Failure(ctx.errors)
    return size_of(value, dim.span)


def _divisors(definition: tree.Definition, env: Env) -> dict[str, int]:
    """What the model requires its free dimensions to be divisible by."""
    found: dict[str, int] = {}
    for statement in definition.body.statements:
        if isinstance(statement, tree.Require):
            for name, divisor in _multiples(statement.condition):
                value = _constant(divisor, env)
                found[name] = lcm(found.get(name, 1), value if value and value > 0 else 1)
    return found


def _multiples(condition: tree.Expr) -> Iterator[tuple[str, tree.Expr]]:
    """``name % divisor == 0`` and its like, joined by ``and``."""
    match condition:
        case tree.Binary(operator="and", left=left, right=right):
            yield from _multiples(left)
            yield from _multiples(right)
        case tree.Binary(
            operator="==",
            left=tree.Binary(operator="%", left=tree.Name(name=name), right=divisor),
            right=tree.Int(value=0),
        ):
            yield name, divisor
        case _:
            pass


def _constant(expr: tree.Expr, env: Env) -> int | None:
    """A number as it is written, or a parameter of the model."""
    if isinstance(expr, tree.Int):
        return expr.value
    return as_integer(env.get(expr.name)) if isinstance(expr, tree.Name) and env.has(expr.name) else None
