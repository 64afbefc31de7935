"""What a graph becomes in torch: which tensors are stored where, and which layers hold them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from repc.backends.torch.errors import onnx_only
from repc.backends.torch.layers import layer_of
from repc.backends.torch.tree import Branch, Stored, tree
from repc.diagnostics import Failure
from repc.ir.expr import Apply, Param, walk
from repc.ir.foreign import OnnxCall
from repc.ir.graph import Graph
from repc.ir.node import NodeId, Parameter
from repc.ir.storage import storage
from repc.ir.types import TensorType
from repc.ops.arithmetic import Detach
from repc.ops.function import Dropout
from repc.ops.opaque import Opaque, opaque_calls

# A value: of a node, of a weight expression, or a stored tensor by its name.
Key: TypeAlias = NodeId | Apply | str

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # what the classes of torch.nn keep as buffers


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """`root` is the tree of modules; `weights` says for each weight operand the stored name or expression to read.

    `order` lists the nodes that the outputs need, operands first.  `layers` gives, for the nodes that call a layer of
    `torch.nn`, the path of that layer; `calls`, for the nodes of opaque calls, all nodes of the same call by the
    number of their result, which run as one step.
    """

    graph: Graph
    root: Branch
    stored: Mapping[str, Stored]
    weights: Mapping[tuple[NodeId, str], Apply | str]
    order: tuple[NodeId, ...]
    layers: Mapping[NodeId, str]
    calls: Mapping[NodeId, Mapping[int, NodeId]]

    def first(self, id: NodeId) -> NodeId:
        """The node whose step computes a node's value."""
        return next(iter(self.calls[id].values())) if id in self.calls else id

    def operands(self, id: NodeId) -> dict[str, Key]:
        """What a node reads, by operand."""
        return {
            name: source if isinstance(source, int) else self.weights[id, name]
            for name, source in self.graph[id].operands().items()
        }

    def type_of(self, key: Key) -> TensorType:
        if isinstance(key, str):
            return self.stored[key].type
        return key.type if isinstance(key, Apply) else self.graph[key].type


def training_plan(graph: Graph) -> Plan:
    """Every parameter stands for itself; weights that are expressions are computed in the forward pass."""
    stored = [tensor for parameter in graph.parameters.values() for tensor in _keys(parameter)]
    weights = {
        (id, operand): expr.path if isinstance(expr, Param) else expr
        for id in graph.order()
        for operand, expr in graph[id].weights.items()
    }
    return _plan(graph, stored, weights)


def inference_plan(graph: Graph) -> Plan:
    """Every weight operand is one stored tensor."""
    graph = _without_identities(graph)
    named = storage(graph)
    stored = [_constant(graph.parameters.get(name), name, expr.type) for name, expr in named.tensors.items()]
    return _plan(graph, stored, {**named.names, **named.numbers})


def _without_identities(graph: Graph) -> Graph:
    """In evaluation, what only matters in training is no step at all."""
    idle = [id for id in graph.order() if isinstance(graph[id].op, Dropout | Detach) and graph[id].inputs]
    graph = graph.copy() if idle else graph
    for id in idle:
        graph.redirect(id, graph[id].inputs[0])
    return graph


def _plan(graph: Graph, stored: Sequence[Stored], weights: Mapping[tuple[NodeId, str], Apply | str]) -> Plan:
    needed = graph.upstream(graph.outputs.values())
    order = tuple(id for id in graph.order() if id in needed)
    _check_calls(graph, weights)
    made = [{number: id for number, id in nodes.items() if id in needed} for nodes in opaque_calls(graph)]
    calls = {id: nodes for nodes in made for id in nodes.values()}
    plan = Plan(graph, tree(stored), {tensor.name: tensor for tensor in stored}, weights, order, {}, calls)
    return replace(plan, layers=_place_layers(plan))


def _check_calls(graph: Graph, weights: Mapping[tuple[NodeId, str], Apply | str]) -> None:
    """Opaque calls must be torch's own; all others are named at once."""
    used = [(id, graph[id].op) for id in graph.order()]
    for (id, _), weight in weights.items():
        used += [
            (id, part.op) for part in walk([weight] if isinstance(weight, Apply) else []) if isinstance(part, Apply)
        ]
    wrong = [
        (op.call.target, graph[id].path, next(iter(graph[id].origin), None))
        for id, op in used
        if isinstance(op, Opaque) and isinstance(op.call, OnnxCall)
    ]
    if wrong:
        raise Failure(onnx_only(list(dict.fromkeys(wrong))))


def _place_layers(plan: Plan) -> dict[NodeId, str]:
    """Give branches their layers. Each goes to the first node that can use it; others read its tensors."""
    layers: dict[NodeId, str] = {}
    for id in plan.order:
        node = plan.graph[id]
        branch = _sole_branch(plan, id)
        if branch is not None and branch.layer is None:
            types = {name: plan.type_of(key) for name, key in plan.operands(id).items()}
            branch.layer = layer_of(node.op, types)
            if branch.layer:
                layers[id] = branch.path
    return layers


def _sole_branch(plan: Plan, id: NodeId) -> Branch | None:
    """The branch below the root that holds exactly the weights of a node, each under the name of its operand."""
    names = {operand: plan.weights[id, operand] for operand in plan.graph[id].weights}
    paths = {name.rpartition(".")[0] if isinstance(name, str) else "" for name in names.values()}
    path = paths.pop() if len(paths) == 1 else ""
    branch = plan.root.find(path) if path else None
    if branch is None or branch.children or set(branch.tensors) != set(names):
        return None
    fits = all(
        name == f"{path}.{operand}" and branch.tensors[operand].buffer == (operand in _STATISTICS)
        for operand, name in names.items()
    )
    return branch if fits else None


def _keys(parameter: Parameter) -> Iterator[Stored]:
    path, type = parameter.path, parameter.type
    yield Stored(path, type, parameter.buffer, parameter.trainable, parameter.span)
    for alias in parameter.aliases:
        yield Stored(alias, type, parameter.buffer, parameter.trainable, parameter.span, tied=path)


def _constant(declared: Parameter | None, name: str, type: TensorType) -> Stored:
    statistic = name.rpartition(".")[2] in _STATISTICS
    buffer = declared.buffer if declared else statistic or type.dtype in ("i64", "bool")
    return Stored(name, type, buffer, trainable=False, span=declared.span if declared else None)
