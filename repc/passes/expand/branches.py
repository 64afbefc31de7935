"""A block in the place of a linear operator that it folds to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import cast

from repc.ir.dims import Shape
from repc.ir.expr import Expr, Param, parameters
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ir.substitute import substituted
from repc.ops import build
from repc.passes.expand.growth import Growth, Unfit
from repc.passes.expand.solve import solved
from repc.passes.options import Options
from repc.passes.pipeline import fold
from repc.passes.views import LinearView, linear_view


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """The part of a block up to the node `id`, which folds to one linear operator, `view`, called `name`.

    `behind` are the operators of the block that come after it and are not taken over.
    """

    block: Graph
    id: NodeId
    view: LinearView
    name: str
    behind: tuple[str, ...]


def linear_part(block: Graph) -> Part | Unfit:
    """The part of a block that folds to one linear operator of its input, and of which everything else is made."""
    folded, trace = fold(block, Options(objective="operators"))
    (source,) = folded.inputs.values()
    readers = dict.fromkeys(folded.users(source))
    view = linear_view(folded, next(iter(readers))) if len(readers) == 1 else None
    if view is None or (id := next(iter(readers))) not in block:
        why = f": {trace.refusals[0].reason}" if trace.refusals else ""
        return Unfit(f"{block.name} folds to no linear operator of its input{why}", "give a block that does")
    named = folded[id].path if folded[id].named else ""
    taken = block.upstream([id])
    behind = tuple(block[other].op.title for other in block.order() if other not in taken)
    return Part(block, id, view, named, behind)


def become(growth: Growth, id: NodeId, part: Part) -> Unfit | None:
    """Let the block compute what the operator does: one parameter of its weight, and one of its bias, make up for it.

    The value keeps its id.  Whatever is named in the block as the operator is in the network takes its place; else the
    parts of the block go below the path of the operator.
    """
    graph, site = growth.graph, linear_view(growth.graph, id)
    assert site is not None, f"node {id} is no linear operator"
    node = graph[id]
    unlike = _unlike(site, part.view)
    if unlike is not None:
        return Unfit(f"it folds to another operator, {unlike}", "give a block that folds to this very operator")
    values = _solution(site, part)
    if isinstance(values, Unfit):
        return values
    outer, _, last = node.path.rpartition(".")
    prefix = outer if part.name and last == part.name else node.path
    own = {path: _below(prefix, path) for path in part.block.parameters}
    drawn = {new for path, new in own.items() if path not in values}
    taken = sorted(drawn & (graph.parameters.keys() | growth.made.keys()))
    if taken:
        return Unfit(f"there is a parameter {taken[0]} already", "give the parts of the block other labels")
    _splice(growth, id, part, prefix, own)
    for path, value in values.items():
        growth.make(own[path], _renamed([value], part.block, own)[value], node.origin[0])
    return None


def _unlike(site: LinearView, made: LinearView) -> str | None:
    """How the operator that a block folds to differs from the one that it shall take the place of."""
    if type(site.op) is not type(made.op):
        return f"{made.op.title} instead of {site.op.title}"
    there, here = made.weight.type.shape, site.weight.type.shape
    if there[2:] != here[2:]:
        return f"and a {_taps(here)} kernel cannot hold a {_taps(there)} one"
    for attribute in fields(site.op):
        other, own = getattr(made.op, attribute.name), getattr(site.op, attribute.name)
        if other != own:
            return f"with {attribute.name} {_shown(other)} instead of {_shown(own)}"
    return None if there == here else f"with a weight of shape {_shown(there)} instead of {_shown(here)}"


def _taps(shape: Shape) -> str:
    return "x".join(map(str, shape[2:]))


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, cast('tuple[object, ...]', value)))}]"
    return str(value)


def _solution(site: LinearView, part: Part) -> dict[str, Expr] | Unfit:
    """What two parameters of the block have to be, by path, over the others and the parameters of the operator."""
    kernel = solved(part.view.weight, site.weight, set())
    if kernel is None:
        reason = "no parameter of it enters the folded weight by itself, entry by entry"
        return Unfit(reason, "give a block in which one branch has a kernel of the whole size")
    param, value = kernel
    if part.view.bias is None:
        if site.bias is None:
            return {param.path: value}
        return Unfit("it has no bias, which the operator has", "give a block with a bias or a norm")
    wanted = build.fill((site.out_channels,), 0) if site.bias is None else site.bias
    bias = solved(part.view.bias, wanted, set(parameters([part.view.weight])))
    if bias is None:
        return Unfit("no parameter of it enters the folded bias by itself", "give a block with a bias or a norm")
    shift, moved = bias
    return {param.path: value, shift.path: substituted([moved], {param.path: value})[moved]}


def _splice(growth: Growth, id: NodeId, part: Part, prefix: str, own: Mapping[str, str]) -> None:
    """Put the nodes of the block in the place of the operator, and its parameters in that of the operator's own."""
    graph, block, node = growth.graph, part.block, growth.graph[id]
    renamed = _renamed((expr for other in block for expr in block[other].weights.values()), block, own)
    known = dict.fromkeys(block.inputs.values(), node.inputs[0])
    needed = block.upstream([part.id])
    for other in (other for other in block.order() if other in needed and other not in known):
        inner = block[other]
        moved = replace(
            inner,
            inputs=tuple(known[read] for read in inner.inputs),
            weights={name: renamed[expr] for name, expr in inner.weights.items()},
            path=_below(prefix, inner.path),
            origin=node.origin,
        )
        if other == part.id:
            graph.replace(id, moved)
        else:
            known[other] = graph.add(moved)
    read = parameters(expr for other in graph for expr in graph[other].weights.values())
    for path in parameters(node.weights.values()).keys() - read.keys():
        graph.parameters.pop(path, None)
    for path, parameter in block.parameters.items():
        init = _renamed([parameter.init], block, own)[parameter.init]
        aliases = tuple(_below(prefix, alias) for alias in parameter.aliases)
        graph.parameters[own[path]] = replace(parameter, path=own[path], init=init, aliases=aliases)


def _renamed(roots: Iterable[Expr], block: Graph, own: Mapping[str, str]) -> dict[Expr, Expr]:
    """Expressions over the parameters of the block under the paths that they have in the network."""
    return substituted(roots, {path: Param(new, block.parameters[path].type) for path, new in own.items()})


def _below(prefix: str, path: str) -> str:
    return ".".join(part for part in (prefix, path) if part)
