"""What implementations get wrong, as functions to put in the place of the right ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

from repc.ir.expr import Expr
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId
from repc.ops import BatchNorm, Permute, build
from repc.ops.conv import Conv
from repc.passes import absorb, compose, depthwise, kernels, maps, movement, parallel, trail, views
from repc.passes.frames import Placement, Window
from repc.passes.maps import Map
from repc.passes.parallel import Kernel
from repc.passes.rules import (
    conv_as_linear,
    fold_norm_forward,
    hoist_movement,
    stack_hidden,
    sum_affine,
)
from repc.passes.trail import AffineMatch
from repc.passes.views import AffineView, LinearView, plus
from repc.passes.workspace import Workspace

# ------------------------------------------------------------------------------------------------ affine maps


def norm_view(*lost: str) -> Callable[[Node, Any], AffineView]:
    """Batch norm without some of γ, β, μ, ε, or with a mean that is not scaled."""

    def view(node: Node, x: Any) -> AffineView:
        assert isinstance(node.op, BatchNorm)
        given = node.weights
        variance = given["running_var"]
        eps = build.fill((), 0 if "eps" in lost else node.op.eps)
        scale = build.rsqrt(build.add(variance, eps))
        scale = scale if "gamma" in lost else build.mul(given["weight"], scale)
        mean = given["running_mean"] if "scale of mean" in lost else build.mul(given["running_mean"], scale)
        terms = [(Fraction(1), given["bias"])] if "beta" not in lost else []
        terms += [(Fraction(-1), mean)] if "mean" not in lost else []
        return AffineView(node.inputs[0], 1, scale, build.combine(terms))

    return view


RIGHT_OF_CONSTANT = maps.of_constant
RIGHT_AFFINE_VIEW = views.affine_view


def swapped_norms(graph: Graph, id: NodeId) -> AffineView | None:
    """The first norm of its size that is still there instead of its own."""
    node = graph[id]
    others = (i for i in graph if i != id and isinstance(graph[i].op, BatchNorm) and graph[i].type == node.type)
    other = next(others, None) if isinstance(node.op, BatchNorm) else None
    if other is None:
        return RIGHT_AFFINE_VIEW(graph, id)
    changed = graph.copy()
    changed.replace(id, replace(node, weights=graph[other].weights))
    return RIGHT_AFFINE_VIEW(changed, id)


def rows_of_anything(self: LinearView, scale: Expr | None) -> Expr:
    return self.weight if scale is None else kernels.scale_rows(self.weight, scale)


def unscaled_bias(self: AffineView, bias: Expr | None) -> Expr | None:
    return plus(bias, self.shift)


def lost_shift(self: AffineView, bias: Expr | None) -> Expr | None:
    return views.times(bias, self.scale) if bias is not None else None


def lost_bias(self: AffineView, bias: Expr | None) -> Expr | None:
    return self.shift


def ungrouped_columns(weight: Expr, scale: Expr, groups: int) -> Expr:
    columns = weight.type.concrete()[1]
    return build.mul(weight, build.along(build.take(scale, 0, 0, columns), 1, weight.type.rank))


def centre_response(self: LinearView, shift: Expr) -> Expr:
    """What the first tap alone makes of a constant."""
    kernel = self.scale_in(shift)
    for axis in range(2, kernel.type.rank):
        kernel = build.take(kernel, axis, 0, 1)
    return build.reduce(kernel, "sum", range(1, kernel.type.rank))


def first_axes_exchanged(graph: Graph, id: NodeId) -> Map | None:
    """The constant read with its first two axes in the other order."""
    right = RIGHT_OF_CONSTANT(graph, id)
    if right is None or right.shift is None:
        return right
    first, second, *rest = right.shift.type.concrete()
    turned = build.permute(build.reshape(right.shift, (second, first, *rest)), (1, 0, *range(2, 2 + len(rest))))
    return replace(right, shift=turned)


def repeated_whole(self: Map, here: Any, there: Any) -> Map | None:
    """The vector repeated as a whole where each of its entries is to be repeated."""
    right = RIGHT_RESHAPED(self, here, there)
    return right and replace(right, scale=_tiled(self.scale, right.scale), shift=_tiled(self.shift, right.shift))


def _tiled(part: Expr | None, right: Expr | None) -> Expr | None:
    if part is None or right is None:
        return None
    (size,), (whole,) = part.type.concrete(), right.type.concrete()
    return build.reshape(build.expand(build.reshape(part, (1, size)), (whole // size, size)), (whole,))


def folded_in_place(work: Workspace, absorber: NodeId, *rest: Any) -> Node:
    """A weight that others store too is overwritten, for them as well."""
    old = work.graph[absorber].weights["weight"]
    node = absorb.absorbed(work, absorber, *rest)
    for id in list(work.graph):
        weights = work.graph[id].weights
        if id != absorber and weights.get("weight") is old:
            work.replace(id, replace(work.graph[id], weights={**weights, "weight": node.weights["weight"]}))
    return node


# ------------------------------------------------------------------------------------------------ kernels side by side


def centred(part: Window, whole: Window) -> Placement:
    return Placement((whole.taps - part.taps) // 2, 1)


def cornered(part: Window, whole: Window) -> Placement:
    return Placement(0, 1)


def dense(part: Window, whole: Window) -> Placement:
    """The taps next to each other, from where the first one belongs."""
    return Placement(whole.before - part.before, 1)


def rolled(weight: Expr, part: Any, whole: Any) -> Expr:
    """An embedded kernel is off by one tap along its last axis."""
    right = RIGHT_EMBED(weight, part, whole)
    if part == whole:
        return right
    axis, taps = right.type.rank - 1, right.type.concrete()[-1]
    return build.concat([build.take(right, axis, 1, taps), build.take(right, axis, 0, 1)], axis)


def transposed_kernel(weight: Expr, part: Any, whole: Any) -> Expr:
    right = RIGHT_EMBED(weight, part, whole)
    return build.permute(right, (0, 1, 3, 2))


def without_dilation(self: LinearView, groups: int, frame: Any, mode: str | None) -> Any:
    """As many rows and columns as before, by less padding."""
    dense = tuple(replace(w, before=w.before // w.dilation, after=w.after // w.dilation, dilation=1) for w in frame)
    return RIGHT_OPERATOR(self, groups, dense, mode)


def without_mode(self: LinearView, groups: int, frame: Any, mode: str | None) -> Any:
    return RIGHT_OPERATOR(self, groups, frame, None)


def replicated(self: LinearView, groups: int, frame: Any, mode: str | None) -> Any:
    return RIGHT_OPERATOR(self, groups, frame, "replicate")


def kind_without_stride(work: Workspace, branch: Any) -> object:
    return type(branch.view.op), work.graph[branch.id].type


def plain_diagonal(weight: Expr, groups: int, wanted: int) -> Expr:
    """torch's `fill_diagonal_` on a grouped kernel: ones beyond the first group are missing."""
    rows, columns = weight.type.concrete()[0], weight.type.concrete()[0] // wanted
    if groups == wanted:
        return weight
    diagonal = build.pad(build.eye(columns), [(0, rows - columns), (0, 0)])
    return build.reshape(diagonal, (rows, columns, *weight.type.concrete()[2:]))


