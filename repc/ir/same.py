"""Whether two graphs are the same network, whatever the numbers of their nodes."""

from __future__ import annotations

from repc.ir.expr import Apply, Expr, Param
from repc.ir.foreign import Call, OnnxCall, TorchCall
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ir.operator import Operator


def difference(one: Graph, other: Graph) -> str | None:
    """The first way in which two graphs differ, None where they are the same network.

    Compared are inputs and outputs by name, operators with attributes, operands, types, paths and what an operator is
    called, what is computed once and used twice, and the parameters with their keys and types.  Not compared are
    initial values, which weights are frozen, the order of parameters, and nodes that no output depends on.
    """
    if list(one.inputs) != list(other.inputs) or list(one.outputs) != list(other.outputs):
        return f"{one.name} has {_ports(one)}, {other.name} has {_ports(other)}"
    if one.parameters.keys() != other.parameters.keys():
        path = min(one.parameters.keys() ^ other.parameters.keys())
        return f"only {one.name if path in one.parameters else other.name} has the parameter {path}"
    for path, parameter in one.parameters.items():
        twin = other.parameters[path]
        facts = [(p.type, p.buffer, sorted(p.aliases)) for p in (parameter, twin)]
        if facts[0] != facts[1]:
            return f"the parameter {path} is {facts[0]} and {facts[1]}"
    return _Walk(one, other).difference()


def _ports(graph: Graph) -> str:
    return f"{', '.join(graph.inputs)} -> {', '.join(graph.outputs)}"


class _Walk:
    """Both graphs at once, from the outputs; what was found to be the same is remembered in both directions."""

    def __init__(self, one: Graph, other: Graph) -> None:
        self.one, self.other = one, other
        self.twin: dict[NodeId | Apply, NodeId | Apply] = {}
        self.of: dict[NodeId | Apply, NodeId | Apply] = {}
        self.calls: dict[Call, Call] = {}
        self.callers: dict[Call, Call] = {}

    def difference(self) -> str | None:
        pairs = [*zip(self.one.inputs.values(), self.other.inputs.values(), strict=True)]
        pairs += zip(self.one.outputs.values(), self.other.outputs.values(), strict=True)
        waiting: list[tuple[NodeId | Expr, NodeId | Expr, str]] = [(a, b, "a port") for a, b in pairs]
        while waiting:
            a, b, where = waiting.pop()
            if isinstance(a, Param) or isinstance(b, Param):
                if not (isinstance(a, Param) and isinstance(b, Param) and a.path == b.path):
                    return f"{where}: {self._say(a, self.one)} and {self._say(b, self.other)}"
                continue
            if (a in self.twin or b in self.of) and not (_is_constant(a) and _is_constant(b)):
                if self.twin.get(a) != b:
                    return f"{where}: {self._say(a, self.one)} is read in one place of one and two of the other"
                continue
            self.twin[a], self.of[b] = b, a
            fault = self._fault(a, b)
            if fault is not None:
                return f"{where}: {fault}"
            waiting.extend(self._operands(a, b))
        return None

    def _fault(self, a: NodeId | Apply, b: NodeId | Apply) -> str | None:
        x = self.one[a] if isinstance(a, int) else a
        y = self.other[b] if isinstance(b, int) else b
        if isinstance(a, int) is not isinstance(b, int) or not self._alike(x.op, y.op) or x.type != y.type:
            return f"{self._say(a, self.one)} and {self._say(b, self.other)}"
        if isinstance(a, int) and isinstance(b, int):
            x, y = self.one[a], self.other[b]
            if (x.path, x.named) != (y.path, y.named) and a not in self.one.inputs.values():
                return f"{self._say(a, self.one)} is at {x.path!r} and {y.path!r}"
            if list(x.operands()) != list(y.operands()):
                return f"{self._say(a, self.one)} has {list(x.operands())} and {list(y.operands())}"
        return None

    def _alike(self, a: Operator, b: Operator) -> bool:
        """Whether two operators are equal; calls that repc does not know, if each is one call in both graphs."""
        return type(a) is type(b) and all(
            self._same_call(x, y) if isinstance(x, TorchCall | OnnxCall) else x == y
            for x, y in zip(vars(a).values(), vars(b).values(), strict=True)
        )

    def _same_call(self, a: Call, b: object) -> bool:
        if not isinstance(b, TorchCall | OnnxCall):
            return False
        twins = self.calls.setdefault(a, b) is b and self.callers.setdefault(b, a) is a
        return twins and (a.target, a.key, a.operands, a.types) == (b.target, b.key, b.operands, b.types)

    def _operands(self, a: NodeId | Apply, b: NodeId | Apply) -> list[tuple[NodeId | Expr, NodeId | Expr, str]]:
        where = self._say(a, self.one)
        mine = a.args if isinstance(a, Apply) else self.one[a].operands()
        theirs = b.args if isinstance(b, Apply) else self.other[b].operands()
        return [(mine[name], theirs[name], where) for name in mine]

    def _say(self, value: NodeId | Expr, graph: Graph) -> str:
        if isinstance(value, Param):
            return f"parameter {value.path}"
        if isinstance(value, int):
            node = graph[value]
            return f"{node.op} at {node.path!r}: {node.type}"
        return f"{value.op}: {value.type}"


def _is_constant(value: NodeId | Expr) -> bool:
    """Whether it is computed from nothing: such a thing may be written as often as it is read, unless it is random."""
    opaque = isinstance(value, Apply) and any(isinstance(x, TorchCall | OnnxCall) for x in vars(value.op).values())
    return isinstance(value, Apply) and not value.args and not opaque
