"""Which modules become blocks: the nodes, weights and parameters of a graph, divided among the paths they lie at.

The nodes below one path are a block there if they can run as one call, which is when no value leaves the module and
comes back into it.  A module that is called several times is several calls, unless its calls share a parameter.  Where
neither can be, the steps of the module stay with the module around it, under labels with dots.  So do those of mere
containers: nobody would write a block for a `Sequential`.

A parameter is declared where it lies, or further out: at the innermost module that all its readers and all its keys
are below.  From there it enters the blocks inside as any other value does, by a port.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import TypeAlias

from repc.backends.spec.standard import module_path, place
from repc.ir.expr import Apply, Expr, Param, walk
from repc.ir.graph import Graph
from repc.ir.grouping import schedule
from repc.ir.node import NodeId, Parameter
from repc.ops.constant import Input
from repc.ops.opaque import Opaque, opaque_calls

CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")

Cell: TypeAlias = NodeId | Expr
"""A value: of a node, or of weights only."""

Key: TypeAlias = NodeId | str | Apply
"""What is one for all mentions of a value: a parameter is known by its path."""


@dataclass(eq=False)
class Region:
    """A module, or one call of it: its steps in order, the parameters declared there, what it reads and gives."""

    path: str
    outer: Region | None
    nodes: frozenset[NodeId]
    steps: list[NodeId | Region] = field(default_factory=list["NodeId | Region"])
    parameters: list[Parameter] = field(default_factory=list[Parameter])
    reads: tuple[Cell, ...] = ()
    results: tuple[NodeId, ...] = ()

    def inside(self) -> Iterator[Region]:
        """This region and all below, inner ones first."""
        for step in self.steps:
            if isinstance(step, Region):
                yield from step.inside()
        yield self

    def below(self, path: str) -> bool:
        """Whether a path is this one or below."""
        return not self.path or path == self.path or path.startswith(f"{self.path}.")

    def local(self, path: str) -> str:
        """A path as seen from this module."""
        return path[len(self.path) + 1 :] if self.path else path


@dataclass(frozen=True, eq=False)
class Regions:
    """The whole network as a region, and the one that each weight expression is computed in.

    An opaque call is one step, of its first result, which `calls` gives with the others.
    """

    root: Region
    homes: Mapping[Expr, Region]
    calls: Mapping[NodeId, Sequence[NodeId]]


def key(cell: Cell) -> Key:
    """What a value is known by."""
    return cell.path if isinstance(cell, Param) else cell


def is_constant(cell: Cell) -> bool:
    """Whether it is computed from nothing, and so written wherever it is used."""
    return isinstance(cell, Apply) and not cell.args and not isinstance(cell.op, Opaque)


def divide(graph: Graph, classes: Mapping[str, str], standards: Container[NodeId]) -> Regions:
    """Divide a graph among its modules; `classes` names the class of the module at a path, where known.

    The parameters of `standards`, which are blocks of specs/std, are declared by these.
    """
    order = [id for id in graph.order() if not isinstance(graph[id].op, Input)]
    calls = {ids[0]: ids for ids in (list(nodes.values()) for nodes in opaque_calls(graph))}
    root = _Divider(graph, classes, standards, calls).divide("", None, order)
    homes = _homes(graph, root, standards)
    for region in root.inside():
        _ports(graph, region, homes, standards)
    root.reads, root.results = tuple(graph.inputs.values()), tuple(graph.outputs.values())
    return Regions(root, homes, calls)


# ---------------------------------------------------------------- nodes


@dataclass(frozen=True, slots=True)
class _Call:
    """A call of the module at a path."""

    path: str
    number: int = 0


class _Divider:
    def __init__(
        self,
        graph: Graph,
        classes: Mapping[str, str],
        standards: Container[NodeId],
        calls: Mapping[NodeId, Sequence[NodeId]],
    ) -> None:
        self.graph = graph
        self.first = {id: first for first, ids in calls.items() for id in ids}
        self.standards = standards
        places = {place(graph[id]) for id in graph if not isinstance(graph[id].op, Input)}
        keyed = {module_path(key) for key in graph.parameters}
        self.keyed = {path for key in keyed for path in _prefixes(key)}
        self.containers = _containers(places, keyed, classes)

    def divide(self, path: str, outer: Region | None, ids: Sequence[NodeId]) -> Region:
        """The region of a module and of all modules inside."""
        region = Region(path, outer, frozenset(ids))
        for group, members in self._groups(region, ids).items():
            region.steps.append(self.divide(group.path, region, members) if isinstance(group, _Call) else group)
        return region

    def _groups(self, region: Region, ids: Sequence[NodeId]) -> dict[NodeId | _Call, list[NodeId]]:
        """The steps of a module in an order in which they can run."""
        dissolved: set[str] = set(self.containers)
        split: set[str] = set()
        while True:
            group_of: dict[NodeId, NodeId | _Call] = {}
            members: dict[str, list[NodeId]] = {}
            for id in ids:
                group_of[id] = self.first.get(id, id)
                path = self._inner(region, id, dissolved)
                if path is not None:
                    members.setdefault(path, []).append(id)
            for path, some in members.items():
                if not self._reads(some):  # a block without inputs cannot be applied
                    dissolved.add(path)
                for number, part in enumerate(self._parts(path, some) if self._splits(path, split) else [some]):
                    if not self._plain(path, part):
                        group_of.update(dict.fromkeys(part, _Call(path, number)))
            order, stuck = schedule(group_of, self.graph.users)
            if not stuck and dissolved.isdisjoint(members):
                return order
            path = next((group.path for group in stuck if isinstance(group, _Call)), None)
            if path is not None:
                (dissolved if self._splits(path, split) else split).add(path)

    def _inner(self, region: Region, id: NodeId, dissolved: set[str]) -> str | None:
        """The outermost module inside a region that a node belongs to."""
        paths = _prefixes(place(self.graph[id]))
        return next((p for p in paths if region.below(p) and p != region.path and p not in dissolved), None)

    def _splits(self, path: str, split: set[str]) -> bool:
        """Whether what a module does in several places is several calls of it."""
        return path in split or path not in self.keyed

    def _plain(self, path: str, ids: Sequence[NodeId]) -> bool:
        """Whether a module is a single function or block of specs/std."""
        return len(ids) == 1 and (ids[0] in self.standards or path not in self.keyed)

    def _reads(self, ids: Sequence[NodeId]) -> bool:
        """Whether a module reads a value from around it."""
        own = set(ids)
        return any(source not in own for id in ids for source in self.graph[id].inputs)

    def _parts(self, path: str, ids: Sequence[NodeId]) -> list[list[NodeId]]:
        """The nodes of a module in parts that share no value and no parameter of the module."""
        own = set(ids)
        parts: list[tuple[list[NodeId], set[NodeId | str]]] = []
        for id in ids:
            node = self.graph[id]
            params = (part.path for part in walk(node.weights.values()) if isinstance(part, Param))
            sources = (source for source in node.inputs if source in own)
            links = {id, self.first.get(id, id), *sources, *filter(_below(path), params)}
            joined = [part for part in parts if part[1] & links]
            parts = [part for part in parts if part not in joined]
            parts.append(([*(n for part in joined for n in part[0]), id], links.union(*(part[1] for part in joined))))
        return [part for part, _ in parts]


def _below(path: str) -> Callable[[str], bool]:
    return lambda key: key.startswith(f"{path}.")


def _prefixes(path: str) -> list[str]:
    """The modules around and at a path, the outermost first, without the network."""
    parts = path.split(".") if path else []
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _containers(places: set[str], keyed: set[str], classes: Mapping[str, str]) -> set[str]:
    """The modules that only hold others: by their class, or, where that is not known, by the numbers of their parts."""
    parts: dict[str, set[str]] = {}
    for path in (prefix for full in (*places, *keyed) for prefix in _prefixes(full)):
        parts.setdefault(module_path(path), set()).add(path.rpartition(".")[2])
    unknown = {
        path
        for path, names in parts.items()
        if path not in classes and path not in places | keyed and all(name.isdecimal() for name in names)
    }
    return unknown | {path for path, name in classes.items() if name in CONTAINERS}


# ---------------------------------------------------------------- weights


def _homes(graph: Graph, root: Region, standards: Container[NodeId]) -> dict[Expr, Region]:
    """Where weight expressions are computed; parameters are entered into the regions that declare them."""
    readers: dict[Key, list[Region]] = {}

    def read(expr: Expr, region: Region) -> None:
        readers.setdefault(key(expr), []).append(region)

    roots: list[Expr] = []
    for region in root.inside():
        for step in region.steps:
            if isinstance(step, int) and step not in standards:
                roots += graph[step].weights.values()
                for expr in graph[step].weights.values():
                    read(expr, region)
    homes: dict[Expr, Region] = {}
    exprs = list(walk(roots))
    for expr in reversed(exprs):
        if isinstance(expr, Apply):
            homes[expr] = reduce(_common, readers[expr])
            for part in expr.args.values():
                read(part, homes[expr])
    declared: dict[str, Region] = {}
    owned = {
        part.path
        for id in graph
        if id in standards
        for part in walk(graph[id].weights.values())
        if isinstance(part, Param)
    }
    rest = [parameter for path, parameter in graph.parameters.items() if path not in owned]
    for parameter in sorted(rest, key=lambda p: isinstance(p.init, Apply) and not p.init.args):
        declared[parameter.path] = home = _home(parameter, readers.get(parameter.path), root)
        for part in walk([parameter.init]):
            if isinstance(part, Param):
                read(part, home)
    for parameter in rest:
        declared[parameter.path].parameters.append(parameter)
    homes.update((expr, declared[expr.path]) for expr in exprs if isinstance(expr, Param))
    return homes


def _home(parameter: Parameter, readers: Sequence[Region] | None, root: Region) -> Region:
    """The innermost region around all readers of a parameter and all its keys."""
    modules = [module_path(key) for key in (parameter.path, *parameter.aliases)]
    if readers is not None:
        region = reduce(_common, readers)
        while region.outer is not None and not all(map(region.below, modules)):
            region = region.outer
        return region
    region, inner = root, root
    while inner is not None:
        region = inner
        regions = (step for step in region.steps if isinstance(step, Region))
        inner = next((step for step in regions if all(map(step.below, modules))), None)
    return region


def _common(a: Region, b: Region) -> Region:
    """The innermost region around both."""
    around: list[Region] = []
    outer: Region | None = a
    while outer is not None:
        around.append(outer)
        outer = outer.outer
    while b not in around:
        assert b.outer is not None
        b = b.outer
    return b


# ---------------------------------------------------------------- ports


def _ports(graph: Graph, region: Region, homes: Mapping[Expr, Region], standards: Container[NodeId]) -> None:
    """What a region reads from around it, in the order of reading, and what is read of it."""
    reads: dict[Key, Cell] = {}

    def read(cell: Cell) -> None:
        if isinstance(cell, int):
            if cell not in region.nodes:
                reads[cell] = cell
        elif isinstance(cell, Apply) and homes[cell] is region:
            for part in cell.args.values():
                read(part)
        elif homes[cell] is not region and not is_constant(cell):
            reads[key(cell)] = cell

    for step in region.steps:
        if isinstance(step, Region):
            cells: Iterable[Cell] = step.reads
        else:
            cells = graph[step].inputs if step in standards else graph[step].operands().values()
        for cell in cells:
            read(cell)
    region.reads = tuple(reads.values())
    region.results = tuple(
        id
        for id in sorted(region.nodes)
        if graph.is_output(id) or any(user not in region.nodes for user in graph.users(id))
    )
