"""One of a kind: one node for equal values where no weights are involved, and one expression for equal weights."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from repc.ir.expr import Expr, Param, walk
from repc.ir.node import NodeId
from repc.ir.trace import Trace
from repc.passes.rule import origins
from repc.passes.workspace import Workspace


def share(work: Workspace, trace: Trace) -> None:
    """Let branches that reshape one value alike read one reshape, so that they are seen to have one source."""
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
    """Let layers that are called twice store once what they fold into: the same operators on the same parameters.

    Constants stay apart, since layers that happen to begin alike are different ones.
    """
    graph = work.graph
    numbers: dict[Expr, int] = {}
    known: dict[Hashable, int] = {}
    learnt: set[int] = set()
    for expr in walk(expr for id in graph.order() for expr in graph[id].weights.values()):
        args = () if isinstance(expr, Param) else tuple((name, numbers[arg]) for name, arg in expr.args.items())
        key = expr.path if isinstance(expr, Param) else (expr.op, args)
        number = numbers[expr] = known.setdefault(key, len(known))
        if isinstance(expr, Param) or any(part in learnt for _, part in args):
            learnt.add(number)
    first: dict[int, Expr] = {}
    for id in graph.order():
        node = graph[id]
        own = {name: (numbers[expr], expr) for name, expr in node.weights.items()}
        weights = {name: first.setdefault(n, expr) if n in learnt else expr for name, (n, expr) in own.items()}
        if any(weights[name] is not expr for name, expr in node.weights.items()):
            graph.replace(id, replace(node, weights=weights))
