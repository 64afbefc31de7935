"""The steps of a graph, divided among the modules that they belong to.

The nodes below one path become the `forward` of a module there if they can run as one call, which is when no value
leaves the module and comes back into it.  Otherwise its steps stay with the module around it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

from repc.backends.torch.plan import Key, Plan
from repc.backends.torch.program import Names, Step, label_of, node_step
from repc.backends.torch.text import variable
from repc.backends.torch.tree import Branch
from repc.ir.grouping import schedule
from repc.ir.node import NodeId
from repc.ops.constant import Input

# What runs as one step of a module: a node of its own, or the region of a module inside, by its path.
Group: TypeAlias = NodeId | str


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """The `forward` of a module: its steps, what it reads and gives, and the free dimensions that it needs."""

    branch: Branch
    steps: Sequence[Step]
    reads: tuple[Key, ...]
    results: tuple[NodeId, ...]
    sizes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """`by_path` are the regions, that of the network at ``""``; `chains` the lists that run module after module."""

    by_path: dict[str, Region] = field(default_factory=dict[str, Region])
    chains: set[str] = field(default_factory=set[str])


def regions(plan: Plan) -> Regions:
    """Divide the steps of a graph among its modules."""
    ids = [id for id in plan.order if not isinstance(plan.graph[id].op, Input)]
    divider = _Divider(plan)
    divider.divide(plan.root, ids)
    return divider.found


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    """A step, the path of the module that it calls with one value, and the nodes that it stands for."""

    step: Step
    callee: str | None
    members: Sequence[NodeId]


class _Divider:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.found = Regions()
        self.owners = {id: _owners(plan, id) for id in plan.order}
        self.readers: dict[Key, set[NodeId]] = {}
        for id in plan.order:
            for key in plan.operands(id).values():
                self.readers.setdefault(key, set()).add(id)

    def divide(self, branch: Branch, ids: Sequence[NodeId]) -> Region:
        """Make the region of a module, and those of all modules inside."""
        within = set(ids)
        steps = self._chained([self._call(group, members) for group, members in self._groups(branch, ids)])
        inside = f"{branch.path}." if branch.path else ""
        reads = dict.fromkeys(key for step in steps for key in step.reads)
        region = Region(
            branch,
            steps,
            tuple(key for key in reads if not (key.startswith(inside) if isinstance(key, str) else key in within)),
            tuple(id for id in ids if self.plan.graph.is_output(id) or self.readers.get(id, within) - within),
            tuple(sorted({size for step in steps for size in step.sizes})),
        )
        self.found.by_path[branch.path] = region
        return region

    def _groups(self, branch: Branch, ids: Sequence[NodeId]) -> list[tuple[Group, list[NodeId]]]:
        """The steps of a module in an order in which they can run."""
        dissolved: set[str] = set()
        while True:
            group_of: dict[NodeId, Group] = {}
            for id in ids:
                owners = self.owners[id]
                below = owners[owners.index(branch.path) + 1 :]
                group_of[id] = next((path for path in below if path not in dissolved), self.plan.first(id))
            order, stuck = schedule(group_of, lambda id: self.readers.get(id, ()))
            if not stuck:
                return list(order.items())
            dissolved.add(next(group for group in stuck if isinstance(group, str)))

    def _call(self, group: Group, members: Sequence[NodeId]) -> _Call:
        if isinstance(group, int):
            step = node_step(self.plan, group)
            layer = self.plan.layers.get(group)
            plain = layer is not None and step.text(str) == f"{layer}({step.reads[0]})"
            return _Call(step, layer if plain else None, members)
        branch = self.plan.root.find(group)
        assert branch is not None
        region = self.divide(branch, members)

        def text(names: Names) -> str:
            return f"{names(group)}({', '.join([*map(names, region.reads), *map(variable, region.sizes)])})"

        step = Step(region.results, region.reads, label_of(group), text, frozenset(region.sizes))
        return _Call(step, group, members)

    def _chained(self, calls: Sequence[_Call]) -> list[Step]:
        """The steps, with one call for a list whose modules run one after another."""
        steps: list[Step] = []
        position = 0
        while position < len(calls):
            path = (calls[position].callee or "").rpartition(".")[0]
            size = self._chain(path, calls[position:]) if path else 0
            if size:
                self.found.chains.add(path)
                first, last = calls[position].step, calls[position + size - 1].step
                steps.append(Step(last.results, first.reads, label_of(path), _call_with(path, first.reads[0])))
            else:
                steps.append(calls[position].step)
            position += size or 1
        return steps

    def _chain(self, path: str, calls: Sequence[_Call]) -> int:
        """How many modules the list at a path has, if they are just what is called next, each with the last result."""
        branch = self.plan.root.find(path)
        if branch is None or branch.kind != "list":
            return 0
        run = calls[: len(branch.children)]
        in_order = [call.callee for call in run] == [f"{path}.{name}" for name in branch.children]
        simple = all(len(c.step.reads) == len(c.step.results) == 1 and not c.step.sizes for c in run)
        if not (in_order and simple):
            return 0
        for call, following in pairwise(run):
            result = call.step.results[0]
            private = result is not None and self.readers.get(result, set[NodeId]()) <= set(following.members)
            if following.step.reads != (result,) or not private or result in self.plan.graph.outputs.values():
                return 0
        return len(run)


def _call_with(path: str, x: Key) -> Callable[[Names], str]:
    return lambda names: f"{names(path)}({names(x)})"


def _owners(plan: Plan, id: NodeId) -> tuple[str, ...]:
    """The paths of the modules around a node, the network first. Lists, dictionaries and layers have no forward."""
    if id in plan.layers:
        path = plan.layers[id].rpartition(".")[0]
    else:
        path = plan.root.nearest(plan.graph[id].path).path if plan.operands(id) else ""
    owners = [""]
    branch = plan.root
    for name in path.split(".") if path else ():
        branch = branch.children[name]
        if branch.kind == "module" and not branch.layer:
            owners.append(branch.path)
    return tuple(owners)
