"""N3: sums of sums, and terms that occur twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from repc.ir.expr import Expr
from repc.ir.node import NodeId
from repc.ir.trace import Refusal, Step
from repc.ir.types import broadcast
from repc.ops import build
from repc.ops.arithmetic import Sum
from repc.passes.rule import Rule, origins
from repc.passes.terms import Terms, sum_node, terms
from repc.passes.workspace import Workspace


@dataclass(frozen=True, eq=False, slots=True)
class NestedMatch:
    subject: NodeId
    nested: tuple[NodeId, ...]


class CollectTerms(Rule[NestedMatch]):
    """Flatten a sum of sums, and add up the coefficients of equal terms and the constants.

    Identity: ``a·(b·x + c·y) + d·x = (ab + d)·x + ac·y``.

    Precondition: the inner sum is read by the outer one only and acts on the same shape.

    Trap: a term that cancels may be the one that gives the sum its shape; ``x + x`` has two edges in the graph, and an
    inner sum that is read twice counts twice.

    Source: distributivity.
    """

    id = "N3"

    def match(self, work: Workspace, id: NodeId) -> NestedMatch | None:
        node = work.graph[id]
        if not isinstance(node.op, Sum) or work.kept(id):
            return None
        nested = tuple(dict.fromkeys(source for source in node.inputs if self._opens(work, id, source)))
        repeated = len(set(node.inputs)) < len(node.inputs)
        found = NestedMatch(id, nested)
        return found if nested or repeated or _mergeable(terms(node).constants) else None

    def _opens(self, work: Workspace, id: NodeId, source: NodeId) -> bool:
        inner = work.graph[source]
        if not isinstance(inner.op, Sum) or inner.type != work.graph[id].type:
            return False
        if inner.weights and work.affine(source) is not None:
            return False  # a shift that a branch takes in, or that goes with one
        return work.other_reader(source, [id]) is None and not work.kept(source)

    def check(self, work: Workspace, match: NestedMatch) -> Refusal | None:
        return None

    def rewrite(self, work: Workspace, match: NestedMatch) -> list[Step]:
        node = work.graph[match.subject]
        outer = terms(node)
        activations: list[tuple[Fraction, NodeId]] = []
        constants = list(outer.constants)
        for coefficient, source in outer.activations:
            if source not in match.nested:
                activations.append((coefficient, source))
                continue
            inner = terms(work.graph[source])
            activations += [(coefficient * c, value) for c, value in inner.activations]
            constants += [(coefficient * c, value) for c, value in inner.constants]
        origin = origins(work.graph, (match.subject, *match.nested))
        total = _total(activations)
        full = any(c and work.graph[source].type == node.type for c, source in total)
        kept = tuple((c, source) for c, source in total if c or not full)
        names = tuple(work.name(id) for id in match.nested)
        if _mergeable(constants):
            constants = [(Fraction(1), build.combine(constants))]
        # A coefficient costs a product while the network runs, and nothing in a constant.
        constants = [(c, value) if abs(c) == 1 else (Fraction(1), build.scale(value, c)) for c, value in constants]
        work.replace(match.subject, replace(sum_node(node, Terms(kept, tuple(constants))), origin=origin))
        return [Step(self.id, work.name(match.subject), names, f"{len(kept)} terms", origin=origin)]


def _mergeable(constants: Sequence[tuple[Fraction, Expr]]) -> bool:
    """Whether constants add up to one that is no larger than the largest of them."""
    types = [expr.type for _, expr in constants]
    return len(types) > 1 and broadcast(types) in types


def _total(terms: Iterable[tuple[Fraction, NodeId]]) -> list[tuple[Fraction, NodeId]]:
    total: dict[NodeId, Fraction] = {}
    for coefficient, source in terms:
        total[source] = total.get(source, Fraction(0)) + coefficient
    return [(coefficient, source) for source, coefficient in total.items()]
