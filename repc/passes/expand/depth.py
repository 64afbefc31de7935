"""More layers: an identity behind an operator, alone or with the nonlinearity that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from repc.ir.expr import Expr
from repc.ir.node import Node, NodeId
from repc.ir.trace import Fact
from repc.ops import build
from repc.ops.conv import Conv
from repc.ops.function import Function
from repc.ops.linear import Linear
from repc.passes.expand.growth import Growth, Unfit
from repc.passes.kernels import regroup
from repc.passes.views import LinearOperator, LinearView, linear_view


def add_identity(growth: Growth, id: NodeId) -> None:
    """Put a pointwise layer behind a linear operator, with the identity as its weight; folding composes the two."""
    site = _view(growth, id)
    growth.insert(id, _layer(growth, id, site, [1] * len(site.frame), id))


def deepen(growth: Growth, id: NodeId) -> Unfit | None:
    """Put another layer of that kernel size behind a linear operator and its relu, and a relu behind it.

    It starts as the identity (Net2DeeperNet: Chen et al. 2016, arXiv:1511.05641, section 2.3), and
    ``relu(relu(x)) = relu(x)`` relies on a sign.
    """
    graph, site = growth.graph, _view(growth, id)
    reader = graph.sole_user(id)
    if reader is None or graph[reader].op != Function("relu"):
        found = "no single operator" if reader is None else graph[reader].op.title
        return Unfit(f"it is read by {found}, where this needs a relu: relu(relu(x)) = relu(x)", "use `--as identity`")
    act = graph[reader]
    first = graph.add(replace(act))
    taps = [window.taps if window.taps % 2 else 1 for window in site.frame]
    layer = _layer(growth, first, site, taps, id)
    graph.replace(reader, replace(act, inputs=(layer,)))
    growth.facts.append(Fact("nonnegative", build.fill((), 1)))
    return None


def _view(growth: Growth, id: NodeId) -> LinearView:
    view = linear_view(growth.graph, id)
    assert view is not None, f"node {id} is no linear operator"
    return view


def _layer(growth: Growth, source: NodeId, site: LinearView, taps: Sequence[int], id: NodeId) -> NodeId:
    """A layer of the kind of an operator that keeps the sizes of a value, and starts as the identity."""
    graph, node = growth.graph, growth.graph[id]
    path = _unused(growth, f"{node.path}_more" if node.path else "more")
    channels, weight = site.out_channels, _identity(site, taps)
    op: LinearOperator = Linear()
    if taps:
        ones, pads = (1,) * len(taps), tuple((k // 2, k // 2) for k in taps)
        op = Conv(ones, pads, ones, site.groups)
    stored = growth.make(f"{path}.weight", weight, node.origin[0])
    type = op.infer({"x": graph[source].type, "weight": stored.type})
    assert type == graph[source].type, f"{channels} channels in and out"
    return graph.add(Node(op, (source,), {"weight": stored}, type, path, node.origin))


def _identity(site: LinearView, taps: Sequence[int]) -> Expr:
    """The kernel that keeps every channel, in as many groups as the operator has."""
    if not taps:
        return build.eye(site.out_channels)
    ones = [1] * len(taps)
    point = regroup(build.fill((site.out_channels, 1, *ones), 1), site.out_channels, site.groups)
    return build.pad(point, [(0, 0), (0, 0), *((k // 2, k // 2) for k in taps)])


def _unused(growth: Growth, path: str) -> str:
    taken = {growth.graph[id].path for id in growth.graph}
    taken |= {key.rpartition(".")[0] for key in growth.graph.parameters}
    found, count = path, 1
    while found in taken:
        count += 1
        found = f"{path}{count}"
    return found
