"""Inputs that are known when a network is compiled: what depends on them alone becomes a weight.

A bound input is the same for every element of a batch, so its batch axis has size 1 and broadcasts.  The result is a
network of the other inputs, which folds and proves like any other; it is exact for the bound value only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from repc.diagnostics import Diagnostic, Failure, Label, nearest
from repc.ir.expr import Apply, Expr
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId
from repc.ir.target import Bound
from repc.ir.types import ShapeError, TensorType
from repc.ops.constant import Constant


def bind(graph: Graph, values: Mapping[str, Bound]) -> Graph:
    """The network with these inputs pinned; for an input [b, n], an integer stands for its one-hot row.

    Raises `Failure` where there is no such input, a value does not fit it, or the network needs the batch axis of what
    a bound input gives.
    """
    wrong = [_unknown(name, list(graph.inputs)) for name in values if name not in graph.inputs]
    if wrong:
        raise Failure(wrong)
    pinned = graph.copy()
    known: dict[NodeId, Expr] = {}
    batch: dict[str, int] = {}
    for name, value in values.items():
        id = pinned.inputs.pop(name)
        known[id], free = _constant(name, pinned[id].type, value)
        batch |= dict.fromkeys(free, 1)
    for id in pinned.order():
        if id not in known and known.keys() & set(pinned[id].inputs):
            _specialise(pinned, id, known, batch)
    for name, id in pinned.outputs.items():
        if id in known:
            raise Failure(_constant_output(name))
    for id in reversed(pinned.order()):
        if id in known:
            pinned.remove(id)
    return pinned


def _specialise(graph: Graph, id: NodeId, known: dict[NodeId, Expr], batch: Mapping[str, int]) -> None:
    """Make a node that reads known values an expression, or else give it these as weights."""
    node = graph[id]
    given = node.operands()
    operands = {name: known.get(value, value) if isinstance(value, int) else value for name, value in given.items()}
    exprs = {name: value for name, value in operands.items() if not isinstance(value, int)}
    if len(exprs) == len(operands) and _sized(node, batch):
        op = node.op.at(batch)
        known[id] = Apply(op, exprs, op.infer({name: expr.type for name, expr in exprs.items()}))
        return
    types = {name: graph[value].type if isinstance(value, int) else value.type for name, value in operands.items()}
    try:
        fits = node.op.infer(types) == node.type
    except ShapeError:
        fits = False
    if not fits:
        raise Failure(_needs_batch(node))
    inputs = tuple(value for value in operands.values() if isinstance(value, int))
    graph.replace(id, replace(node, inputs=inputs, weights=exprs))


def _sized(node: Node, batch: Mapping[str, int]) -> bool:
    """Whether the result has a known size where the batch axis has size 1."""
    return all(isinstance(size, int) or size.symbols() <= batch.keys() for size in node.type.shape)


def _constant(name: str, type: TensorType, value: Bound) -> tuple[Expr, frozenset[str]]:
    """The value as a weight, and the free dimension of its batch axis."""
    free = type.shape[0].symbols() if type.rank and not isinstance(type.shape[0], int) else frozenset[str]()
    shape = tuple(1 if i == 0 and free else size for i, size in enumerate(type.shape))
    sizes = tuple(size for size in shape if isinstance(size, int))
    if len(sizes) < len(shape):
        raise Failure(_misfit(name, type, "has a size beside the batch that is free; pin it"))
    row = sizes[1:] if free else sizes
    if type.dtype != "f32":
        raise Failure(_misfit(name, type, "is not of a floating-point type"))
    if isinstance(value, int) and len(row) == 1 and 0 <= value < row[0]:
        value = tuple(int(i == value) for i in range(row[0]))
    numbers = _numbers(value, row)
    if numbers is None:
        wanted = "x".join(map(str, row)) if row else "one number"
        raise Failure(_misfit(name, type, f"takes {wanted}, the same for every element of a batch"))
    op = Constant(sizes, tuple(numbers))
    return Apply(op, {}, op.infer({})), frozenset(free)


def _numbers(value: Bound, shape: tuple[int, ...]) -> list[Fraction] | None:
    """The numbers in row-major order, or None where they are not of that shape."""
    if not shape:
        return None if isinstance(value, tuple) else [Fraction(value)]
    if not isinstance(value, tuple) or len(value) != shape[0]:
        return None
    rows = [_numbers(item, shape[1:]) for item in value]
    known = [row for row in rows if row is not None]
    return [number for row in known for number in row] if len(known) == len(rows) else None


def _unknown(name: str, known: list[str]) -> Diagnostic:
    """An input that the network does not have."""
    close = nearest(name, known)
    remedy = f"did you mean `{close}`?" if close else f"the inputs are {', '.join(known)}"
    return Diagnostic("E560", f"there is no input `{name}` to bind", help=remedy)


def _misfit(name: str, type: TensorType, reason: str) -> Diagnostic:
    """A value that an input cannot have."""
    return Diagnostic(
        "E561", f"input `{name}` of type {type} {reason}", help="give a list, such as --bind task=[0, 1, 0]"
    )


def _needs_batch(node: Node) -> Diagnostic:
    """An operator that cannot do with one value for all elements of a batch."""
    return Diagnostic(
        "E562",
        f"{node.path or node.op.title} needs the batch axis of what a bound input gives",
        Label(node.origin[-1], "reads it here") if node.origin else None,
        help="let the value broadcast, or leave the input free",
    )


def _constant_output(name: str) -> Diagnostic:
    """An output that depends on bound inputs only."""
    return Diagnostic("E563", f"output `{name}` depends on bound inputs only", help="leave one of its inputs free")
