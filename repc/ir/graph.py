"""The typed graph: nodes in a networkx multigraph, one edge per operand.

This is the only module that uses networkx.  A multigraph, keyed by operand position, because ``x + x`` has two edges;
`lexicographical_topological_sort` by node id wherever order shows, because the plain sort depends on insertion.
Rewriting touches a node and its neighbours only, so that folding costs about as many steps as there are nodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from repc.ir.node import Node, NodeId, Parameter

if TYPE_CHECKING:
    import networkx as nx


class Graph:
    """A network: its nodes, named inputs and outputs, and declared parameters.

    `inputs` maps the names of the runtime inputs to their nodes, `outputs` the names of the results.  `parameters`
    lists what a training state_dict holds, in the order of the spec; a fused graph keeps the list it was made from.
    `names` has what an imported network calls its values, where it does.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.inputs: dict[str, NodeId] = {}
        self.outputs: dict[str, NodeId] = {}
        self.parameters: dict[str, Parameter] = {}
        self.names: dict[NodeId, str] = {}
        self._built: nx.MultiDiGraph[NodeId] | None = None
        self._nodes: dict[NodeId, Node] = {}
        self._next = 0

    # ------------------------------------------------------------ reading

    def __getitem__(self, id: NodeId) -> Node:
        return self._nodes[id]

    def __contains__(self, id: NodeId) -> bool:
        return id in self._nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[NodeId]:
        """Every node in the order of creation, which needs no sorting."""
        return iter(self._nodes)

    def order(self) -> list[NodeId]:
        """Every node after its operands; ties in the order of creation."""
        from networkx import lexicographical_topological_sort

        return list(lexicographical_topological_sort(self._net))

    def users(self, id: NodeId) -> list[NodeId]:
        """The nodes that read a value, one entry per operand that does."""
        return sorted(user for _, user, _ in self._net.out_edges(id, keys=True))

    def is_output(self, id: NodeId) -> bool:
        return id in self.outputs.values()

    def is_read(self, id: NodeId) -> bool:
        """Whether a node or an output reads a value."""
        return self.is_output(id) or bool(self._net.succ[id])

    def read_only_by(self, id: NodeId, readers: Collection[NodeId]) -> bool:
        """Whether nothing but these nodes reads a value; a value with thousands of readers is not looked through."""
        found = self._net.succ[id]
        return not self.is_output(id) and len(found) <= len(readers) and all(user in readers for user in found)

    def sole_user(self, id: NodeId) -> NodeId | None:
        """The only node that reads a value, once, or None where another one or an output reads it too."""
        readers = self._net.succ[id]
        if len(readers) != 1 or self.is_output(id):
            return None
        (user,) = readers
        return user if len(readers[user]) == 1 else None

    def upstream(self, roots: Iterable[NodeId]) -> set[NodeId]:
        """The nodes that `roots` depend on, themselves included."""
        found: set[NodeId] = set()
        waiting = list(roots)
        while waiting:
            id = waiting.pop()
            if id not in found:
                found.add(id)
                waiting.extend(self._nodes[id].inputs)
        return found

    # ------------------------------------------------------------ writing

    def add(self, node: Node) -> NodeId:
        id = self._next
        self._next += 1
        self._put(id, node)
        return id

    def replace(self, id: NodeId, node: Node) -> None:
        """Put another node in the place of one; its users stay."""
        self._net.remove_edges_from(list(self._net.in_edges(id, keys=True)))
        self._nodes[id] = node
        self._connect(id, node)

    def redirect(self, old: NodeId, new: NodeId) -> None:
        """Let everything that reads `old` read `new`."""
        for user in set(self.users(old)):
            node = self._nodes[user]
            self._nodes[user] = replace(node, inputs=tuple(new if i == old else i for i in node.inputs))
            # Only the edges that change: an operator may have thousands of operands.
            for position in list(self._net[old][user]):
                self._net.remove_edge(old, user, key=position)
                self._net.add_edge(new, user, key=position)
        self.outputs = {name: new if id == old else id for name, id in self.outputs.items()}

    def remove(self, id: NodeId) -> None:
        """Take out a node that nobody reads."""
        assert not self.users(id) and not self.is_output(id), f"node {id} is still read"
        self._net.remove_node(id)
        del self._nodes[id]

    def prune(self, id: NodeId) -> list[NodeId]:
        """Remove a node and whatever only it needed; runtime inputs stay. The removed ids are returned."""
        removed: list[NodeId] = []
        waiting = [id]
        while waiting:
            dead = waiting.pop()
            if dead in self._nodes and dead not in self.inputs.values() and not self.is_read(dead):
                waiting.extend(self._nodes[dead].inputs)
                self.remove(dead)
                removed.append(dead)
        return removed

    def drop_dead(self) -> None:
        """Remove what no output depends on; runtime inputs stay."""
        needed = self.upstream(self.outputs.values()) | set(self.inputs.values())
        for id in reversed(self.order()):
            if id not in needed:
                self.remove(id)

    def renumbered(self, ids: Mapping[NodeId, NodeId]) -> Graph:
        """The same graph where the nodes have the given ids, and those that are given none have new ones.

        An id says which value a node makes, so that names go with the given ids.
        """
        other = Graph(self.name)
        unused = count(max(self._next, *ids.values(), 0))
        known: dict[NodeId, NodeId] = {}
        for id in self.order():
            node = self._nodes[id]
            known[id] = ids[id] if id in ids else next(unused)
            other._put(known[id], replace(node, inputs=tuple(known[source] for source in node.inputs)))
        other._next = next(unused)
        other.inputs = {name: known[id] for name, id in self.inputs.items()}
        other.outputs = {name: known[id] for name, id in self.outputs.items()}
        other.parameters = dict(self.parameters)
        given = {ids[id] for id in known if id in ids}
        other.names = {id: name for id, name in self.names.items() if id in given}
        return other

    def copy(self) -> Graph:
        """An independent graph over the same (frozen) nodes, with the same ids."""
        other = Graph(self.name)
        other.inputs, other.outputs = dict(self.inputs), dict(self.outputs)
        other.parameters, other.names = dict(self.parameters), dict(self.names)
        other._nodes, other._next = dict(self._nodes), self._next
        return other

    def _put(self, id: NodeId, node: Node) -> None:
        self._nodes[id] = node
        if self._built is not None:
            self._built.add_node(id)
            self._connect(id, node)

    @property
    def _net(self) -> nx.MultiDiGraph[NodeId]:
        """The topology, made when it is first asked for: a spec that is only checked never needs it, nor networkx."""
        if self._built is None:
            from networkx import MultiDiGraph

            self._built = MultiDiGraph()
            self._built.add_nodes_from(self._nodes)
            for id, node in self._nodes.items():
                self._connect(id, node)
        return self._built

    def _connect(self, id: NodeId, node: Node) -> None:
        for position, source in enumerate(node.inputs):
            self._net.add_edge(source, id, key=position)


def value_names(graph: Graph, suffix: Callable[[Node], str]) -> Iterator[tuple[NodeId, str]]:
    """A unique, stable name for every value: its own, else ``path/suffix``, numbered where that is taken."""
    taken = Counter(graph.names[id] for id in graph if id in graph.names)
    for id in graph.order():
        node = graph[id]
        if id in graph.names:
            yield id, graph.names[id]
            continue
        base = f"{node.path}/{suffix(node)}" if node.path else suffix(node)
        before = taken[base]
        taken[base] += 1
        yield id, f"{base}.{before}" if before else base
