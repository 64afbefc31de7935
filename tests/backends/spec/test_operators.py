"""Every operator, whatever its attributes, can be said in the language."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repc.ir.expr import Expr, Param, apply
from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId, Parameter
from repc.ir.operator import Operator
from repc.ir.types import TensorType
from repc.ops import Fill, Input, Opaque, Random, Sum
from tests.backends.spec.networks import SPAN, ZERO, again
from tests.ops.cases.case import Case, type_of
from tests.ops.test_meaning import CASES, symbolic_types


def network(case: Case, types: Mapping[str, TensorType], weights: set[str]) -> Graph:
    """A graph of the one operator: some operands are weights, as in a layer, and the others are inputs."""
    graph = Graph("Net")
    operands: dict[str, NodeId | Expr] = {}
    for name, type in types.items():
        port = f"in{name}"
        if name in weights:
            path = f"part.{name}"
            whole = type_of(case.operands[name])
            graph.parameters[path] = Parameter(
                path, whole, apply(Fill(whole.concrete(), ZERO, whole.dtype)), False, True, SPAN
            )
            operands[name] = Param(path, whole)
        else:
            graph.inputs[port] = graph.add(Node(Input(port, type), (), {}, type, port, (SPAN,)))
            operands[name] = graph.inputs[port]
    graph.outputs["result"] = add(graph, case.op, operands)
    return graph


def add(graph: Graph, op: Operator, operands: Mapping[str, NodeId | Expr]) -> NodeId:
    types = {name: graph[value].type if isinstance(value, int) else value.type for name, value in operands.items()}
    inputs = tuple(value for value in operands.values() if isinstance(value, int))
    exprs = {name: value for name, value in operands.items() if not isinstance(value, int)}
    return graph.add(Node(op, inputs, exprs, op.infer(types), "part", (SPAN,)))


@pytest.mark.parametrize(
    "operator", [op for op in CASES if op not in (Random, Opaque)], ids=lambda operator: operator.name
)
def test_an_operator_comes_back(operator: type[Operator]) -> None:
    @settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(CASES[operator], st.booleans(), st.booleans())
    def every_case(case: Case, free: bool, learnt: bool) -> None:
        if not case.operands:
            again(constant(case.op))
            return
        op, (_, *others) = case.op, case.operands
        gap = not op.variadic and list(case.operands) != [*op.required, *op.optional][: len(case.operands)]
        weights = set(others) if learnt or gap else set[str]()
        types = {name: type_of(x) for name, x in case.operands.items()}
        again(network(case, symbolic_types(case)[0] if free and not weights else types, weights))

    every_case()


def constant(op: Operator) -> Graph:
    """Something that is computed from nothing, beside an input."""
    graph = Graph("Net")
    expr = apply(op)
    graph.inputs["x"] = graph.add(Node(Input("x", expr.type), (), {}, expr.type, "x", (SPAN,)))
    graph.outputs["result"] = add(graph, Sum((ZERO + 1, ZERO + 1)), {"0": graph.inputs["x"], "1": expr})
    return graph
