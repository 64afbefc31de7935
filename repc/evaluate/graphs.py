"""The values of a graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from repc.diagnostics import Diagnostic, Failure
from repc.evaluate import errors
from repc.evaluate.expressions import Program
from repc.ir.dims import Dim, free_dimension, symbols
from repc.ir.dims import evaluate as size_at
from repc.ir.expr import Expr
from repc.ir.field import Field, T
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ir.types import ShapeError, TensorType
from repc.ops.opaque import Opaque


def sizes(graph: Graph, shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """The free dimensions, as the shapes of the runtime inputs bind them.

    Raises `Failure` where an input is missing or unknown, or does not have its declared type.
    """
    wrong = [errors.input_unknown(name, list(graph.inputs)) for name in shapes if name not in graph.inputs]
    wrong.extend(errors.input_missing(name, graph[id].type) for name, id in graph.inputs.items() if name not in shapes)
    if wrong:
        raise Failure(wrong)
    types = {name: graph[id].type for name, id in graph.inputs.items()}
    bound: dict[str, int] = {}
    for name, type in types.items():
        _bind(bound, type, shapes[name])
    misfits = [fault for name, type in types.items() for fault in _misfits(name, type, shapes[name], bound)]
    if misfits:
        raise Failure(misfits)
    return bound


def run(
    graph: Graph,
    field: Field[T],
    inputs: Mapping[str, T],
    parameters: Mapping[str, T],
    wanted: Iterable[NodeId] | None = None,
) -> dict[NodeId, T]:
    """The values of the wanted nodes (the outputs, if none are named), in evaluation mode.

    Only what they depend on is computed, and every other value is dropped after its last use.  Raises `Failure` where
    inputs or parameters are missing or do not fit, or where the inputs are too small for an operator.
    """
    bound = sizes(graph, {name: field.shape(value) for name, value in inputs.items()})
    given = {id: inputs[name] for name, id in graph.inputs.items()}
    keep = set(graph.outputs.values() if wanted is None else wanted)
    too_small = list(_size_misfits(graph, between(graph, keep, given), bound)) if bound else []
    if too_small:
        raise Failure(too_small)
    return compute(graph, field, given, parameters, keep, bound)


def compute(
    graph: Graph,
    field: Field[T],
    given: Mapping[NodeId, T],
    parameters: Mapping[str, T],
    wanted: Iterable[NodeId],
    bound: Mapping[str, int],
) -> dict[NodeId, T]:
    """The values of the wanted nodes from the given ones, the free dimensions being bound.

    Raises `Failure` where parameters are missing or do not fit.
    """
    keep = set(wanted)
    order = between(graph, keep, given)
    exprs = {(id, name): expr for id in order for name, expr in graph[id].weights.items()}
    weights = Program(exprs).run(field, parameters)
    uses = Counter(source for id in order for source in graph[id].inputs)
    values = {id: field.lift(value) for id, value in given.items() if id in uses or id in keep}
    known = dict(bound)
    for id, value in values.items():
        _bind(known, graph[id].type, field.shape(value))
    for id in order:
        node = graph[id]
        own = {name: next(weights)[1] for name in node.weights}
        operands = {
            name: values[source] if isinstance(source, int) else own.pop(name)
            for name, source in node.operands().items()
        }
        values[id] = node.op.at(known).apply(field, operands)
        del operands
        if isinstance(node.op, Opaque):
            _bind(known, node.type, field.shape(values[id]))
        for source in node.inputs:
            uses[source] -= 1
            if not uses[source] and source not in keep:
                del values[source]
    return {id: values[id] for id in keep}


def _size_misfits(graph: Graph, order: Sequence[NodeId], bound: Mapping[str, int]) -> Iterator[Diagnostic]:
    """The operators that do not accept their operands at these sizes.

    What reads a wrong value, or one of a size that is not known before it is there, is not asked.
    """
    wrong: set[NodeId] = set()

    def type_of(operand: NodeId | Expr) -> TensorType:
        type = graph[operand].type if isinstance(operand, int) else operand.type
        return type.with_shape([size_at(dim, bound) for dim in type.shape])

    for id in order:
        node = graph[id]
        if not wrong.isdisjoint(node.inputs) or isinstance(node.op, Opaque):
            wrong.add(id)
        elif node.inputs:
            try:
                node.op.at(bound).infer({name: type_of(operand) for name, operand in node.operands().items()})
            except ShapeError as fault:
                wrong.add(id)
                yield errors.size_misfit(node, bound, fault)


def _bind(bound: dict[str, int], type: TensorType, shape: Sequence[int]) -> None:
    """The free dimensions that a value gives: an input, or a result whose sizes nobody knows before it is there."""
    for dim, size in zip(type.shape, shape, strict=False):
        free = free_dimension(dim)
        if free is not None:
            bound.setdefault(free, size)


def between(graph: Graph, wanted: Iterable[NodeId], given: Container[NodeId]) -> list[NodeId]:
    """The nodes that compute the wanted values from the given ones, each after its operands."""
    order: dict[NodeId, None] = {}
    waiting = [(id, False) for id in sorted(wanted, reverse=True)]
    while waiting:
        id, ready = waiting.pop()
        if ready:
            order[id] = None
        elif id not in order and id not in given:
            waiting.append((id, True))
            waiting.extend((source, False) for source in reversed(graph[id].inputs))
    return list(order)


def _misfits(name: str, type: TensorType, shape: Sequence[int], bound: Mapping[str, int]) -> Iterator[Diagnostic]:
    if len(shape) != type.rank:
        yield errors.input_misfit(name, shape, type, f"it needs {type.rank} axes")
        return
    for axis, (dim, size) in enumerate(zip(type.shape, shape, strict=True)):
        reason = _misfit(dim, size, bound)
        if reason:
            yield errors.input_misfit(name, shape, type, f"axis {axis} {reason}")


def _misfit(dim: Dim, size: int, bound: Mapping[str, int]) -> str | None:
    unknown = symbols([dim]) - bound.keys()
    if unknown:
        return f"needs {min(unknown)}, which no input gives"
    wanted = size_at(dim, bound)
    if wanted == size:
        return None
    return f"is {size}, and {dim} is {wanted} here" if str(dim) != str(wanted) else f"is {size} instead of {wanted}"
