"""Weight expressions by rows: which part of each operand a part of the result needs.

A part is some of the `units` equal slices of an axis.  The analysis goes down the expression from the first axis of the
result: a sum wants the same part of its operands, a matrix product the same rows of its left factor and all of its
right one, a norm of rows the same rows, and so on.  What can only be computed as a whole is computed once and cut
afterwards.  Nothing here knows a method: ``W + BA`` goes by rows because sums and products do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import gcd, prod

from repc.ir.expr import Apply, Expr, Param, apply, walk
from repc.ir.operator import Operator
from repc.ir.types import TensorType
from repc.ops.arithmetic import Affine, Detach, Divide, Multiply, Sum
from repc.ops.binary import Binary, Not, Where
from repc.ops.function import Cast, Dropout, Function, LogSoftmax, Softmax
from repc.ops.linear import Einsum, Linear, MatMul
from repc.ops.reduce import Reduce
from repc.ops.select import CumSum, Gather, Take
from repc.ops.shape import Concat, Expand, Permute, Reshape, Slice

Axis = int | None
"""The axis along which a part is cut; None is the whole."""

ELEMENTWISE = (Sum, Multiply, Divide, Function, Binary, Not, Where, Cast, Detach, Dropout, Expand)
ALONG = (Softmax, LogSoftmax, CumSum, Concat, Slice, Take)
"""Operators that mix or move the elements of one axis, and of no other."""


@dataclass(frozen=True)
class Leaf:
    """What a part of an expression reads: a parameter, or something that is computed once, cut along an axis."""

    expr: Expr
    axis: Axis


@dataclass(frozen=True, eq=False)
class Tiling:
    """An expression by parts of its first axis.

    `units` is into how many equal parts that can be cut, 1 where it cannot.  `cuts` are the axes of what is computed by
    parts, and `edges` those of its operands.
    """

    root: Expr
    units: int
    cuts: Mapping[Expr, int]
    edges: Mapping[Expr, Mapping[str, Axis]]

    def tile(self, count: int) -> tuple[Expr, dict[str, Leaf]]:
        """The expression of `count` units, over new parameters, and what these are; it is the same at every place."""
        made: dict[Expr, Expr] = {}
        leaves: dict[Leaf, Param] = {}

        def operand(arg: Expr, axis: Axis) -> Expr:
            if arg in made:
                return made[arg]
            new = Param(f"leaf {len(leaves)}", self._part(arg.type, axis, count))
            return leaves.setdefault(Leaf(arg, axis), new)

        for expr in walk([self.root]):
            if isinstance(expr, Apply) and expr in self.edges:
                args = {name: operand(arg, self.edges[expr][name]) for name, arg in expr.args.items()}
                made[expr] = apply(_resized(expr.op, self._part(expr.type, self.cuts[expr], count)), **args)
        result = operand(self.root, 0 if self.units > 1 else None)
        return result, {param.path: leaf for leaf, param in leaves.items()}

    def _part(self, type: TensorType, axis: Axis, count: int) -> TensorType:
        if axis is None:
            return type
        shape = type.concrete()
        return type.with_shape((*shape[:axis], shape[axis] // self.units * count, *shape[axis + 1 :]))


def tiling(root: Expr) -> Tiling:
    """How an expression goes by parts of its first axis."""
    cuts: dict[Expr, Axis] = {root: 0 if root.type.rank else None}
    edges: dict[Expr, dict[str, Axis]] = {}
    for expr in reversed(list(walk([root]))):
        if isinstance(expr, Param):
            continue
        axis = cuts[expr]
        needed = None if axis is None or not expr.args else _needs(expr, axis)
        if needed is not None:
            edges[expr] = needed
        for name, arg in expr.args.items():
            wanted = None if needed is None else needed[name]
            cuts[arg] = wanted if cuts.get(arg, wanted) == wanted else None
    sizes = [expr.type.concrete()[axis] for expr, axis in _parts(root, cuts, edges)]
    units = gcd(*sizes) if sizes else 1
    if units < 2:
        return Tiling(root, 1, {}, {})
    return Tiling(root, units, {expr: axis for expr in edges if (axis := cuts[expr]) is not None}, edges)


def _parts(
    root: Expr, cuts: Mapping[Expr, Axis], edges: Mapping[Expr, Mapping[str, Axis]]
) -> Iterator[tuple[Expr, int]]:
    """Everything that is cut, and along which axis."""
    found = [(root, cuts[root] if root in edges or isinstance(root, Param) else None)]
    found += [
        (expr.args[name], axis) for expr, own in edges.items() if isinstance(expr, Apply) for name, axis in own.items()
    ]
    return ((expr, axis) for expr, axis in found if axis is not None)


def _needs(expr: Apply, axis: int) -> dict[str, Axis] | None:
    """The cuts of the operands that a cut of the result needs; None where it needs all of them."""
    op, result = expr.op, expr.type
    types = {name: arg.type for name, arg in expr.args.items()}
    first = next(iter(types))
    match op:
        case _ if isinstance(op, ELEMENTWISE):
            return {name: _aligned(type, result, axis) for name, type in types.items()}
        case _ if isinstance(op, ALONG):
            return None if axis == op.axis else dict.fromkeys(types, axis)
        case Affine():
            return {name: axis if name == "x" else 0 if axis == op.axis else None for name in types}
        case Permute():
            return {first: op.axes[axis]}
        case Reshape():
            place = _same_place(types[first], result, axis)
            return None if place is None else {first: place}
        case Reduce():
            kept = [i for i in range(types[first].rank) if op.keep or i not in op.axes]
            return None if kept[axis] in op.axes else {first: kept[axis]}
        case Gather():
            return _gathered(op, types, axis)
        case MatMul():
            return _factors(types["a"], types["b"], result, axis)
        case Linear() if axis == result.rank - 1:
            return {name: None if name == "x" else 0 for name in types}
        case Linear():
            return {name: axis if name == "x" else None for name in types}
        case Einsum():
            left, right, letters = op.letters()
            return {name: _place(part, letters[axis]) for name, part in (("a", left), ("b", right))}
        case _:
            return None


def _aligned(type: TensorType, result: TensorType, axis: int) -> Axis:
    """The axis of an operand that broadcasts to an axis of the result."""
    own = axis - (result.rank - type.rank)
    return None if own < 0 or type.shape[own] != result.shape[axis] else own


def _same_place(x: TensorType, result: TensorType, axis: int) -> Axis:
    """The axis of x in front of which there are as many elements: its parts are the same parts in row-major order."""
    before, shape = prod(result.concrete()[:axis]), x.concrete()
    found = [i for i in range(x.rank) if prod(shape[:i]) == before]
    # Axes of size 1 in front of it have the same place, and cannot be cut.
    return max(found, key=lambda i: shape[i], default=None)


def _gathered(op: Gather, types: Mapping[str, TensorType], axis: int) -> dict[str, Axis]:
    inside = axis - op.axis
    if 0 <= inside < types["index"].rank:
        return {"x": None, "index": inside}
    return {"x": axis if inside < 0 else axis - types["index"].rank + 1, "index": None}


def _factors(a: TensorType, b: TensorType, result: TensorType, axis: int) -> dict[str, Axis] | None:
    if a.rank < 2 or b.rank < 2:
        return None
    match result.rank - axis:
        case 1:
            return {"a": None, "b": b.rank - 1}
        case 2:
            return {"a": a.rank - 2, "b": None}
        case _:
            return {"a": _aligned(a, result, axis), "b": _aligned(b, result, axis)}


def _place(letters: str, letter: str) -> Axis:
    return letters.index(letter) if letter in letters else None


def _resized(op: Operator, result: TensorType) -> Operator:
    """The operator whose result has another size: only those that say the size are other ones."""
    return replace(op, shape=result.shape) if isinstance(op, Reshape | Expand) else op
