"""Graphs and weight expressions as text for people; the text is stable, so that tests can compare it."""

from __future__ import annotations

from collections import Counter

from repc.ir.expr import Apply, Expr, Param, walk
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId
from repc.ir.notation import Term, attributes

LONG = 60


def print_graph(graph: Graph) -> str:
    """A line for each node: number, operator, operands, attributes, type, path; long weights on lines of their own."""
    ports = ", ".join(f"{name}: {graph[id].type}" for name, id in graph.inputs.items())
    results = ", ".join(f"{name}: {graph[id].type} = %{id}" for name, id in graph.outputs.items())
    lines = [f"{graph.name}({ports}) -> {results}"]
    for id in graph.order():
        lines.extend(_node_lines(id, graph[id]))
    return "\n".join(lines)


def expression(expr: Expr) -> str:
    """A weight expression as mathematics; a long part that is used twice is written once, below, under a name."""
    order = list(walk([expr]))
    uses = Counter(arg for part in order if isinstance(part, Apply) for arg in part.args.values())
    terms: dict[Expr, Term] = {}
    named: list[str] = []
    for part in order:
        if isinstance(part, Param):
            terms[part] = Term(part.path)
            continue
        term = part.op.notation({name: terms[arg] for name, arg in part.args.items()})
        if uses[part] > 1 and len(term.text) > LONG:
            name = f"t{len(named) + 1}"
            named.append(f"{name} = {term.text}")
            term = Term(name)
        terms[part] = term
    return "\n  ".join([terms[expr].text + (" where" if named else ""), *named])


def _node_lines(id: NodeId, node: Node) -> list[str]:
    operands: list[str] = []
    below: list[str] = []
    for name, source in node.operands().items():
        if isinstance(source, int):
            operands.append(f"%{source}")
            continue
        text = expression(source)
        if len(text) > LONG:
            below.append(f"       {name} = " + text.replace("\n", "\n       "))
            operands.append(name)
        else:
            operands.append(f"{name}={text}")
    inside = ", ".join([*operands, *attributes(node.op, vars(node.op))])
    place = f"  # {node.path}" if node.path else ""
    return [f"  %{id} = {node.op.name}({inside}): {node.type}{place}", *below]
