"""What can be computed while the file is read: arithmetic on constants, and on sizes that are still symbols.

Exporters compute shapes at run time, from the shapes of other values: Shape, Gather, Concat, Reshape.  Here these give
polynomials over the free sizes of the inputs, with which the shapes of all values are known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import onnx
from onnx import helper

from repc.importers.onnx.site import Site
from repc.importers.onnx.values import Known, Misfit
from repc.ir.dims import Dim, Polynomial, divide, least, volume

DTYPES: Mapping[str, type[np.integer[Any]]] = {"i64": np.int64, "i32": np.int32}
LARGE = 1 << 20
"""A constant with more elements is left to be computed at run time."""

# fmt: off
CONSTANT = frozenset((
    "Abs", "Add", "And", "ArgMax", "ArgMin", "BitShift", "Cast", "CastLike", "Ceil", "Concat", "ConstantOfShape", "Cos",
    "CumSum", "Div", "Equal", "Erf", "Exp", "Expand", "EyeLike", "Flatten", "Floor", "Gather", "GatherElements",
    "GatherND", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Log", "Max", "Min", "Mod", "Mul", "Neg", "NonZero",
    "Not", "OneHot", "Or", "Pad", "Pow", "Range", "Reciprocal", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum",
    "Reshape", "Round", "ScatterElements", "ScatterND", "Sign", "Sin", "Slice", "Split", "Sqrt", "Squeeze", "Sub",
    "Sum", "Tile", "TopK", "Transpose", "Trilu", "Unsqueeze", "Where", "Xor",
))
# fmt: on
"""What is computed from constants alone by onnx's reference."""


def known(site: Site, values: Sequence[Known | None]) -> list[Known]:
    """The results of a node whose inputs are known, None being a missing one; nothing where they must wait."""
    symbolic = any(value is not None and value.symbolic for value in values)
    if symbolic:
        rule = SYMBOLIC.get(site.node.op_type)
        try:
            return [_sizes(rule(site, list(map(_elements, values))), _dtype(site, values))] if rule else []
        except Misfit:
            return []
    if site.node.op_type not in CONSTANT or not values:
        return []
    return _by_reference(site, values)


def shape_of(site: Site) -> Known:
    """Shape, of which opset 15 can give a part."""
    shape = _vector(site.shape(0))
    return _sizes(shape[site.attribute("start", 0) : site.attribute("end")])


def size_of(site: Site) -> Known:
    """Size."""
    return _sizes(_vector([volume(site.shape(0))]).reshape(()))


# ---------------------------------------------------------------- constants


def _by_reference(site: Site, values: Sequence[Known | None]) -> list[Known]:
    """By onnx's reference evaluator, whose arithmetic is numpy's."""
    node, types = site.node, site.network.types
    feeds = {name: value.array for name, value in zip(node.input, values, strict=True) if value is not None}
    inputs = [onnx.ValueInfoProto(name=name) for name in feeds]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    model = helper.make_model(
        helper.make_graph([node], "constant", inputs, outputs),
        opset_imports=[helper.make_opsetid("", site.opset)],
    )
    try:
        found: list[Any] = _reference().ReferenceEvaluator(model).run(None, feeds)
    except Exception:  # whatever the reference raises where it does not know a form: the node stays as it is
        return []
    arrays = [np.asarray(value) for value in found]
    names = [types.name(helper.np_dtype_to_tensor_dtype(array.dtype)) for array in arrays]
    if any(name is None for name in names) or any(array.size > LARGE for array in arrays):
        return []
    return [Known(array, str(name)) for array, name in zip(arrays, names, strict=True)]


def _reference() -> Any:
    """onnx's reference evaluator, which is large, and has too few types."""
    return import_module("onnx.reference")


# ---------------------------------------------------------------- sizes


def _elements(value: Known | None) -> np.ndarray:
    """An array of plain integers and polynomials; empty for a missing input."""
    return np.array([], dtype=object) if value is None else value.array.astype(object)


def _vector(elements: Sequence[object]) -> np.ndarray:
    found = np.empty(len(elements), dtype=object)
    found[:] = elements
    return found


def _dtype(site: Site, values: Sequence[Known | None]) -> str:
    """The element type of a result: that of the operands, without conditions."""
    if site.node.op_type == "Cast":
        return str(site.network.types.name(site.attribute("to")))
    return next((value.dtype for value in values if value is not None and value.dtype != "bool"), "i64")


