"""The graph while it is folded: what rules ask of it, and edits that remember where to look again.

Whatever a question needs is kept up to date by the edits, so that a rule looks at a node and its surroundings only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from typing import TypeVar

from repc.ir.expr import Expr, Param
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId
from repc.ir.trace import Fact, Refusal
from repc.passes.options import Options
from repc.passes.signs import nonnegative
from repc.passes.views import AffineView, LinearView, affine_view, linear_view

V = TypeVar("V")


class Workspace:
    """A graph under folding.  Rules read `graph` freely and change it by the methods here only.

    `touched` are nodes that changed, `freed` values whose readers changed or may do more than before.

    It remembers which node of the train graph each value is (`revalue`, `bypass`), so that the folded graph can be
    numbered like the train graph: an id that both have denotes the same value, and verification compares it there.
    """

    def __init__(self, graph: Graph, options: Options) -> None:
        self.graph = graph
        self.options = options
        self.touched: list[NodeId] = []
        self.freed: list[NodeId] = []
        self._readers: dict[Expr, set[NodeId]] = {}
        self._places: dict[str, set[NodeId]] = {}
        self._kept: dict[str, bool] = {}
        self._train: dict[NodeId, NodeId] = {id: id for id in graph}
        self._linear: dict[NodeId, tuple[Node, LinearView | None]] = {}
        self._affine: dict[NodeId, tuple[Node, AffineView | None]] = {}
        for id in graph:
            self._index(id)

    # ------------------------------------------------------------ questions

    def linear(self, id: NodeId) -> LinearView | None:
        return self._viewed(self._linear, linear_view, id)

    def affine(self, id: NodeId) -> AffineView | None:
        return self._viewed(self._affine, affine_view, id)

    def kept(self, id: NodeId) -> bool:
        """Whether the target says that a node must stay as it is."""
        path = self.graph[id].path
        if path not in self._kept:
            self._kept[path] = self.options.keeps(path)
        return self._kept[path]

    def holds(self, fact: Fact) -> bool:
        """Whether a fact is known: it follows from how the weight is made, or the values are there and say so."""
        if fact.kind == "nonnegative" and nonnegative(fact.expr):
            return True
        return self.options.values is not None and fact.holds(self.options.values(fact.expr))

    def other_reader(self, id: NodeId, readers: Iterable[NodeId]) -> str | None:
        """What else reads a value, by name: a node, or an output of the network."""
        allowed = set(readers)
        others = [user for user in self.graph.users(id) if user not in allowed]
        if others:
            return self.name(others[0])
        if not self.graph.is_output(id):
            return None
        return next(f"output {name}" for name, output in self.graph.outputs.items() if output == id)

    def sharer(self, id: NodeId, site: Set[NodeId]) -> tuple[str, NodeId] | None:
        """A stored tensor of a node that a node outside of a site stores too: its name, and that node.

        A second call of the same layers is none: what folds in one folds in the other, into the same expressions.
        """
        for operand, expr in self.graph[id].weights.items():
            for other in sorted(self._readers[expr] - site - {id}):
                if self._stores(other, expr) and not self._alike(id, other, site):
                    return expr.path if isinstance(expr, Param) else f"{self.graph[id].path}.{operand}", other
        return None

    def name(self, id: NodeId) -> str:
        """A node as a person knows it: by its path, with its kind where that is not the path of a stored operator."""
        node = self.graph[id]
        kind = node.op.title
        if not node.path or id in self.graph.inputs.values() or node.path.rpartition(".")[2] == kind:
            return node.path or kind
        same = (i for i in self._places[node.path] if i in self.graph and self.graph[i].path == node.path)
        alone = node.weights and sum(bool(self.graph[i].weights) for i in same) == 1
        return node.path if alone else f"{node.path}/{kind}"

    def refusal(
        self, rule: str, edge: Iterable[NodeId], at: NodeId, reason: str, remedy: str, off: Expr | None = None
    ) -> Refusal:
        """Why a rule does not apply at a node, with the values that are in the way in the order of the data."""
        named = " -> ".join(self.name(id) for id in edge)
        return Refusal(rule, self.name(at), named, reason, remedy, self.graph[at].origin, off)

    # ------------------------------------------------------------ edits

    def add(self, node: Node) -> NodeId:
        id = self.graph.add(node)
        self._index(id)
        self.touched.append(id)
        return id

    def replace(self, id: NodeId, node: Node) -> None:
        before = self.graph[id]
        self.graph.replace(id, node)
        self._freed(before)
        self._index(id)
        self.touched.append(id)
        self.freed.extend(node.inputs)
        self._released(set(before.inputs) - set(node.inputs))

    def revalue(self, ids: Iterable[NodeId]) -> None:
        """These nodes now make other values than in the train graph."""
        for id in ids:
            self._train.pop(id, None)

    def bypass(self, old: NodeId, new: NodeId) -> None:
        """Let what reads `old` read `new`, which has the same value; remove `old` with whatever only it needed.

        Where `old` alone reads `new`, the node of `new` moves there: a sum that reads thousands is not written anew.
        """
        if self.graph.sole_user(new) == old and new not in self.graph.inputs.values():
            self.replace(old, self.graph[new])
            self.touched.extend(self.graph.users(old))
            self.freed.append(old)
            return
        if old in self._train:
            self._train.setdefault(new, self._train.pop(old))
        users = set(self.graph.users(old))
        self.graph.redirect(old, new)
        self.touched.extend((new, *users))
        self.freed.append(new)
        self._released({old})

    def numbered(self) -> Graph:
        """The graph, with the ids of the train graph for the values that it shares with it and new ones for others."""
        return self.graph.renumbered(self._train)

    def _released(self, lost: Iterable[NodeId]) -> None:
        """Values that lost a reader: without any they go, and where a single one is left, more may be legal there."""
        waiting, found = list(lost), dict[NodeId, None]()
        while waiting:
            id = waiting.pop()
            found[id] = None
            if id in self.graph and not self.graph.is_read(id) and id not in self.graph.inputs.values():
                dead = self.graph[id]
                waiting.extend(dead.inputs)
                self.graph.remove(id)
                self._freed(dead)
        left = [id for id in found if id in self.graph]
        users = [self.graph.sole_user(id) for id in left]
        self.touched.extend(user for user in users if user is not None)
        self.freed.extend(left)

    def _freed(self, node: Node) -> None:
        """What a node stored may now be stored for one other only, where more is legal than before."""
        for expr in node.weights.values():
            readers = sorted(id for id in self._readers[expr] if self._stores(id, expr))
            self.touched.extend(readers)
            self.freed.extend(source for reader in readers for source in self.graph[reader].inputs)

    def _alike(self, one: NodeId, two: NodeId, site: Set[NodeId]) -> bool:
        """Whether two nodes are the same layer, and stand before or behind the same layer on the side of the site."""
        sources = zip(self.graph[one].inputs, self.graph[two].inputs, strict=False)
        beside = [pair for pair in sources if pair[0] in site] or [tuple(map(self.graph.sole_user, (one, two)))]
        return all(a is not None and b is not None and self._same(a, b) for a, b in [(one, two), *beside])

    def _same(self, one: NodeId, two: NodeId) -> bool:
        a, b = self.graph[one], self.graph[two]
        return a.op == b.op and a.weights == b.weights

    def _stores(self, id: NodeId, expr: Expr) -> bool:
        return id in self.graph and any(expr is found for found in self.graph[id].weights.values())

    def _index(self, id: NodeId) -> None:
        node = self.graph[id]
        self._places.setdefault(node.path, set()).add(id)
        for expr in node.weights.values():
            self._readers.setdefault(expr, set()).add(id)

    def _viewed(
        self, known: dict[NodeId, tuple[Node, V | None]], look: Callable[[Graph, NodeId], V | None], id: NodeId
    ) -> V | None:
        """Views are made once for a node, so that the expressions in them are shared by all who use them."""
        node = self.graph[id]
        found = known.get(id)
        if found is None or found[0] is not node:
            found = known[id] = (node, look(self.graph, id))
        return found[1]
