"""The ways to see a value as one linear operator of a value further up.

A convolution is one of what it reads, and behind another convolution also of what that one reads; so is an average pool
that counts its padding, a scale or shift of such a value, and a value that is padded on the way.  Nothing is rewritten
to be seen so: whether it pays is for the whole site to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod

from repc.ir.expr import Expr
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ops import build
from repc.ops.arithmetic import Sum
from repc.ops.conv import Conv
from repc.ops.pool import AvgPool
from repc.ops.shape import Pad
from repc.passes.absorb import vector
from repc.passes.compose import compose, obstacle
from repc.passes.cost import Cost, stored
from repc.passes.equal import equal
from repc.passes.terms import terms
from repc.passes.views import LinearView
from repc.passes.workspace import Workspace

DEPTH = 4  # how many operators in a row are looked at; a longer chain shrinks from its beginning


@dataclass(frozen=True, eq=False, slots=True)
class Form:
    """A value as one linear operator: `members` are the nodes that it would stand for, the value itself first.

    `value` is what the operator pads with instead of zeros, as an expression per channel.
    """

    view: LinearView
    members: tuple[NodeId, ...]
    cost: Cost
    value: Expr | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Fault:
    """Why a value is not one operator with the one above it."""

    inner: NodeId
    reason: str
    remedy: str


def forms(work: Workspace, id: NodeId, depth: int = DEPTH) -> Iterator[Form]:
    """Every form of a value, the nearest source first."""
    own = nearest(work, id)
    if own is not None:
        yield own
        yield from (form for form in further(work, own, depth) if isinstance(form, Form))
        return
    view = work.affine(id)
    if view is None or view.identity or depth == 0 or not _passes(work, view.source, id):
        return
    for form in forms(work, view.source, depth - 1):
        if view.axis in (None, form.view.channel_axis) and work.linear(view.source) is None:
            bias = vector(view.shifted(form.view.bias), form.view.out_channels)
            scaled = replace(form.view, weight=form.view.scale_out(view.scale), bias=bias)
            cost = form.cost + Cost(0, stored(part for part in (view.scale, view.shift) if part), 1)
            yield Form(scaled, (id, *form.members), cost)


def nearest(work: Workspace, id: NodeId) -> Form | None:
    """A linear operator, or an average that is one, as it is."""
    view = work.linear(id) or _average(work.graph, id)
    return view and Form(view, (id,), cost_of(view))


def further(work: Workspace, form: Form, depth: int = DEPTH) -> Iterator[Form | Fault]:
    """The same value as an operator of what is above its source, or why it is not."""
    source = form.view.source
    if depth == 0 or not _passes(work, source, form.members[-1]):
        return
    if isinstance(work.graph[source].op, Pad):
        padded = _padded(work.graph, form)
        if padded is not None:
            if padded.value is None:
                yield padded
            yield from further(work, padded, depth - 1)
        return
    if isinstance(work.graph[source].op, Sum):
        added = _through_sum(work, form, depth - 1)
        if added is not None:
            yield added
        return
    for inner in forms(work, source, depth - 1):
        if inner.value is not None:
            continue
        bordered = form.value is not None and inner.view.bias is not None and equal(form.value, inner.view.bias)
        fault = obstacle(form.view, inner.view, bordered=bordered)
        if form.value is not None and not bordered:
            fault = "{outer} pads with another value than {inner} makes of zeros", "pad with the bias of {inner}"
        if fault is not None:
            yield Fault(source, *fault)
            return
        yield Form(compose(form.view, inner.view), (*form.members, *inner.members), _together(form, inner))


def _through_sum(work: Workspace, form: Form, depth: int) -> Form | None:
    """The operator of a sum of the identity and of other operators of one value, distributed over its terms."""
    sum_id, outer = form.view.source, form.view
    found = terms(work.graph[sum_id])
    if found.constants or form.value is not None:
        return None
    plain = replace(outer, bias=None)
    sources: dict[NodeId, list[tuple[Fraction, LinearView, tuple[NodeId, ...], Cost]]] = {}
    for coefficient, id in found.activations:
        sources.setdefault(id, []).append((coefficient, replace(plain, source=id), (), Cost()))
        for inner in forms(work, id, depth) if _passes(work, id, sum_id) else ():
            if inner.value is None and inner.view.bias is None and obstacle(plain, inner.view, bordered=False) is None:
                view = compose(plain, inner.view)
                sources.setdefault(inner.view.source, []).append((coefficient, view, inner.members, inner.cost))
    for parts in sources.values():
        views = [view for _, view, _, _ in parts]
        alike = all(v.stride == outer.stride and v.frame == outer.frame and v.groups == outer.groups for v in views)
        if alike and len(parts) == len(found.activations) > 1:
            weight = build.combine((coefficient, view.weight) for coefficient, view, _, _ in parts)
            members = (*form.members, sum_id, *(id for _, _, ids, _ in parts for id in ids))
            cost = form.cost + Cost(operators=1)
            for *_, inner_cost in parts:
                cost += inner_cost
            return Form(replace(views[0], weight=weight, bias=outer.bias), members, cost)
    return None


def cost_of(view: LinearView) -> Cost:
    """What one linear operator takes for each position of its result."""
    return Cost(prod(view.weight.type.concrete()), stored(part for part in (view.weight, view.bias) if part), 1)


def _together(outer: Form, inner: Form) -> Cost:
    """Both for each position of the outer one, which takes a position of the inner one for each of its strides."""
    positions = 1 if outer.view.transposed else prod(outer.view.stride)
    return outer.cost + replace(inner.cost, macs=inner.cost.macs * positions)


def _passes(work: Workspace, id: NodeId, reader: NodeId) -> bool:
    """Whether a value may disappear: nothing keeps it, and nothing else reads it."""
    return not work.kept(id) and id not in work.graph.inputs.values() and work.other_reader(id, [reader]) is None


def _padded(graph: Graph, form: Form) -> Form | None:
    """The operator behind a padding by a constant, as one that pads itself."""
    source, view = form.view.source, form.view
    node = graph[source]
    assert isinstance(node.op, Pad)
    value = node.weights.get("value")
    around = node.op.widths[: view.channel_axis + 1]
    if (
        not isinstance(view.op, Conv)
        or node.op.mode != "constant"
        or len(node.inputs) != 1
        or any(any(pair) for pair in around)
        or view.mode not in (None, "constant")
        or form.value is not None
        or (value is not None and view.mode is not None)
    ):
        return None
    pairs = zip(view.op.padding, node.op.widths[2:], strict=True)
    op = replace(view.op, padding=tuple((a + c, b + d) for (a, b), (c, d) in pairs), mode="constant")
    cost = form.cost + Cost(operators=1)
    channels = node.type.shape[1]
    assert isinstance(channels, int)
    return Form(replace(view, op=op, source=node.inputs[0]), (*form.members, source), cost, vector(value, channels))


def _average(graph: Graph, id: NodeId) -> LinearView | None:
    """An average over windows that counts its padding, as the depthwise convolution that it is."""
    node = graph[id]
    op, channels = node.op, node.type.shape[1] if node.type.rank > 1 else None
    if not isinstance(op, AvgPool) or op.ceil or not isinstance(channels, int):
        return None
    if not op.count_include_pad and any(any(pair) for pair in op.padding):
        return None
    weight = build.fill((channels, 1, *op.kernel), Fraction(1, prod(op.kernel)))
    conv = Conv(op.stride, op.padding, (1,) * len(op.kernel), channels)
    return LinearView(node.inputs[0], conv, weight, None, 1)