def _sizes(array: np.ndarray, dtype: str = "i64") -> Known:
    """Integers, and what is true or false, as such where no element is symbolic."""
    kinds: set[type] = {type(value) for value in array.flat}
    if kinds == {bool}:
        return Known(array.astype(bool), "bool")
    return Known(array, dtype) if Polynomial in kinds else Known(array.astype(DTYPES[dtype]), dtype)


def _plain(array: np.ndarray) -> np.ndarray:
    """What must be a number: an axis, an index, a condition."""
    if any(isinstance(value, Polynomial) for value in array.flat):
        raise Misfit("it depends on free sizes")
    return array.astype(np.int64)


def _elementwise(rule: Callable[[Any, Any], Any]) -> Callable[[Site, Sequence[np.ndarray]], np.ndarray]:
    def elementwise(site: Site, given: Sequence[np.ndarray]) -> np.ndarray:
        a, b = np.broadcast_arrays(*given)
        found = np.empty(a.shape, dtype=object)
        for index in np.ndindex(a.shape):
            found[index] = rule(a[index], b[index])
        return found

    return elementwise


def _quotient(a: Dim, b: Dim) -> Dim:
    """Division cuts off the fraction, which is the floor of what is not negative."""
    exact = divide(a, b)
    if exact is not None:
        return exact
    if not isinstance(b, int) or b < 1 or (least(a) or -1) < 0:
        raise Misfit("it divides by a free size")
    return a // b


def _same(a: Dim, b: Dim) -> bool:
    """Whether two sizes are equal, if that is the same for all inputs."""
    difference = a + b * -1
    if isinstance(difference, int):
        return difference == 0
    if (least(difference) or 0) > 0 or (least(difference * -1) or 0) > 0:
        return False
    raise Misfit("whether sizes are equal depends on the input")


def _chosen(site: Site, given: Sequence[np.ndarray]) -> np.ndarray:
    condition, a, b = np.broadcast_arrays(*given)
    return np.where(_plain(condition).astype(bool), a, b)


def _gather(site: Site, given: Sequence[np.ndarray]) -> np.ndarray:
    """Of a vector: numpy would give the element itself for a scalar place."""
    places = _plain(given[1])
    return np.take(given[0], places.reshape(-1)).reshape(places.shape)


def _slice(site: Site, given: Sequence[np.ndarray]) -> np.ndarray:
    """Of a vector, as sizes are."""
    if site.opset < 10:
        (start,), (stop,) = site.attribute("starts"), site.attribute("ends")
        return given[0][start:stop]
    start, stop = (int(value) for part in given[1:3] for value in _plain(part))
    step = int(_plain(given[4])[0]) if len(given) > 4 and given[4].size else 1
    return given[0][start:stop:step]


def _squeeze(site: Site, given: Sequence[np.ndarray]) -> np.ndarray:
    return given[0].reshape(()) if given[0].size == 1 else given[0]


def _reshape(site: Site, given: Sequence[np.ndarray]) -> np.ndarray:
    return given[0].reshape(_plain(given[1]).tolist())


def _unsqueeze(site: Site, given: Sequence[np.ndarray]) -> np.ndarray:
    """A scalar as a vector; sizes never have two axes."""
    return given[0].reshape(-1)


def _unchanged(site: Site, given: Sequence[np.ndarray]) -> np.ndarray:
    return given[0]


def _cast(site: Site, given: Sequence[np.ndarray]) -> np.ndarray:
    if site.attribute("to") not in (onnx.TensorProto.INT64, onnx.TensorProto.INT32):
        raise Misfit("sizes are integers")
    return given[0]


def _concat(site: Site, given: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(given)


def _product(site: Site, given: Sequence[np.ndarray]) -> np.ndarray:
    return _vector([volume(given[0].flat)]).reshape([1] * int(site.attribute("keepdims", 1)))


SYMBOLIC: Mapping[str, Callable[[Site, Sequence[np.ndarray]], np.ndarray]] = {
    "Add": _elementwise(lambda a, b: a + b),
    "Sub": _elementwise(lambda a, b: a + b * -1),
    "Mul": _elementwise(lambda a, b: a * b),
    "Div": _elementwise(_quotient),
    "Mod": _elementwise(lambda a, b: a + _quotient(a, b) * b * -1),
    "Equal": _elementwise(_same),
    "Where": _chosen,
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Reshape": _reshape,
    "Identity": _unchanged,
    "Cast": _cast,
    "ReduceProd": _product,
}
