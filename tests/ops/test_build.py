"""The helpers build what they say, and nothing where there is nothing to do."""

from fractions import Fraction

import pytest
import torch

from repc.evaluate import evaluate
from repc.evaluate.floating import TorchField
from repc.ir.expr import Expr, Param
from repc.ir.types import ShapeError, TensorType
from repc.ops import build

A = Param("a", TensorType((2, 3)))
V = Param("v", TensorType((3,)))
GIVEN = {"a": torch.arange(1.0, 7).reshape(2, 3), "v": torch.tensor([2.0, -1, 4])}
a, v = (GIVEN[name].double() for name in "av")

BUILT: dict[str, tuple[Expr, torch.Tensor]] = {
    "add": (build.add(A, V, V), a + 2 * v),
    "sub": (build.sub(A, V), a - v),
    "combine": (build.combine([(Fraction(-2), A), (Fraction(1, 2), V)]), v / 2 - 2 * a),
    "scale": (build.scale(A, Fraction(3, 4)), a * 0.75),
    "mul": (build.mul(A, V), a * v),
    "div": (build.div(A, V), a / v),
    "matmul": (build.matmul(A, V), a @ v),
    "rsqrt": (build.rsqrt(A), a**-0.5),
    "reduce": (build.reduce(A, "mean", (1,), keep=True), a.mean(1, keepdim=True)),
    "reshape": (build.reshape(A, (3, 2)), a.reshape(3, 2)),
    "permute": (build.permute(A, (1, 0)), a.T),
    "expand": (build.expand(V, (2, 3)), v.expand(2, 3)),
    "along": (build.along(V, 1, 3), v.reshape(1, 3, 1)),
    "concat": (build.concat([A, A], 0), torch.cat([a, a])),
    "pad": (build.pad(A, ((1, 0), (0, 2))), torch.nn.functional.pad(a, (0, 2, 1, 0))),
    "take": (build.take(A, 1, 1, 3), a[:, 1:]),
    "fill": (build.fill((2,), 3), torch.full((2,), 3.0).double()),
    "eye": (build.eye(3), torch.eye(3).double()),
}


@pytest.mark.parametrize("name", BUILT)
def test_an_expression_has_the_value_and_type_of_its_name(name: str) -> None:
    expr, expected = BUILT[name]
    value = evaluate({"it": expr}, TorchField(), GIVEN)["it"]
    torch.testing.assert_close(value, expected, rtol=1e-15, atol=0)
    assert expr.type.shape == tuple(expected.shape)


def test_nothing_is_built_where_nothing_changes() -> None:
    same = [
        build.scale(A, Fraction(1)),
        build.reshape(A, (2, 3)),
        build.permute(A, (0, 1)),
        build.expand(A, (2, 3)),
        build.concat([A], 0),
        build.pad(A, ((0, 0), (0, 0))),
        build.take(A, 1, 0, 3),
    ]
    assert all(expr is A for expr in same)


def test_operands_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="b takes 2"):
        build.matmul(A, A)
