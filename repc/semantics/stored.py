"""Checkpoints without a spec: a model of parameters and no outputs, to which an ``adapt`` applies.

Names and shapes from a file's headers are enough.  A key is a path of labels like any other, so that its modules are
what stands before the last dot, and ``at`` finds weights and layers as it does in a spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from repc.diagnostics import Failure
from repc.ir.expr import Apply, Expr, Param, apply
from repc.ir.graph import Graph
from repc.ir.node import Parameter
from repc.ir.types import TensorType
from repc.ops.constant import Fill
from repc.semantics import adapters, errors
from repc.semantics.context import Context, Env
from repc.semantics.elaborate import attach_all, deep_stack, new_context, unwrapped
from repc.semantics.errors import Rejected
from repc.semantics.modules import Module
from repc.semantics.values import Value


@dataclass(frozen=True, eq=False)
class Stored:
    """What an ``adapt`` makes of stored tensors.

    `graph` has the parameters, those of the checkpoint and those of the adapters, and neither nodes nor outputs.
    `weights` maps every key that changes to its new value, also one that the checkpoint does not have: a bias that an
    adapter made.
    """

    graph: Graph
    weights: Mapping[str, Expr]


def adapt_stored(module: Module, name: str, tensors: Mapping[str, TensorType]) -> Stored:
    """The ``adapt`` of a name, which is of no model of the module, on the tensors of a checkpoint by their keys.

    Raises `Failure` with every error found.
    """
    ctx = new_context(name)
    named = module.models().get(name)
    if named is None:
        raise Failure(errors.unknown_model(module.file.span, name, list(module.models())))
    weights: dict[str, Expr] = {}
    try:
        layers, found = unwrapped(named, module)
        if found is not None:
            raise Rejected(errors.adapts_no_checkpoint(named.span, found[0].name))
        with deep_stack():
            attach_all(ctx, layers, {})
            for path, leaves in _modules(tensors).items():
                weights.update(_adapted(ctx, path, leaves, tensors, Env(module)))
            if not ctx.errors:
                adapters.check_counts(ctx)
    except Rejected as rejected:
        ctx.report(rejected.diagnostic)
    if ctx.errors:
        raise Failure(ctx.errors)
    return Stored(ctx.graph, weights)


def _modules(keys: Mapping[str, TensorType]) -> dict[str, list[str]]:
    """The names of the tensors of each module."""
    found: dict[str, list[str]] = {}
    for key in keys:
        path, _, leaf = key.rpartition(".")
        found.setdefault(path, []).append(leaf)
    return found


def _adapted(
    ctx: Context, path: str, leaves: list[str], tensors: Mapping[str, TensorType], env: Env
) -> Mapping[str, Expr]:
    """The tensors of a module that attachments replace."""
    prefix = f"{path}." if path else ""
    with ctx.labelled(tuple(path.split(".")) if path else ()):
        for leaf in leaves:
            env.names[leaf] = _declared(ctx, prefix + leaf, tensors[prefix + leaf], env)
        env.names.setdefault("bias", None)
        adapters.use_on_layer(ctx, env, {leaf: leaf for leaf in (*leaves, "bias")})
    found = {leaf: value for leaf, value in env.names.items() if isinstance(value, Apply | Param)}
    return {
        prefix + leaf: value
        for leaf, value in found.items()
        if not (isinstance(value, Param) and value.path == prefix + leaf)
    }


def _declared(ctx: Context, key: str, type: TensorType, env: Env) -> Value:
    ctx.declare(
        Parameter(key, type, apply(Fill(type.concrete(), Fraction(0), type.dtype)), False, False, env.home.file.span)
    )
    return adapters.use_on_weight(ctx, Param(key, type), env)
