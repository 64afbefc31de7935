"""Exported programs as imported networks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec, OutputKind, TensorArgument
from torch.utils import _pytree as pytree

from repc.diagnostics import Failure
from repc.importers import Imported
from repc.importers.torch import errors
from repc.importers.torch.export import BATCH
from repc.importers.torch.functional import Aliases, changed
from repc.importers.torch.known import Known
from repc.importers.torch.opaque import Argument
from repc.importers.torch.parameters import NAMES, aliases, compute_type, declare, element_types
from repc.importers.torch.places import module_classes, nowhere
from repc.importers.torch.site import Ref
from repc.importers.torch.sizes import Sizes, free_dimensions
from repc.importers.torch.translate import Translation
from repc.ir.check import check
from repc.ir.expr import Apply, Param, parameters
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId
from repc.ops import BatchNorm, Input, Sum
from repc.ops.opaque import opaque_names


class FreeResult(Exception):
    """A result that is a free size; the text says which."""


def translate(program: ExportedProgram, name: str, names: Sequence[Mapping[int, str]] = ()) -> Imported:
    """The graph of a program; `names` are those of the free sizes of each tensor among its inputs, by axis.

    Raises `Failure`, `Unrepresentable` for a size that repc has no formula for, and `FreeResult`.
    """
    _check_stateless(program)
    same = aliases(program.state_dict)
    tensors: dict[str, Tensor] = {**program.state_dict, **_constants(program)}
    compute = compute_type(tensors.values(), [port.meta["val"] for port in ports(program)])
    types = element_types(compute)
    graph, sizes = Graph(name), Sizes(free_dimensions(_free(program, names)))
    translation = Translation(graph, sizes, types, Known(tensors))
    given = _inputs(program, translation, tensors, same)
    results = translation.run(program.graph_module, given)
    if translation.problems:
        raise Failure(translation.problems)
    _add_outputs(graph, program, results)
    _remove_dead(graph)
    used = parameters(expr for id in graph for expr in graph[id].weights.values())
    constants = {path: tensor for path, tensor in translation.known.tensors.items() if path in used}
    own = {path: tensor for path, tensor in program.state_dict.items() if same[path] == path}
    values = {path: tensor.detach() for path, tensor in (own | constants).items()}
    declare(graph, {path: translation.type(tensor) for path, tensor in values.items()}, own, same)
    _add_counters(graph)
    check(graph)
    notes = tuple(_notes(graph, translation.unknown, NAMES[compute]))
    return Imported(graph, values, notes, _classes(program), frozenset(constants), NAMES[compute])


# ------------------------------------------------------------ inputs


def _placeholders(program: ExportedProgram) -> list[tuple[InputSpec, fx.Node]]:
    nodes = [node for node in program.graph.nodes if node.op == "placeholder"]
    return list(zip(program.graph_signature.input_specs, nodes, strict=True))


def ports(program: ExportedProgram) -> list[fx.Node]:
    """The tensors that a program takes as inputs."""
    return [node for spec, node in _placeholders(program) if _is_tensor(spec)]


def _free(program: ExportedProgram, names: Sequence[Mapping[int, str]]) -> Iterator[tuple[torch.SymInt, str]]:
    """The sizes of inputs that are free, each with its name."""
    for position, node in enumerate(ports(program)):
        named: Mapping[int, str] = names[position] if position < len(names) else {}
        for axis, size in enumerate(node.meta["val"].shape):
            if isinstance(size, torch.SymInt):
                yield size, named.get(axis) or (BATCH if axis == 0 else f"{node.name}_{axis}")


def _is_tensor(spec: InputSpec) -> bool:
    return spec.kind is InputKind.USER_INPUT and isinstance(spec.arg, TensorArgument)


def _inputs(
    program: ExportedProgram, translation: Translation, tensors: Mapping[str, Tensor], same: Mapping[str, str]
) -> list[Argument]:
    """What the program takes: its parameters, its constants, and its inputs, which become those of the graph."""
    graph, known = translation.graph, translation.known
    weights: dict[str, Param | Apply] = {}
    found: list[Argument] = []
    for spec, node in _placeholders(program):
        if _is_tensor(spec):
            type = translation.type(node.meta["val"])
            graph.inputs[node.name] = graph.add(Node(Input(node.name, type), (), {}, type, "", nowhere(node.name)))
            found.append(Ref(graph.inputs[node.name], type))
        elif spec.target is not None and spec.target in tensors:
            path = same.get(spec.target, spec.target)
            if path not in weights:
                type = translation.type(tensors[path])
                is_constant = path not in program.state_dict
                weights[path] = known.constant(path, tensors[path], type) if is_constant else Param(path, type)
            found.append(weights[path])
        else:
            found.append(getattr(spec.arg, "value", None))
    return found


def _constants(program: ExportedProgram) -> dict[str, Tensor]:
    """Tensors that the program takes and the state_dict does not hold."""
    found: dict[str, Any] = dict(program.constants)
    return {
        path: value for path, value in found.items() if isinstance(value, Tensor) and path not in program.state_dict
    }


def _check_stateless(program: ExportedProgram) -> None:
    """Raise `Failure` where the program writes to its buffers."""
    kept = (InputKind.PARAMETER, InputKind.BUFFER)
    held = {node: spec.target for spec, node in _placeholders(program) if spec.kind in kept}
    aliases = Aliases(program.graph)
    written = [
        str(held[node])
        for call in program.graph.nodes
        if (target := changed(call)) is not None
        for node in aliases.of(target)
        if node in held
    ]
    specs = program.graph_signature.output_specs
    written += [str(spec.target) for spec in specs if spec.kind is OutputKind.BUFFER_MUTATION]
    if written:
        raise Failure(errors.stateful(sorted(set(written))))


# ------------------------------------------------------------ outputs


def _add_outputs(graph: Graph, program: ExportedProgram, results: Sequence[Argument]) -> None:
    specs = [spec for spec in program.graph_signature.output_specs if spec.kind is OutputKind.USER_OUTPUT]
    own = results[len(results) - len(specs) :]
    for name, result in zip(output_names(program), own, strict=True):
        if isinstance(result, Ref):
            graph.outputs[name] = result.id
        elif isinstance(result, Param | Apply):
            graph.outputs[name] = _node(graph, result)
        elif not isinstance(result, bool | int | float | str | None):
            raise FreeResult(f"the output {name} is a size that is free, not a tensor")


def _node(graph: Graph, expr: Param | Apply) -> NodeId:
    """A weight that is a result."""
    return graph.add(Node(Sum((Fraction(1),)), (), {"0": expr}, expr.type, "", nowhere(graph.name)))


def output_names(program: ExportedProgram) -> list[str]:
    """What each result is called, tensor or not: by its keys in what the module returns."""
    spec = program.call_spec.out_spec
    assert spec is not None
    paths = [path for path, _ in pytree.tree_flatten_with_path(pytree.tree_unflatten(range(spec.num_leaves), spec))[0]]
    if len(paths) == 1:
        return ["output"]
    names = [re.sub(r"\W+", "_", pytree.keystr(path)).strip("_") for path in paths]
    named = [name if name and not name[0].isdigit() else f"output_{name}" for name in names]
    return [f"{name}_{i}" if named.count(name) > 1 else name for i, name in enumerate(named)]


# ------------------------------------------------------------ the rest


def _remove_dead(graph: Graph) -> None:
    """Remove what no output depends on."""
    needed = graph.upstream(graph.outputs.values()) | set(graph.inputs.values())
    for id in reversed(list(graph)):
        if id not in needed:
            graph.remove(id)


def _add_counters(graph: Graph) -> None:
    """Let batch norms hold their counters, which evaluation does not read; all calls of one norm the same."""
    counters: dict[str, Param] = {}
    for id in list(graph):
        node = graph[id]
        mean = node.weights.get("running_mean")
        if isinstance(node.op, BatchNorm) and isinstance(mean, Param):
            key = f"{mean.path.rpartition('.')[0]}.num_batches_tracked".removeprefix(".")
            if key in graph.parameters:
                counter = counters.setdefault(key, Param(key, graph.parameters[key].type))
                graph.replace(id, replace(node, weights={**node.weights, "num_batches_tracked": counter}))


def _classes(program: ExportedProgram) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in program.graph.nodes:
        found |= module_classes(node.meta)
    return found


def _notes(graph: Graph, reasons: Mapping[str, str], compute: str) -> Iterator[str]:
    """Which calls repc does not see into, which batch norms never fold, and what is computed more exactly."""
    for target, count in Counter(opaque_names(graph).values()).items():
        yield f"{target} stays as it is{f' ({count} times)' if count > 1 else ''}: {reasons[target]}"
    for id in graph.order():
        if isinstance(graph[id].op, BatchNorm) and "running_mean" not in graph[id].operands():
            yield f"{graph[id].path or 'a batch norm'} normalises by the statistics of each batch, and never folds"
    raised = sum(graph[id].type.dtype == "f64" for id in graph)
    if raised and compute != "f32":
        yield f"{raised} values of this {compute} network are in a wider type, and are computed in float64"
