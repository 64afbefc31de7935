"""What lowerings write to: ONNX nodes and constants, with names, element types and sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import onnx
from onnx import helper, numpy_helper

from repc.backends.onnx.errors import unknown_size
from repc.diagnostics import Span
from repc.ir.dims import Dim, Floor, Polynomial, Shape, Symbol, free_dimension, symbol
from repc.ir.foreign import Call, OnnxCall
from repc.ir.types import TensorType

ELEMENTS = {
    "f16": onnx.TensorProto.FLOAT16,
    "bf16": onnx.TensorProto.BFLOAT16,
    "f32": onnx.TensorProto.FLOAT,
    "f64": onnx.TensorProto.DOUBLE,
    "i64": onnx.TensorProto.INT64,
    "bool": onnx.TensorProto.BOOL,
    "i8": onnx.TensorProto.INT8,
    "i16": onnx.TensorProto.INT16,
    "i32": onnx.TensorProto.INT32,
    "u8": onnx.TensorProto.UINT8,
    "c64": onnx.TensorProto.COMPLEX64,
}
GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
Attribute = int | float | str | Sequence[int]


@dataclass(frozen=True, slots=True)
class Value:
    """An operand: an ONNX value by name, and its type."""

    name: str
    type: TensorType


class Names:
    """Names that occur once.  Integer-like ones are never made up: tools have taken them for indices."""

    def __init__(self, reserved: Iterable[str]) -> None:
        self._taken = set(reserved)

    def take(self, wanted: str, *, given: bool = False) -> str:
        """A name that nothing has yet; `given` is one that someone else chose."""
        name = base = wanted if given or not wanted.isdigit() else f"value_{wanted}"
        count = 0
        while name in self._taken:
            count += 1
            name = f"{base}.{count}"
        self._taken.add(name)
        return name


class Emitter:
    """The model under construction.

    Between `enter` and `leave` everything belongs to one node of the graph: its names begin with that node's name, and
    its documentation is the node's place in the spec.
    """

    def __init__(self, opset: int, dtype: str, names: Names) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._dtype = dtype
        self._names = names
        self._site = ""
        self.origin: Sequence[Span] = ()
        self._first = 0
        self._places: dict[Polynomial, tuple[str, int]] = {}
        self._sizes: dict[Polynomial, str] = {}
        self._carried: dict[object, onnx.NodeProto] = {}
        self._call: onnx.NodeProto | None = None
        self.opsets: dict[str, int] = {"": opset}

    # ------------------------------------------------------------ sites

    def enter(self, name: str, origin: Sequence[Span]) -> None:
        """Begin the node called `name`, a name already taken."""
        self._site, self.origin, self._first, self._call = name, origin, len(self.nodes), None

    def leave(self, result: str) -> str:
        """Name the value `result` after this site, and return its name.

        An operator that is the identity makes no node: its value keeps the name that it has.
        """
        made = next((node for node in self.nodes[self._first :] if result in node.output), self._call)
        if made is None:
            return result
        if made is not self._call:
            made.name = self._site
        made.output[:] = [self._site if name == result else name for name in made.output]
        return self._site

    def rename(self, names: Mapping[str, str]) -> None:
        """Give values other names, wherever they are made and read."""
        for node in self.nodes:
            rename(node, names)

    def element(self, type: TensorType) -> int:
        """The ONNX element type; f32 stands for the compute type."""
        return ELEMENTS[self._dtype if type.dtype == "f32" else type.dtype]

    def numpy_type(self, type: TensorType) -> np.dtype:
        """The same for arrays."""
        return helper.tensor_dtype_to_np_dtype(self.element(type))

    # ------------------------------------------------------------ nodes and constants

    def add(self, op_type: str, *inputs: str, **attributes: Attribute) -> str:
        """A node with one output, whose name is returned."""
        return self._add(op_type, inputs, attributes, 1)[0]

    def add_second(self, op_type: str, *inputs: str, **attributes: Attribute) -> str:
        """A node with two outputs, of which the second is read."""
        return self._add(op_type, inputs, attributes, 2)[1]

    def maker(self, value: str) -> onnx.NodeProto | None:
        """The node that makes a value; None for inputs and stored tensors."""
        return next((node for node in reversed(self.nodes) if value in node.output), None)

    def carried(self, call: Call, inputs: Sequence[str]) -> list[str]:
        """The results of a call that is written as it was, once for all of them.

        One of torch becomes a node of the domain ``torch``, which no runtime has: it can be counted.
        """
        if (call, *inputs) not in self._carried:
            if isinstance(call, OnnxCall):
                node = onnx.NodeProto.FromString(call.node)
                inside = {name: self._names.take(f"{self._site}/{name}") for name in dict.fromkeys(made_inside(node))}
                rename(node, {**inside, **dict(zip(call.names, inputs, strict=True))})
                self.opsets.setdefault(call.domain, call.opset)
            else:
                node = helper.make_node(call.target, inputs, [call.title] * len(call.types), domain="torch")
            node.output[:] = [name and self._names.take(f"{self._site}/{call.title}") for name in node.output]
            node.name, node.doc_string = node.name or self._site, documentation(self.origin)
            self.nodes.append(node)
            self._carried[call, *inputs] = node
        self._call = self._carried[call, *inputs]
        return [name for name in self._call.output if name]

    def array(self, array: np.ndarray) -> str:
        """A constant, which becomes an initializer."""
        name = self._names.take(f"{self._site}/constant")
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def ints(self, values: Sequence[int]) -> str:
        """A vector of integers: axes, sizes, positions."""
        return self.array(np.array(values, np.int64))

    def filled(self, like: Value, number: Fraction | float, shape: Sequence[int] = ()) -> str:
        """A constant of the element type of `like`, a scalar unless a shape is given."""
        return self.array(np.full(shape, float(number), self.numpy_type(like.type)))

    # ------------------------------------------------------------ sizes at run time

    def see(self, value: str, shape: Shape) -> None:
        """Remember where symbolic sizes can be read off."""
        for axis, dim in enumerate(shape):
            if isinstance(dim, Polynomial):
                self._places.setdefault(dim, (value, axis))

    def see_input(self, value: str, shape: Shape) -> None:
        """The same for an input, which gives a free dimension also where it is stated to be a multiple."""
        self.see(value, shape)
        for axis, free in enumerate(map(free_dimension, shape)):
            if free is not None:
                self._places.setdefault(symbol(free), (value, axis))

    def shape(self, dims: Sequence[Dim]) -> str:
        """A vector of sizes: a constant where all are known, else computed."""
        if all(isinstance(dim, int) for dim in dims):
            return self.ints([dim for dim in dims if isinstance(dim, int)])
        return self.add("Concat", *(self._size(dim) for dim in dims), axis=0)

    def _size(self, dim: Dim) -> str:
        """A size as a vector of one element."""
        if isinstance(dim, int):
            return self.ints([dim])
        if dim not in self._sizes:
            place = self._places.get(dim)
            if place:
                value, axis = place
                self._sizes[dim] = self._axis(value, axis)
            else:
                self._sizes[dim] = self._computed(dim)
        return self._sizes[dim]

    def _axis(self, value: str, axis: int) -> str:
        """A size of a value, as a vector; from opset 15 on Shape itself can give a part."""
        if self.opset >= 15:
            return self.add("Shape", value, start=axis, end=axis + 1)
        return self.add("Gather", self.add("Shape", value), self.ints([axis]))

    def _computed(self, dim: Polynomial) -> str:
        products: list[str] = []
        for monomial, count in (dim.terms[key] for key in sorted(dim.terms)):
            factors = [self._atom(atom) for atom in monomial]
            if count != 1 or not factors:
                factors.append(self.ints([count]))
            products.append(self._chain("Mul", factors))
        return self._chain("Add", products)

    def _atom(self, atom: Symbol | Floor) -> str:
        if isinstance(atom, Symbol):
            plain = symbol(atom.name)
            if plain not in self._places:
                raise unknown_size(str(plain), self.origin)
            return self._size(plain)
        # Div truncates, which is the floor of what a size can be.
        return self.add("Div", self._size(atom.numerator), self.ints([atom.denominator]))

    def _chain(self, op_type: str, operands: Sequence[str]) -> str:
        total = operands[0]
        for operand in operands[1:]:
            total = self.add(op_type, total, operand)
        return total

    def _add(
        self, op_type: str, inputs: Sequence[str], attributes: Mapping[str, Attribute], count: int
    ) -> Sequence[str]:
        outputs = [self._names.take(f"{self._site}/{op_type}") for _ in range(count)]
        node = helper.make_node(op_type, inputs, outputs, outputs[0], documentation(self.origin))
        node.attribute.extend(helper.make_attribute(name, value) for name, value in sorted(attributes.items()))
        self.nodes.append(node)
        return outputs


def rename(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    """Give values other names, in a node and in the graphs of its attributes."""
    node.input[:] = [names.get(name, name) for name in node.input]
    node.output[:] = [names.get(name, name) for name in node.output]
    for graph in graphs_of(node):
        for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
            value.name = names.get(value.name, value.name)
        for inner in graph.node:
            rename(inner, names)


def made_inside(node: onnx.NodeProto) -> Iterator[str]:
    """The values that the graphs in the attributes of a node make, which no value outside may be called like."""
    for graph in graphs_of(node):
        yield from (value.name for value in (*graph.input, *graph.initializer))
        for inner in graph.node:
            yield from filter(None, inner.output)
            yield from made_inside(inner)


def reads(node: onnx.NodeProto) -> Iterator[str]:
    """The values that a node and the graphs in its attributes read."""
    yield from node.input
    for graph in graphs_of(node):
        for inner in graph.node:
            yield from reads(inner)


def graphs_of(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs in the attributes of a node: the branches of an If, the body of a Loop."""
    for attribute in node.attribute:
        yield from (attribute.g, *attribute.graphs) if attribute.type in GRAPHS else ()


def documentation(origin: Sequence[Span]) -> str:
    """Where a node comes from: ``file:line`` of every place in the spec, once each."""
    return ", ".join(dict.fromkeys(str(span).rpartition(":")[0] for span in origin))