def spread_over_columns(weight: Expr, groups: int, wanted: int) -> Expr:
    """A depthwise kernel broadcast over all columns instead of lying on the diagonal."""
    rows, columns, *taps = weight.type.concrete()
    return build.expand(build.take(weight, 1, 0, 1), (rows, columns * groups // wanted, *taps))


def identity_without_shift(*given: Any) -> Kernel:
    return replace(RIGHT_IDENTITY(*given), bias=None)


def coefficients_lost(terms: Any) -> Expr:
    return RIGHT_COMBINED([(Fraction(1), expr) for _, expr in terms])


def transposed_columns(conv: Conv, weight: Expr, inputs: Any, outputs: Any) -> Expr:
    right = RIGHT_COLUMNS(conv, weight, inputs, outputs)
    rows, columns = right.type.concrete()
    split = build.reshape(right, (rows // columns, columns, columns))
    return build.reshape(build.permute(split, (0, 2, 1)), (rows, columns))


def biases_reversed(views: Any) -> Expr | None:
    """As of siblings that were sorted."""
    return build.concat([view.bias for view in reversed(views)], 0)


def norm_without_bias(node: Any) -> Any:
    found = RIGHT_OWN(node)
    return found and replace(found, shift=None)


# ------------------------------------------------------------------------------------------------ sums and movement


def last_coefficient(terms: Any) -> list[tuple[Fraction, int]]:
    return [(coefficient, source) for source, coefficient in {source: c for c, source in terms}.items()]


def without_the_value_itself(members: Any, size: int) -> Expr:
    return RIGHT_SCALE([branch for branch in members if not branch.plain], size)


def unweighted(node: Any) -> Any:
    found = RIGHT_TERMS(node)
    return type(found)(tuple((Fraction(1), id) for _, id in found.activations), found.constants)


def other_way_round(inner: Permute, outer: Permute) -> Permute:
    return Permute(tuple(outer.axes[axis] for axis in inner.axes))


RIGHT_RESHAPED = Map.reshaped
RIGHT_EMBED = kernels.embed
RIGHT_OPERATOR = LinearView.operator
RIGHT_IDENTITY = parallel.diagonal
RIGHT_COMBINED = parallel.combined
RIGHT_COLUMNS = conv_as_linear._columns
RIGHT_SCALE = sum_affine._scale
RIGHT_OWN = fold_norm_forward._own
RIGHT_TERMS = hoist_movement.terms


# ------------------------------------------------------------------------------------------------ composition


def doubled_average(*given: Any) -> LinearView | None:
    """The sum of two places in the place of their mean."""
    view = RIGHT_AVERAGE(*given)
    return view and replace(view, weight=build.scale(view.weight, Fraction(2)))


RIGHT_AVERAGE = depthwise.averaged
RIGHT_PRODUCT = compose._product


def steps_exchanged(outer: LinearView, inner: LinearView, groups: int, steps: Any) -> Expr:
    """The stride of the first operator taken for the dilation of the second."""
    return RIGHT_PRODUCT(outer, inner, groups, [(step, between, apart) for step, apart, between in steps])


def reflected(outer: LinearView, inner: LinearView, groups: int, steps: Any) -> Expr:
    """As of a convolution that is no correlation."""
    return kernels.flip(RIGHT_PRODUCT(outer, inner, groups, steps))


def first_group_only(outer: LinearView, inner: LinearView, groups: int, steps: Any) -> Expr:
    """The kernel of the first group in the place of all."""
    right = RIGHT_PRODUCT(outer, inner, groups, steps)
    rows, *rest = right.type.concrete()
    one = build.reshape(build.take(right, 0, 0, rows // groups), (1, rows // groups, *rest))
    return build.reshape(build.expand(one, (groups, rows // groups, *rest)), (rows, *rest))


def map_without_border(outer: LinearView, bias: Expr, between: Any, result: Any) -> Expr:
    """The bias as it is in the interior, everywhere."""
    channels, *sizes = result.shape[1:]
    vector = plus(outer.response(bias), outer.bias)
    assert vector is not None
    return build.expand(build.reshape(vector, (channels, *[1] * len(sizes))), (channels, *sizes))


# ------------------------------------------------------------------------------------------------ maps on their way

RIGHT_BEFORE = movement.before
RIGHT_AMONG = Map.among


def shift_for_every_term(work: Workspace, id: NodeId, map: Map, **how: Any) -> Any:
    found = RIGHT_BEFORE(work, id, map, **how)
    return found and tuple((source, replace(moved, shift=map.shift)) for source, moved in found)


def first_channels_for_every_part(work: Workspace, node: Node, map: Map) -> Any:
    size = node.type.shape[map.axes[0]]
    assert isinstance(size, int)
    return tuple((source, map.picked(map.axes[0], range(size // len(node.inputs)))) for source in node.inputs)


def part_at_the_end(self: Map, axis: int, shape: Any, parts: Any) -> Map | None:
    return RIGHT_AMONG(self, axis, shape, sorted(parts, key=lambda part: part[1]))


def without_the_last_reader(*given: Any) -> AffineMatch:
    found = trail.downward(*given)
    return replace(found, ends=found.ends[:-1])


def columns_reversed(branches: Any) -> Expr:
    return RIGHT_READ(branches[::-1])


def always_positive(scale: Expr) -> Expr:
    return build.fill(scale.type.concrete(), 1)


def unscaled_factors(self: object, term: Any) -> tuple[Expr, ...]:
    """The factors of a product without its numbers."""
    return term.factors


RIGHT_READ = stack_hidden._columns
