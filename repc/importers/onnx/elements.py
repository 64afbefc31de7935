"""Types of ONNX as types of repc, and back.

f32 stands for the compute type.  A file whose floating-point values are all of one type computes in that one; in a file
that mixes them f32 is itself, and whatever computes in another type is only carried along.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import onnx
from onnx import helper

from repc.ir.dims import Dim, symbol
from repc.ir.types import TensorType

T = onnx.TensorProto
NAMES: dict[int, str] = {
    T.FLOAT16: "f16",
    T.BFLOAT16: "bf16",
    T.FLOAT: "f32",
    T.DOUBLE: "f64",
    T.INT64: "i64",
    T.INT32: "i32",
    T.INT16: "i16",
    T.INT8: "i8",
    T.UINT8: "u8",
    T.BOOL: "bool",
    T.COMPLEX64: "c64",
}
FLOATS = (T.FLOAT16, T.BFLOAT16, T.FLOAT, T.DOUBLE)


@dataclass(frozen=True, eq=False)
class Types:
    """How types are read and written, for one file: its compute type, and the sizes that have been met, by their text.

    ONNX only knows the text of a symbolic size, so that what it infers is read back by that.
    """

    compute: int = T.FLOAT
    sizes: dict[str, Dim] = field(default_factory=dict[str, Dim])

    @property
    def dtype(self) -> str:
        """repc's own name of the compute type."""
        return NAMES[self.compute]

    def name(self, element: int) -> str | None:
        """repc's name of an element type; None where it has none."""
        return "f32" if element == self.compute else NAMES.get(element)

    def element(self, dtype: str) -> int:
        """ONNX's element type."""
        return self.compute if dtype == "f32" else next(key for key, name in NAMES.items() if name == dtype)

    def proto(self, type: TensorType) -> onnx.TypeProto:
        """A type for ONNX's own inference."""
        shape = [size if isinstance(size, int) else self._text(size) for size in type.shape]
        return helper.make_tensor_type_proto(self.element(type.dtype), shape)

    def read(self, proto: onnx.TypeProto, name: str) -> TensorType | None:
        """The type that ONNX states of a value; None where the element type or the number of axes is not known.

        A size that it leaves out is called after the value and the axis.
        """
        tensor = proto.tensor_type
        dtype = self.name(tensor.elem_type)
        if not proto.HasField("tensor_type") or not tensor.HasField("shape") or dtype is None:
            return None
        return TensorType(tuple(self._size(dim, f"{name}_{axis}") for axis, dim in enumerate(tensor.shape.dim)), dtype)

    def _size(self, dim: onnx.TensorShapeProto.Dimension, fresh: str) -> Dim:
        if dim.HasField("dim_value") and dim.dim_value >= 0:
            return dim.dim_value
        text = dim.dim_param or fresh
        return self.sizes.setdefault(text, symbol(text))

    def _text(self, size: Dim) -> str:
        self.sizes.setdefault(str(size), size)
        return str(size)


def compute_type(elements: Iterable[int]) -> int:
    """The one floating-point type that occurs, else float32."""
    found = {element for element in elements if element in FLOATS}
    return found.pop() if len(found) == 1 else T.FLOAT


def elements(graph: onnx.GraphProto) -> Iterator[int]:
    """The element types of what a file states types of: inputs, outputs, values, initializers, constants, casts."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield value.type.tensor_type.elem_type
    for tensor in graph.initializer:
        yield tensor.data_type
    for node in graph.node:
        if node.op_type == "Cast":
            yield from (attribute.i for attribute in node.attribute if attribute.name == "to")
        yield from (attribute.t.data_type for attribute in node.attribute if attribute.HasField("t"))


def contradicts(ours: TensorType, theirs: TensorType) -> bool:
    """Whether two types differ in something that both know."""
    if ours.dtype != theirs.dtype or ours.rank != theirs.rank:
        return True
    sizes = zip(ours.shape, theirs.shape, strict=True)
    return any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in sizes)
