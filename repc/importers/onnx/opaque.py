"""Nodes that repc has no meaning for: carried through as they are, with the graphs in their attributes."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from repc.diagnostics import Failure
from repc.importers.onnx import errors
from repc.importers.onnx.inference import Inference
from repc.importers.onnx.site import Site
from repc.importers.onnx.values import Misfit
from repc.ir.foreign import OnnxCall
from repc.ir.node import NodeId
from repc.ops.opaque import Opaque


def read_by(node: onnx.NodeProto) -> list[str]:
    """Every value that a node reads: its inputs, then what the graphs in its attributes read from outside."""
    return [*filter(None, node.input), *dict.fromkeys(_captured(node))]


def _captured(node: onnx.NodeProto) -> Iterator[str]:
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            own = {value.name for value in (*graph.input, *graph.initializer)}
            for inner in graph.node:
                yield from (name for name in read_by(inner) if name not in own)
                own.update(inner.output)
            yield from (value.name for value in graph.output if value.name and value.name not in own)


def carry(inference: Inference, site: Site) -> list[NodeId]:
    """The nodes of a call, one for each result that has a name.  Raises `Failure` E544 where a type is not known."""
    network, node = site.network, site.node
    names = read_by(node)
    try:
        operands = [network.tensor(name) for name in names]
    except Misfit as misfit:
        raise Failure(errors.no_type(node.op_type, str(misfit), site.place)) from misfit
    results = inference.types(node, names)
    unknown = [name for name, type in results.items() if type is None]
    if unknown:
        raise Failure([errors.no_type(name, f"it is a result of {node.op_type}", site.place) for name in unknown])
    types = tuple(type for type in results.values() if type is not None)
    dtypes = tuple(network.type(operand).dtype for operand in operands)
    domain = "" if node.domain == "ai.onnx" else node.domain
    call = OnnxCall(node.op_type, domain, site.opset, node.SerializeToString(), tuple(names), dtypes, types)
    given = {str(index): operand for index, operand in enumerate(operands)}
    return [network.node(Opaque(call, index), given, type, site.path, site.place) for index, type in enumerate(types)]
