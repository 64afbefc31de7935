"""More channels between two operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from repc.ir.expr import Expr, Param, apply, parameters
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId
from repc.ops import build
from repc.ops.arithmetic import Affine
from repc.ops.constant import Constant
from repc.ops.conv import Conv, ConvTranspose
from repc.ops.function import Dropout, Function
from repc.ops.norm import BatchNorm
from repc.ops.pool import AdaptiveAvgPool, AvgPool, MaxPool
from repc.passes.expand.growth import Growth, Unfit
from repc.passes.views import LinearView, linear_view

CHANNELWISE = (Function, Dropout, MaxPool, AvgPool, AdaptiveAvgPool)


@dataclass(eq=False)
class _Reach:
    """What a wider value passes through, in the order of the data, and the linear operators that it ends in."""

    between: list[NodeId] = field(default_factory=list[NodeId])
    ends: list[NodeId] = field(default_factory=list[NodeId])


def widen(growth: Growth, id: NodeId, channels: int) -> Unfit | None:
    """Let a linear operator make so many channels, the further ones copies of its own.

    Whatever reads them shares its weight between the copies, unequally, so that their gradients differ from the first
    step on (Net2WiderNet: Chen et al. 2016, arXiv:1511.05641, section 2.2, which adds noise instead).
    """
    graph, site = growth.graph, linear_view(growth.graph, id)
    assert site is not None, f"node {id} is no linear operator"
    if site.groups != 1 or channels <= site.out_channels:
        reason = f"it has {site.out_channels} channels in {site.groups} groups"
        return Unfit(reason, "give an operator without groups, and more channels than it has")
    reach = _reach(graph, id, site)
    unfit = reach if isinstance(reach, Unfit) else _stored(graph, [id, *reach.between, *reach.ends])
    if unfit is not None or isinstance(reach, Unfit):
        return unfit
    places = [i % site.out_channels for i in range(channels)]
    known = {id: _rewritten(growth, id, graph[id].inputs, places)}
    for middle in reach.between:
        known[middle] = _rewritten(growth, middle, tuple(known[x] for x in graph[middle].inputs), places)
    for end in reach.ends:
        _share(growth, end, known, places)
    graph.drop_dead()
    return None


def _reach(graph: Graph, id: NodeId, site: LinearView) -> _Reach | Unfit:
    reach, waiting = _Reach(), [id]
    while waiting:
        value = waiting.pop()
        if graph.is_output(value):
            return Unfit("its channels are an output of the network", "widen an operator inside")
        for user in dict.fromkeys(graph.users(value)):
            view = linear_view(graph, user)
            if _keeps_apart(graph, user, site):
                reach.between.append(user)
                waiting.append(user)
            elif view is not None and view.groups == 1 and view.channel_axis == site.channel_axis:
                reach.ends.append(user)
            else:
                name = graph[user].path or graph[user].op.title
                reason = f"{name} ({graph[user].op.title}) reads its channels, and not each by itself"
                return Unfit(reason, "widen an operator that only convolutions, linear layers and activations read")
    order = {other: place for place, other in enumerate(graph.order())}
    reach.between.sort(key=order.__getitem__)
    return reach


def _keeps_apart(graph: Graph, id: NodeId, site: LinearView) -> bool:
    """Whether an operator makes each channel of the same one, with weights for each."""
    node, axis = graph[id], site.channel_axis
    if len(node.inputs) != 1:
        return False
    match node.op:
        case BatchNorm():
            return axis == 1
        case Affine(axis=own):
            return axis == own
        case Conv(groups=groups):
            return groups == site.out_channels == node.type.shape[1] and node.weights["weight"].type.shape[1] == 1
        case op:
            return isinstance(op, CHANNELWISE)


def _stored(graph: Graph, ids: Sequence[NodeId]) -> Unfit | None:
    """Each weight has to be a tensor of its own."""
    readers = Counter(path for id in graph for path in parameters(graph[id].weights.values()))
    for id in ids:
        for expr in graph[id].weights.values():
            if not isinstance(expr, Param) or readers[expr.path] > 1:
                return Unfit(f"a weight of {graph[id].path} is computed or tied", "expand it before, or another one")
    return None


def _rewritten(growth: Growth, id: NodeId, inputs: tuple[NodeId, ...], places: Sequence[int]) -> NodeId:
    """A copy of a node that makes these channels; as it makes another value, it is a node of its own."""
    graph, node = growth.graph, growth.graph[id]
    axis = int(isinstance(node.op, ConvTranspose))
    weights: dict[str, Expr] = {}
    for name, expr in node.weights.items():
        assert isinstance(expr, Param)
        rows = build.pick(expr, axis if name == "weight" else 0, places)
        weights[name] = growth.make(expr.path, rows, node.origin[0])
    op = node.op
    if isinstance(op, Conv) and op.groups > 1:
        op = replace(op, groups=len(places))
    return graph.add(_typed(graph, replace(node, op=op, inputs=inputs, weights=weights)))


def _share(growth: Growth, id: NodeId, known: dict[NodeId, NodeId], places: Sequence[int]) -> None:
    """Let an operator read the wider value, each copy of a channel with its share of the weight."""
    graph, node = growth.graph, growth.graph[id]
    (operand,) = (name for name in node.weights if name in ("weight", "b"))
    stored = node.weights[operand]
    assert isinstance(stored, Param)
    axis = 0 if isinstance(node.op, ConvTranspose) or operand == "b" else 1
    shares = build.along(apply(Constant((len(places),), _shares(places))), axis, stored.type.rank)
    columns = build.mul(build.pick(stored, axis, places), shares)
    weights = {**node.weights, operand: growth.make(stored.path, columns, node.origin[0])}
    inputs = tuple(known.get(x, x) for x in node.inputs)
    graph.replace(id, replace(node, inputs=inputs, weights=weights))


def _shares(places: Sequence[int]) -> tuple[Fraction, ...]:
    """The share of each copy of a channel: 1, 2, 3… parts of all."""
    count, seen, found = Counter(places), Counter[int](), list[Fraction]()
    for place in places:
        seen[place] += 1
        found.append(Fraction(2 * seen[place], count[place] * (count[place] + 1)))
    return tuple(found)


def _typed(graph: Graph, node: Node) -> Node:
    operands = {name: graph[x].type if isinstance(x, int) else x.type for name, x in node.operands().items()}
    return replace(node, type=node.op.infer(operands))
