"""Parameters that a target keeps: they stay stored as they are."""

from __future__ import annotations

from dataclasses import replace

from repc.ir.expr import Apply, Expr, Param, parameters
from repc.ir.node import Node, NodeId
from repc.ir.paths import pattern
from repc.ir.trace import Trace
from repc.passes.workspace import Workspace


def keep_parameters(work: Workspace, trace: Trace) -> None:
    """Compute what is made of a kept parameter when the network runs, such as a table of biases that is looked up."""
    kept = [pattern(text) for text in work.options.keep]
    made: dict[Expr, NodeId] = {}
    for id in work.graph.order():
        node = work.graph[id]
        unfolded = {
            operand: _node(work, expr, node, made)
            for operand, expr in node.weights.items()
            if isinstance(expr, Apply) and any(p.matches(path) for p in kept for path in parameters([expr]))
        }
        if unfolded:
            operands = {**node.operands(), **unfolded}
            inputs = tuple(value for value in operands.values() if isinstance(value, int))
            weights = {operand: expr for operand, expr in node.weights.items() if operand not in unfolded}
            work.replace(id, replace(node, inputs=inputs, weights=weights))


def _node(work: Workspace, expr: Apply, reader: Node, made: dict[Expr, NodeId]) -> NodeId:
    """The expression as nodes, at the place of the first that reads it; each shared part is one node."""
    if expr not in made:
        args = {name: _node(work, arg, reader, made) for name, arg in expr.args.items() if isinstance(arg, Apply)}
        weights = {name: arg for name, arg in expr.args.items() if isinstance(arg, Param)}
        node = Node(expr.op, tuple(args.values()), weights, expr.type, reader.path, reader.origin)
        made[expr] = work.add(node)
    return made[expr]
