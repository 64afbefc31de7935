"""One node for equal values, and one weight for those that are made alike."""

from __future__ import annotations

from dataclasses import replace

from repc.ir.expr import Apply, Expr, walk
from repc.ir.node import NodeId
from repc.ir.trace import Trace
from repc.passes.rule import origins
from repc.passes.workspace import Workspace


def share(work: Workspace, trace: Trace) -> None:
    """Let branches that reshape one value alike read one reshape, so that they are seen to have one source.

    Where weights are involved, equal values are left alone.
    """
    known: dict[object, NodeId] = {}
    for id in work.graph.order():
        node = work.graph[id]
        if node.weights or not node.inputs or work.kept(id) or work.graph.is_output(id):
            continue
        first = known.setdefault((node.op, node.inputs), id)
        if first != id:
            work.replace(first, replace(work.graph[first], origin=origins(work.graph, (first, id))))
            work.bypass(id, first)


def share_weights(work: Workspace, trace: Trace) -> None:
    """Let weights that are the same expression of the same parameters be one, so that they are stored once.

    So a norm that acts at several steps of time folds into several thresholds, which are equal.
    """
    known: dict[object, Expr] = {}
    first: dict[Expr, Expr] = {}
    for expr in walk(expr for id in work.graph.order() for expr in work.graph[id].weights.values()):
        first[expr] = expr
        if isinstance(expr, Apply):
            args = {name: first[arg] for name, arg in expr.args.items()}
            own = expr if args == expr.args else replace(expr, args=args)
            first[expr] = known.setdefault((expr.op, *args.items()), own)
    for id in work.graph.order():
        node = work.graph[id]
        weights = {operand: first[expr] for operand, expr in node.weights.items()}
        if weights != node.weights:
            work.replace(id, replace(node, weights=weights))
