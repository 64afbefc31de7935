"""An affine map of a tensor, wherever it stands: what it varies along, and how that changes as the elements move."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from repc.ir.dims import Dim, Shape
from repc.ir.expr import Expr
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ir.trace import Fact
from repc.ops import build
from repc.ops.arithmetic import Divide, Multiply, Sum
from repc.passes.refine import refine
from repc.passes.views import FLOAT, AffineView


@dataclass(frozen=True, eq=False, slots=True)
class Map:
    """``scale·x + shift``: tensors over the axes that the map varies along, or scalars; a missing part is 1 or 0.

    `axes` ascend, and their sizes are known.  `facts` are what bringing the map here relies on.
    """

    axes: tuple[int, ...] = ()
    scale: Expr | None = None
    shift: Expr | None = None
    facts: tuple[Fact, ...] = ()

    def view(self, source: NodeId) -> AffineView | None:
        """The map as one along a single axis, or None where it varies along several."""
        if len(self.axes) > 1:
            return None
        return AffineView(source, self.axes[0] if self.axes else None, self.scale, self.shift)

    def _over(self, axes: Iterable[int], change: Callable[[Expr], Expr]) -> Map:
        """The map over other axes, its tensors changed; scalars stay what they are."""
        scale, shift = (part and (change(part) if part.type.rank else part) for part in (self.scale, self.shift))
        return replace(self, axes=tuple(axes), scale=scale, shift=shift)

    def renamed(self, names: Mapping[int, int]) -> Map | None:
        """The map where the axes have other numbers; None where one of its own has none."""
        if not all(axis in names for axis in self.axes):
            return None
        renamed = [names[axis] for axis in self.axes]
        order = sorted(range(len(renamed)), key=renamed.__getitem__)
        return self._over(sorted(renamed), lambda part: build.permute(part, order))

    def reshaped(self, here: Shape, there: Shape) -> Map | None:
        """The map over the axes that hold the factors which it varies along; it recurs along their other factors."""
        factors = refine(here, there)
        moved = [factor for factor in factors if set(factor.left) & set(self.axes)]
        axes = sorted({axis for factor in moved for axis in factor.right})
        inside = [factor for factor in factors if set(factor.right) & set(axes)]
        whole = [factor.size for factor in inside]
        if any(factor.mixed for factor in inside) or not all(isinstance(size, int) for size in whole):
            return None
        split = [factor.size if factor in moved else 1 for factor in inside]
        sizes = [there[axis] for axis in axes]
        return self._over(axes, lambda part: build.reshape(build.expand(build.reshape(part, split), whole), sizes))

    def picked(self, axis: int, places: Sequence[int]) -> Map:
        """The map of some places of an axis that it varies along."""
        return self._over(self.axes, lambda part: build.pick(part, self.axes.index(axis), places))

    def among(self, axis: int, shape: Shape, parts: Sequence[tuple[Dim, bool]]) -> Map | None:
        """The map of some parts of an axis, for which the flag stands, as a map that leaves the other parts alone.

        `shape` is that of one part on which the map acts.
        """
        lengths = [size for size, _ in parts if isinstance(size, int)]
        if len(lengths) < len(parts):
            return None
        wide = self._along(axis, shape)
        at = wide.axes.index(axis)

        def whole(part: Expr | None, neutral: int) -> Expr | None:
            if part is None:
                return None
            sizes = part.type.concrete()
            others = [build.fill((*sizes[:at], size, *sizes[at + 1 :]), neutral) for size in lengths]
            found = [part if mine else other for other, (size, mine) in zip(others, parts, strict=True) if size]
            return build.concat(found, at)

        return replace(wide, scale=whole(wide.scale, 1), shift=whole(wide.shift, 0))

    def _along(self, axis: int, shape: Shape) -> Map:
        """The map with tensors over one axis more, of a value with the given shape."""
        axes = sorted({*self.axes, axis})
        sizes = [shape[a] for a in axes]
        narrow = [shape[a] if a in self.axes else 1 for a in axes]

        def spread(part: Expr | None) -> Expr | None:
            return part and build.expand(build.reshape(part, narrow) if part.type.rank else part, sizes)

        return replace(self, axes=tuple(axes), scale=spread(self.scale), shift=spread(self.shift))


def of(view: AffineView) -> Map:
    """A map along one axis, about to be moved."""
    return Map(() if view.axis is None else (view.axis,), view.scale, view.shift)


def of_constant(graph: Graph, id: NodeId) -> Map | None:
    """A node that adds a constant, or multiplies by one, as a map along all the axes that the constant has."""
    node = graph[id]
    if len(node.inputs) != 1 or len(node.weights) != 1 or node.type != graph[node.inputs[0]].type:
        return None
    ((operand, part),) = node.weights.items()
    if part.type.dtype != FLOAT or part.type.rank > node.type.rank:
        return None
    sizes = part.type.concrete()
    axes = tuple(node.type.rank - len(sizes) + i for i, size in enumerate(sizes) if size != 1)
    values = build.reshape(part, [size for size in sizes if size != 1])
    match node.op:
        case Sum(coefficients=factors):
            constant, factor = factors[int(operand)], factors[1 - int(operand)]
            scale = None if factor == 1 else build.fill((), factor)
            return Map(axes, scale, build.scale(values, constant))
        case Multiply():
            return Map(axes, values)
        case Divide() if operand == "b":
            return Map(axes, build.div(build.fill((), 1), values))
        case _:
            return None
