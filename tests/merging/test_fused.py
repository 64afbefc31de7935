"""Products that are added to a matrix, in one pass."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from repc.evaluate import evaluate
from repc.evaluate.floating import TorchField
from repc.ir.expr import Apply, Expr, Param, apply, walk
from repc.ir.types import TensorType
from repc.merging.fused import AddProduct, fused, overwritten
from repc.ops import build
from repc.ops.linear import MatMul

ROWS, RANK, COLUMNS = 5, 2, 7
W = Param("w", TensorType((ROWS, COLUMNS)))
B, A = Param("b", TensorType((ROWS, RANK))), Param("a", TensorType((RANK, COLUMNS)))
SCALE, VECTOR = Param("scale", TensorType(())), Param("vector", TensorType((COLUMNS,)))
PRODUCT = apply(MatMul(), a=B, b=A)
VALUES = {
    param.path: torch.randn(param.type.concrete(), dtype=torch.float64, generator=torch.Generator().manual_seed(i))
    for i, param in enumerate((W, B, A, SCALE, VECTOR))
}


@pytest.mark.parametrize(
    ("expr", "products"),
    [
        (build.add(W, PRODUCT), 1),
        (build.sub(W, PRODUCT), 1),
        (build.add(W, build.mul(SCALE, PRODUCT)), 1),
        (build.add(build.mul(PRODUCT, SCALE), W, PRODUCT), 2),
        (build.mul(VECTOR, build.add(W, PRODUCT)), 1),
        (build.add(W, build.mul(PRODUCT, VECTOR)), 0),
        (build.add(VECTOR, PRODUCT), 0),
        (build.add(build.scale(W, Fraction(2)), PRODUCT), 1),
        (build.mul(W, build.add(W, PRODUCT)), 1),  # what is wanted twice is not overwritten
        (build.sub(build.add(W, PRODUCT), W), 1),
        (PRODUCT, 0),
    ],
)
def test_the_values_are_the_same(expr: Expr, products: int) -> None:
    found = fused(expr)
    assert sum(isinstance(part, Apply) and isinstance(part.op, AddProduct) for part in walk([found])) == products
    given = {path: value.clone() for path, value in VALUES.items()}
    expected = evaluate({"": expr}, TorchField(torch.float64), VALUES)[""]
    actual = evaluate({"": found}, TorchField(torch.float64), given)[""]
    torch.testing.assert_close(actual, expected, rtol=1e-14, atol=1e-14)
    assert {path for path, value in VALUES.items() if not torch.equal(given[path], value)} == overwritten(found)
