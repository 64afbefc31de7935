"""The names of a graph as the language has them: importers keep whatever the original calls things.

Inputs, outputs, free dimensions and the segments of paths are words there.  Keys of parameters stay what they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from repc.backends.spec.names import title, unused, variable
from repc.backends.spec.terms import LOOP
from repc.ir.dims import Dim, evaluate, symbol, symbols
from repc.ir.graph import Graph
from repc.ir.node import Node
from repc.ir.types import TensorType
from repc.ops import OPERATORS
from repc.ops.binary import BINARY
from repc.ops.constant import Input
from repc.ops.function import FUNCTIONS

WORDS = frozenset((*(operator.name for operator in OPERATORS), *FUNCTIONS, *BINARY, LOOP))
"""What functions are called, so that no size hides one."""


def legal(graph: Graph) -> Graph:
    """The same graph, without dead nodes, under names that a spec can say."""
    live = graph.copy()
    live.drop_dead()
    live.name = title(graph.name)
    return renamed(live, _words([*graph.inputs, *graph.outputs]))


def renamed(graph: Graph, ports: Mapping[str, str]) -> Graph:
    """The same graph with other names for its inputs and outputs; a free dimension gives way to them."""
    found = graph.copy()
    free = symbols(dim for id in found for dim in found[id].type.shape)
    sizes = _words(sorted(free), {*ports.values(), *WORDS})
    for id in list(found):
        found.replace(id, _node(found[id], sizes, ports))
    found.inputs = {ports[name]: id for name, id in graph.inputs.items()}
    found.outputs = {ports[name]: id for name, id in graph.outputs.items()}
    return found


def _words(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """A word for each name, different ones for different names."""
    found: dict[str, str] = {}
    for name in names:
        if name not in found:
            found[name] = unused(variable(name), {*taken, *found.values()})
    return found


def _node(node: Node, sizes: Mapping[str, str], ports: Mapping[str, str]) -> Node:
    path = ".".join(re.sub(r"\W", "_", part, flags=re.ASCII) for part in node.path.split(".") if part)
    type, op = node.type, node.op
    if any(old != new for old, new in sizes.items()):
        named: Any = {old: symbol(new) for old, new in sizes.items()}
        type, op = _sized(type, named), op.at(named)
    if isinstance(op, Input):
        op, path = Input(ports[op.port], type), ports[op.port]
    return replace(node, op=op, type=type, path=path)


def _sized(type: TensorType, sizes: Any) -> TensorType:
    return type.with_shape([cast("Dim", evaluate(dim, sizes)) for dim in type.shape])
