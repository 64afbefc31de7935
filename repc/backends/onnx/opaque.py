"""Nodes of other models that repc does not know, as they were."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from repc.backends.onnx.emitter import Emitter, Value
from repc.backends.onnx.errors import not_onnx, other_opset
from repc.diagnostics import Failure
from repc.ir.foreign import OnnxCall
from repc.ir.graph import Graph
from repc.ops.opaque import Opaque


def opaque(e: Emitter, op: Opaque, given: Mapping[str, Value]) -> str:
    """The node with other names."""
    return e.carried(op.call, [value.name for value in given.values()])[op.result]


def check_calls(graph: Graph, opset: int) -> None:
    """Raise `Failure` with all opaque operators that this opset cannot express: E714 without any form, E715 changed."""
    opaque = {node.op.call: node for id in graph.order() if isinstance((node := graph[id]).op, Opaque)}
    foreign = [(call.target, node.path, node.origin) for call, node in opaque.items() if not isinstance(call, OnnxCall)]
    problems = [not_onnx(list(dict.fromkeys(foreign)))] if foreign else []
    opsets = {"": opset}
    for call, node in opaque.items():
        if isinstance(call, OnnxCall):
            written = opsets.setdefault(call.domain, call.opset)
            if written != call.opset and _version(call, written) != _version(call, call.opset):
                problems.append(other_opset(call.target, call.opset, written, node.origin))
    if problems:
        raise Failure(problems)


def _version(call: OnnxCall, opset: int) -> int:
    """The opset that defines the operator; its own one where only its library knows."""
    try:
        return onnx.defs.get_schema(call.op_type, opset, call.domain).since_version
    except onnx.defs.SchemaError:
        return opset
