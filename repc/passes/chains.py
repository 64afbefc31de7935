"""A value as one linear map of a value further up, through all the linear operators in between.

What a fold costs depends on all that goes: a composition that is dear alone is free where it then merges with a branch
beside it.  So operators in a row, and sums of them, are seen as one map before anything is rewritten, with what they
cost now; rules rewrite what pays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from repc.ir.node import NodeId
from repc.ops.arithmetic import Sum
from repc.ops.pool import AvgPool
from repc.passes.branches import Branch, Chain, by_source
from repc.passes.compose import aligned, as_convolution, fault, outline
from repc.passes.cost import Cost, running, stored
from repc.passes.depthwise import depthwise
from repc.passes.families import families, merged
from repc.passes.parallel import plan
from repc.passes.terms import Activations, terms
from repc.passes.views import FLOAT, AffineView
from repc.passes.workspace import Workspace

REACH = 6  # how many operators in a row are seen as one, and how deep sums may lie in each other


def chains(work: Workspace, id: NodeId, reach: int = REACH) -> Iterator[Chain]:
    """The operator that makes a value, then with one more above it, and so on; after a fault there is no more."""
    chain = None if work.kept(id) else _link(work, id, reach)
    while chain is not None:
        yield chain
        source = chain.view.source
        free = not work.kept(source) and work.graph.read_only_by(source, chain.nodes)
        above = _link(work, source, reach - 1) if free and chain.fault is None and len(chain.row) < reach else None
        chain = above and _joined(work, chain, above)


def views(work: Workspace, sum_id: NodeId, terms: Activations, reach: int = REACH) -> list[Branch]:
    """Every way to see each term; one that something else needs, or that must stay, is only itself."""
    found: list[Branch] = []
    for coefficient, id in terms:
        found.append(Branch(coefficient, id, AffineView(id)))
        if work.kept(id) or not work.graph.read_only_by(id, (sum_id,)):
            continue
        affine = work.affine(id) if work.linear(id) is None else None
        if affine is not None:
            found.append(Branch(coefficient, id, affine))
        for chain in chains(work, id, reach):
            exact = chain.fault is None and chain.view.fill is None
            if exact and (affine is None or len(chain.nodes) > 1):
                found.append(Branch(coefficient, id, chain))
                plain = as_convolution(chain.view) if len(chain.links) == 1 else None
                if plain is not None:
                    found.append(Branch(coefficient, id, replace(chain, links=(plain,), view=plain)))
    return found


def _link(work: Workspace, id: NodeId, reach: int) -> Chain | None:
    """A single operator, or a sum that merges; None for what is not linear."""
    node, view = work.graph[id], work.linear(id)
    if view is not None:
        return Chain((id,), (view,), (id,), id, view, running(view))
    if not node.inputs or node.type.dtype != FLOAT:
        return None
    affine = work.affine(id)
    view = depthwise(node, affine, work.graph[node.inputs[0]].type)
    if view is None:
        return _merged(work, id, reach - 1) if isinstance(node.op, Sum) and reach else None
    if isinstance(node.op, AvgPool):
        return Chain((id,), (view,), (id,), id, view, running(view))
    # What only scales, shifts or pads takes no multiply-adds.
    parts = (view.fill,) if affine is None else (affine.scale, view.bias)
    return Chain((id,), (view,), (id,), id, view, Cost(0, stored(part for part in parts if part is not None), 1))


def _merged(work: Workspace, id: NodeId, reach: int) -> Chain | None:
    """A sum of which all terms are maps of one value."""
    found = terms(work.graph[id])
    count = len(found.activations)
    if found.constants or count < 2:
        return None
    groups = by_source(views(work, id, found.activations, reach))
    kernels = (family for group in groups if len(group) >= count for family in families(work, group))
    whole = next((plan(*family, "operators") for family in kernels if len(family[0]) == count), None)
    if whole is None or not isinstance(whole.base.branch.made, Chain):
        return None
    nodes = (id, *(node for kernel in whole.members for node in kernel.branch.nodes))
    view = merged(whole)
    return Chain((id,), (view,), nodes, whole.base.branch.made.base, view, whole.before() + Cost(operators=1))


def _joined(work: Workspace, outer: Chain, inner: Chain) -> Chain | None:
    """Two chains in a row as one."""
    pair = aligned(outer.view, inner.view)
    if pair is None:
        return None
    # Multiply-adds are counted for a position of the result, or of the source of a transposed convolution.
    if pair[0].transposed:
        cost = inner.cost + outer.cost.times(prod(inner.view.stride))
    else:
        cost = outer.cost + inner.cost.times(prod(outer.view.stride))
    base = min(outer.base, inner.base, key=lambda id: (work.linear(id) is None, work.affine(id) is not None))
    row, links, nodes = outer.row + inner.row, outer.links + inner.links, outer.nodes + inner.nodes
    return Chain(row, links, nodes, base, outline(*pair), cost, fault(*pair))
