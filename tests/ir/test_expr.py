"""Weight expressions as a DAG."""

from repc.ir.expr import Expr, apply_all, parameters, walk
from repc.ops import Concat, build
from tests.ir.nets import param

A, B = param("a", 2, 2), param("b", 2, 2)


def test_walk_visits_shared_parts_once_and_operands_first() -> None:
    shared = build.mul(A, B)
    root = build.add(shared, shared, A)
    assert list(walk([root, shared])) == [A, B, shared, root]


def test_a_deep_expression_needs_no_stack() -> None:
    expr: Expr = A
    for _ in range(20_000):
        expr = build.add(expr, B)
    assert sum(1 for _ in walk([expr])) == 20_002


def test_parameters_by_path() -> None:
    assert parameters([build.add(A, B), build.eye(2)]) == {"a": A, "b": B}


def test_a_variadic_operator_numbers_its_operands() -> None:
    joined = apply_all(Concat(0), [A, B, A])
    assert list(joined.args.items()) == [("0", A), ("1", B), ("2", A)]
    assert joined.type.shape == (6, 2)
