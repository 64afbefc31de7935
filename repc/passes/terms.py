"""A sum as a list of terms: values that are computed, and constants."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeAlias

from repc.ir.expr import Expr
from repc.ir.node import Node, NodeId
from repc.ops.arithmetic import Sum
from repc.passes.workspace import Workspace

Activations: TypeAlias = tuple[tuple[Fraction, NodeId], ...]
Constants: TypeAlias = tuple[tuple[Fraction, Expr], ...]


@dataclass(frozen=True, eq=False, slots=True)
class Terms:
    """The operands of a sum, each with its coefficient."""

    activations: Activations
    constants: Constants


def terms(node: Node) -> Terms:
    """What a sum adds."""
    assert isinstance(node.op, Sum)
    operands = list(zip(node.op.coefficients, node.operands().values(), strict=True))
    return Terms(
        tuple((coefficient, value) for coefficient, value in operands if isinstance(value, int)),
        tuple((coefficient, value) for coefficient, value in operands if not isinstance(value, int)),
    )


def sum_node(node: Node, terms: Terms) -> Node:
    """The sum with other terms, the constants last."""
    count = len(terms.activations)
    return replace(
        node,
        op=Sum(tuple(coefficient for coefficient, _ in (*terms.activations, *terms.constants))),
        inputs=tuple(id for _, id in terms.activations),
        weights={str(count + i): expr for i, (_, expr) in enumerate(terms.constants)},
    )


def all_merged(node: Node, merged: Set[NodeId]) -> bool:
    """Whether nothing is left of a sum when these terms are one."""
    found = terms(node)
    return not found.constants and all(id in merged for _, id in found.activations)


def shorten(work: Workspace, subject: NodeId, base: NodeId, merged: Set[NodeId]) -> None:
    """Put `base` in the place of the merged terms of a sum, of which nothing is left where that is the only term."""
    node = work.graph[subject]
    if all_merged(node, merged):
        work.bypass(subject, base)
        return
    found = terms(node)
    rest = (term for term in found.activations if term[1] not in merged)
    work.replace(subject, sum_node(node, Terms(((Fraction(1), base), *rest), found.constants)))
