"""One node for equal values: the same operator on the same operands, where no weights are involved."""

from __future__ import annotations

from dataclasses import replace

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
