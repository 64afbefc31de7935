"""Nodes of other models that repc does not know, as they were."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import onnx

from repc.backends.onnx.emitter import Emitter, Value
from repc.backends.onnx.errors import not_onnx, other_opset
from repc.ir.foreign import OnnxCall, TorchCall
from repc.ir.graph import Graph
from repc.ops.opaque import Opaque


def opaque(e: Emitter, op: Opaque, given: Mapping[str, Value]) -> str:
    """The node with other names; what an opset has changed about it is refused."""
    call = op.call if isinstance(op.call, OnnxCall) else stand_in(op.call)
    opset = e.opsets.get(call.domain, call.opset)
    if opset != call.opset and _version(call, opset) != _version(call, call.opset):
        raise other_opset(call.target, call.opset, opset, e.origin)
    return e.carried(call, [value.name for value in given.values()])[op.result]


@lru_cache
def stand_in(call: TorchCall) -> OnnxCall:
    """A node of that name, for who only wants to know which operators there are; `check_calls` refuses to write it."""
    names = tuple(f"operand{i}" for i in range(len(call.operands)))
    node = onnx.helper.make_node(call.title, names, [f"result{i}" for i in range(len(call.types))], domain="torch")
    return OnnxCall(call.title, "torch", 1, node.SerializeToString(), names, call.operands, call.types)


def check_calls(graph: Graph) -> None:
    """Raise E714 with all opaque operators that ONNX cannot express."""
    wrong = [
        (node.op.call.target, node.path, node.origin)
        for node in map(graph.__getitem__, graph.order())
        if isinstance(node.op, Opaque) and not isinstance(node.op.call, OnnxCall)
    ]
    if wrong:
        raise not_onnx(list(dict.fromkeys(wrong)))


def _version(call: OnnxCall, opset: int) -> int:
    """The opset that defines the operator; its own one where only its library knows."""
    try:
        return onnx.defs.get_schema(call.op_type, opset, call.domain).since_version
    except onnx.defs.SchemaError:
        return opset
