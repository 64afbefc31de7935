"""How two graphs compute one value from earlier ones that both have, and the smallest sizes that show all of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from repc.evaluate.graphs import between
from repc.ir.dims import Dim, evaluate, symbols
from repc.ir.expr import Expr, Param
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId
from repc.ops import (
    Affine,
    AvgPool,
    BatchNorm,
    Binary,
    Cast,
    Concat,
    Conv,
    ConvTranspose,
    Detach,
    Divide,
    Dropout,
    Function,
    Linear,
    MaxPool,
    Multiply,
    Pad,
    Permute,
    PRelu,
    Slice,
    Sum,
    Where,
)

LOCAL = (
    *(Conv, ConvTranspose, MaxPool, AvgPool, Pad, Linear, Affine, BatchNorm, Sum, Multiply, Divide, Concat, Slice),
    *(Function, Binary, PRelu, Where, Permute, Cast, Detach, Dropout),
)
BATCH = 2  # so that a fold that mixes samples shows
MOST = 2**16  # the largest size that is tried


@dataclass(frozen=True, eq=False)
class Segment:
    """Two ways to compute a value that both graphs have.

    `given` maps the values that the train side starts from to their twins, from which the fused side starts.  `opened`
    are the values of the fused graph that it does not start from, but computes.
    """

    result: NodeId
    twin: NodeId
    train: tuple[NodeId, ...]
    fused: tuple[NodeId, ...]
    given: Mapping[NodeId, NodeId]
    opened: frozenset[NodeId]


def segments(train: Graph, fused: Graph, same: Mapping[NodeId, NodeId]) -> Iterator[Segment]:
    """What has to be equal for the graphs to be: every value that both have, from the values before it.

    `same` maps nodes of the training graph to those that are said to have the same value.  Where both graphs compute a
    value by one and the same operator from the same values there is nothing to show, and no segment.
    """
    frame = _Frame.of(train, fused, same)
    for result, twin in same.items():
        if result not in train.inputs.values():
            found = frame.segment(result, twin, {twin})
            if not _is_shared(train, fused, found):
                yield found


def wider(train: Graph, fused: Graph, same: Mapping[NodeId, NodeId], segment: Segment) -> Segment | None:
    """The segment from before the latest start that depends on another one; None where each is on its own.

    The sides of a segment may differ because two starts are drawn as if they had nothing to do with each other.
    """
    starts = {*segment.given.values(), *_sources(fused, segment.fused)}
    related = [id for id in starts if len(starts & fused.upstream([id])) > 1]
    if not related:
        return None
    frame = _Frame.of(train, fused, same)
    return frame.segment(segment.result, segment.twin, {*segment.opened, frame.latest(related)})


@dataclass(frozen=True, eq=False)
class _Frame:
    """Both graphs, the values that they share, their inputs among them, and the order of the fused one."""

    train: Graph
    fused: Graph
    cuts: Mapping[NodeId, NodeId]
    rank: Mapping[NodeId, int]

    @classmethod
    def of(cls, train: Graph, fused: Graph, same: Mapping[NodeId, NodeId]) -> _Frame:
        cuts = {**same, **{id: fused.inputs[name] for name, id in train.inputs.items() if name in fused.inputs}}
        return cls(train, fused, cuts, {id: position for position, id in enumerate(fused.order())})

    def segment(self, result: NodeId, twin: NodeId, opened: set[NodeId]) -> Segment:
        """Back to values that both sides start from.

        One that a single side starts from is computed by that side too, and before it what depends on it.
        """
        inputs = self.fused.inputs.values()
        while True:
            stops = {id: other for id, other in self.cuts.items() if other not in opened and id != result}
            ours = tuple(between(self.train, [result], stops))
            theirs = tuple(between(self.fused, [twin], {*stops.values(), *inputs}))
            given = {id: stops[id] for id in _sources(self.train, ours)}
            starts = {*given.values(), *_sources(self.fused, theirs)}
            one_sided = set(given.values()) ^ _sources(self.fused, theirs)
            related = [id for id in starts.difference(inputs) if one_sided & self.fused.upstream([id])]
            if not related:
                return Segment(result, twin, ours, theirs, given, frozenset(opened))
            opened.add(self.latest(related))

    def latest(self, ids: Collection[NodeId]) -> NodeId:
        return max(ids, key=lambda id: self.rank[id])


def _sources(graph: Graph, nodes: tuple[NodeId, ...]) -> set[NodeId]:
    return {source for id in nodes for source in graph[id].inputs}.difference(nodes)


def _is_shared(train: Graph, fused: Graph, segment: Segment) -> bool:
    if len(segment.train) != 1 or len(segment.fused) != 1:
        return False
    ours, theirs = train[segment.result], fused[segment.twin]
    return (
        ours.op == theirs.op
        and tuple(segment.given[id] for id in ours.inputs) == theirs.inputs
        and ours.weights.keys() == theirs.weights.keys()
        and all(_is_same(ours.weights[name], theirs.weights[name]) for name in ours.weights)
    )


def _is_same(a: Expr, b: Expr) -> bool:
    return a is b or (isinstance(a, Param) and isinstance(b, Param) and a.path == b.path)


# ------------------------------------------------------------------------------------------------ sizes


def tile(train: Graph, fused: Graph, segment: Segment, shift: int) -> dict[str, int]:
    """The least free dimensions at which what a segment starts from is a tile that shows all of it.

    A tile has as many positions as one result reads, and a stride period more: there is an interior, and every way to
    be at a border.  `shift` makes every other axis one larger, so that two tiles see even and odd sizes.
    """
    extent = max(_extent(train, segment.train), _extent(fused, segment.fused))
    wanted: list[tuple[Dim, int]] = []
    for id in segment.given:
        wanted += [(dim, extent + (axis + shift) % 2) for axis, dim in enumerate(train[id].type.shape)]
    for graph, nodes in ((train, segment.train), (fused, segment.fused)):
        wanted += [(dim, 1) for id in nodes for dim in graph[id].type.shape]
    return least(train, wanted)


def least(graph: Graph, wanted: Iterable[tuple[Dim, int]]) -> dict[str, int]:
    """The least free dimensions, one after another by name, at which every size has its extent; batches have two."""
    front = symbols(dim for id in graph.inputs.values() for dim in graph[id].type.shape[:1])
    bound = dict.fromkeys(front, BATCH)
    free = [(dim, least, symbols([dim])) for dim, least in wanted if symbols([dim])]
    for name in sorted(set[str]().union(*(names for _, _, names in free)) - bound.keys()):
        known = bound.keys() | {name}
        decided = {(dim, least) for dim, least, names in free if name in names and names <= known}

        def fits(size: int, name: str = name, decided: set[tuple[Dim, int]] = decided) -> bool:
            sizes = {**bound, name: size}
            return all(evaluate(dim, sizes) >= least for dim, least in decided)

        bound[name] = bisect_left(range(MOST), True, key=fits)
    return bound


def _extent(graph: Graph, nodes: tuple[NodeId, ...]) -> int:
    """How many positions one result reads along an axis, and a stride period more."""
    seen: dict[NodeId, tuple[int, int]] = {}
    for id in nodes:
        before = [seen.get(source, (1, 1)) for source in graph[id].inputs] or [(1, 1)]
        read, step = max(read for read, _ in before), max(step for _, step in before)
        reach, stride = _window(graph[id])
        seen[id] = read + reach * step, step * stride
    return max((read + step for read, step in seen.values()), default=2)


def _window(node: Node) -> tuple[int, int]:
    """By how many positions a window goes beyond one, and by how many it moves."""
    match node.op:
        case Conv() | ConvTranspose():
            weight = node.weights.get("weight")
            kernel = weight.type.concrete()[2:] if weight else ()
            reach = max((d * (k - 1) for d, k in zip(node.op.dilation, kernel, strict=False)), default=0)
            return max(reach, *map(sum, node.op.padding)), max(node.op.stride) if isinstance(node.op, Conv) else 1
        case Pad():
            return max(map(sum, node.op.widths)), 1
        case MaxPool() | AvgPool():
            return max(node.op.kernel) * max(getattr(node.op, "dilation", (1,))) - 1, max(node.op.stride)
        case _:
            return 0, 1


def is_local(graph: Graph, nodes: tuple[NodeId, ...]) -> bool:
    """Whether no operator looks at the whole of a free axis, but for the batch, so that a tile shows all sizes."""
    front = symbols(dim for id in graph.inputs.values() for dim in graph[id].type.shape[:1])
    return all(
        isinstance(graph[id].op, LOCAL) or not symbols(graph[source].type.shape) - front
        for id in nodes
        for source in graph[id].inputs
    )
