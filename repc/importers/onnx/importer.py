"""The walk over the nodes of a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import onnx

from repc.diagnostics import Diagnostic, Failure
from repc.importers import Imported
from repc.importers.onnx import errors
from repc.importers.onnx.elements import Types, compute_type, contradicts, elements
from repc.importers.onnx.inference import Inference
from repc.importers.onnx.known import known, shape_of, size_of
from repc.importers.onnx.network import Network
from repc.importers.onnx.opaque import carry, read_by
from repc.importers.onnx.places import listing, path_of
from repc.importers.onnx.site import Site
from repc.importers.onnx.table import MEANINGS
from repc.importers.onnx.values import Known, Misfit, Operand, Value
from repc.ir.dims import Dim, Polynomial
from repc.ir.expr import Apply, Param
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ir.types import ShapeError, TensorType
from repc.ops.opaque import opaque_calls

SHAPES = {"Shape": shape_of, "Size": size_of}


def imported(model: onnx.ModelProto, name: str, sizes: Mapping[str, int]) -> Imported:
    """The graph of a checked model without functions; `name` is that of the file.  Raises `Failure`: E544, E545."""
    return _Importer(model, name, sizes).run()


class _Importer:
    """One run over a file."""

    def __init__(self, model: onnx.ModelProto, name: str, sizes: Mapping[str, int]) -> None:
        self._graph = model.graph
        source, self._places = listing(name, model.graph.node)
        self._network = Network(model.graph.name or "model", Types(compute_type(elements(model.graph))), source)
        self._inference = Inference(model, self._network)
        self._sizes = sizes
        self._read = {name for node in model.graph.node for name in read_by(node)}
        self._read.update(output.name for output in model.graph.output)
        self._opaque: dict[str, list[NodeId]] = {}
        self._reasons: dict[NodeId, tuple[str, str]] = {}

    def run(self) -> Imported:
        network = self._network
        for tensor in self._graph.initializer:
            network.store(tensor, tensor.name)
        self._inputs()
        for node, place in zip(self._graph.node, self._places, strict=True):
            site = Site(network, node, self._inference.version(node), self._path(node), place)
            for name, value in zip(self._named(node), self._results(site), strict=False):
                network[name] = value
        for output in self._graph.output:
            network.output(output.name)
        graph = network.finish()
        return Imported(
            graph,
            network.tensors,
            tuple(self._notes(graph)),
            constants=frozenset(network.constants & network.tensors.keys()),
            dtype=network.types.dtype,
            opset=self._inference.opsets[""],
        )

    def _inputs(self) -> None:
        """The runtime inputs; what has an initializer too is a weight: before IR version 4 all were listed there."""
        problems: list[Diagnostic] = []
        types: dict[str, TensorType] = {}
        for value in self._graph.input:
            if value.name not in self._network:
                type = self._network.types.read(value.type, value.name)
                if type is None:
                    reason = "the file states no shape of this input, or elements that repc does not have"
                    problems.append(errors.no_type(value.name, reason, None))
                else:
                    types[value.name] = type
        free = sorted({str(size) for type in types.values() for size in type.shape if isinstance(size, Polynomial)})
        problems += [errors.unknown_size(name, free) for name in self._sizes if name not in free]
        if problems:
            raise Failure(problems)
        for name, type in types.items():
            self._network.input(name, type.with_shape([self._pinned(size) for size in type.shape]))

    def _pinned(self, size: Dim) -> Dim:
        return self._sizes.get(str(size), size)

    def _path(self, node: onnx.NodeProto) -> str:
        return path_of(node, [name for name in node.input if self._network.is_stored(name)])

    def _notes(self, graph: Graph) -> Iterator[str]:
        """A sentence for each reason why nodes that are left are opaque."""
        counted = Counter(self._reasons[ids[0]] for ids in opaque_calls(graph))
        for (operator, reason), count in counted.items():
            yield f"{count} {operator} stay{'s' * (count == 1)} opaque: {reason}"

    # ------------------------------------------------------------ nodes

    def _results(self, site: Site) -> Sequence[Value]:
        """What a node gives for each of its outputs that has a name."""
        try:
            if site.node.domain not in ("", "ai.onnx"):
                raise Misfit(f"repc does not have the operators of {site.node.domain}")
            if site.node.op_type == "Constant":
                return [self._constant(site)]
            return self._known(site) or self._meaning(site)
        except Misfit as misfit:
            return self._carried(site, str(misfit))
        except ShapeError as error:
            return self._carried(site, error.reason)
        except OverflowError as error:
            return self._carried(site, str(error))

    def _constant(self, site: Site) -> Value:
        """The tensor of a Constant node, under the name of its output."""
        (output,) = site.node.output
        self._network.store(site.tensor(), output, constant=True)
        return self._network[output]

    def _known(self, site: Site) -> list[Known]:
        """Results that are known while reading; what needs one at run time all the same takes the node as it is."""
        if site.node.op_type in SHAPES:
            found = [SHAPES[site.node.op_type](site)]
        else:
            given = [self._network[name] if name else None for name in site.node.input]
            values = [value for value in given if value is None or isinstance(value, Known)]
            found = known(site, values) if len(values) == len(given) else []
        return [replace(value, computed=partial(self._result, site, index)) for index, value in enumerate(found)]

    def _result(self, site: Site, index: int) -> Operand:
        return self._carried(site, "what it computes is needed at run time")[index]

    def _meaning(self, site: Site) -> Sequence[Operand | tuple[Operand, ...]]:
        """What the table says, unless ONNX's own inference contradicts it."""
        meaning = MEANINGS.get(site.node.op_type)
        if meaning is None:
            raise Misfit("repc does not have this operator")
        found = meaning(site)
        results = [found] if isinstance(found, NodeId | Param | Apply) else list(found)
        if any(name in self._read for name in site.node.output[len(results) :]):
            raise Misfit("more than its first result is read")
        types = self._inference.types(site.node, read_by(site.node)).values()
        for result, theirs in zip(results, types, strict=False):
            if theirs is None or isinstance(result, tuple):
                continue
            ours = self._network.type(result)
            if contradicts(ours, theirs):
                raise Misfit(f"its result would be {ours} in repc, and is {theirs} in ONNX")
        return results

    def _carried(self, site: Site, why: str) -> list[NodeId]:
        """The node as it is, which is made once; its results are those that have names."""
        (first, *_) = self._named(site.node)
        if first not in self._opaque:
            self._opaque[first] = carry(self._inference, site)
            self._reasons |= dict.fromkeys(self._opaque[first], (site.node.op_type, why))
        return self._opaque[first]

    @staticmethod
    def _named(node: onnx.NodeProto) -> list[str]:
        return [name for name in node.output if name]
