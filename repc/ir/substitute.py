"""Graphs with other weights: expressions in the place of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from repc.ir.expr import Expr, Param, walk
from repc.ir.graph import Graph


def substituted(roots: Iterable[Expr], values: Mapping[str, Expr]) -> dict[Expr, Expr]:
    """What every part of the expressions becomes where parameters, by path, become other expressions, all at once."""
    made: dict[Expr, Expr] = {}
    for expr in walk(roots):
        if isinstance(expr, Param):
            made[expr] = values.get(expr.path, expr)
        else:
            args = {name: made[arg] for name, arg in expr.args.items()}
            same = all(made[arg] is arg for arg in expr.args.values())
            made[expr] = expr if same else replace(expr, args=args)
    return made


def with_weights(graph: Graph, values: Mapping[str, Expr]) -> Graph:
    """The graph with expressions in the place of parameters; its list of parameters stays."""
    changed = graph.copy()
    made = substituted((expr for id in graph for expr in graph[id].weights.values()), values)
    for id in graph:
        weights = {name: made[expr] for name, expr in graph[id].weights.items()}
        changed.replace(id, replace(graph[id], weights=weights))
    return changed
