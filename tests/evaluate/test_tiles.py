"""Expressions by parts of their rows: put together, the parts are the whole."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from repc.evaluate import evaluate
from repc.evaluate.floating import TorchField
from repc.evaluate.tiles import tiling
from repc.ir.expr import Expr, Param, apply, parameters
from repc.ir.types import TensorType
from repc.ops import build
from repc.ops.arithmetic import Affine
from repc.ops.function import Softmax
from repc.ops.linear import Einsum, Linear
from repc.ops.reduce import Reduce
from repc.ops.select import CumSum, Gather, Take

FIELD = TorchField(torch.float64)


def p(name: str, *shape: int, dtype: str = "f32") -> Param:
    return Param(name, TensorType(shape, dtype))


W, A, B = p("W", 12, 8), p("A", 2, 8), p("B", 12, 2)
DELTA = build.add(W, build.scale(build.matmul(B, A), Fraction(3, 2)))

ROWS: dict[str, Callable[[], tuple[Expr, int]]] = {
    "a product of thin factors": lambda: (DELTA, 12),
    "magnitudes of rows": lambda: (
        build.mul(build.along(build.div(p("m", 12), build.reduce(DELTA, "norm", [1])), 0, 2), DELTA),
        12,
    ),
    "lengths of columns, computed once": lambda: (build.div(DELTA, build.reduce(DELTA, "norm", [0], keep=True)), 12),
    "turned and back": lambda: (
        build.permute(build.add(build.permute(W, [1, 0]), build.matmul(p("b", 8, 2), p("a", 2, 12))), [1, 0]),
        12,
    ),
    "blocks of rows": lambda: (
        build.reshape(build.mul(build.reshape(W, [3, 4, 8]), build.reshape(p("M", 3, 4), [3, 4, 1])), [12, 8]),
        3,
    ),
    "a flat tensor": lambda: (build.reshape(build.mul(build.reshape(W, [96]), p("flat", 96)), [12, 8]), 12),
    "models above one another": lambda: (build.reduce(p("models", 3, 12, 8), "mean", (0,)), 12),
    "a rotation of the inputs": lambda: (apply(Einsum("oi,ij->oj"), a=W, b=p("R", 8, 8)), 12),
    "a batch of products": lambda: (build.matmul(p("x", 4, 3, 2), p("y", 4, 2, 5)), 4),
    "a factor of all batches": lambda: (build.matmul(p("x", 4, 3, 2), p("z", 2, 5)), 4),
    "a linear layer": lambda: (apply(Linear(), x=W, weight=p("V", 5, 8), bias=p("c", 5)), 12),
    "softmax of rows": lambda: (apply(Softmax(1), x=W), 12),
    "softmax of columns": lambda: (build.add(W, apply(Softmax(0), x=W)), 12),
    "sums along rows": lambda: (apply(CumSum(1), x=W), 12),
    "columns picked": lambda: (apply(Take(1, (5, 0, 5)), x=W), 12),
    "rows picked": lambda: (build.mul(apply(Take(0, (3, 1, 11, 0)), x=W), p("s", 4, 1)), 4),
    "rows at computed places": lambda: (apply(Gather(0), x=W, index=p("i", 6, dtype="i64")), 6),
    "columns at computed places": lambda: (apply(Gather(1), x=W, index=p("i", 6, dtype="i64")), 12),
    "a scale and shift of rows": lambda: (apply(Affine(0), x=W, weight=p("m", 12), bias=p("n", 12)), 12),
    "a scale of columns": lambda: (apply(Affine(1), x=W, weight=p("k", 8)), 12),
    "a scalar": lambda: (build.mul(W, build.fill((), Fraction(2, 7))), 12),
    "expanded rows": lambda: (build.add(W, build.expand(p("r", 1, 8), [12, 8])), 12),
    "an expanded column": lambda: (build.expand(p("q", 12, 1), [12, 8]), 12),
    "rows of another length": lambda: (build.reshape(build.mul(build.reshape(W, [8, 12]), p("u", 12)), [12, 8]), 4),
    "the largest of all": lambda: (apply(Reduce("max", (0, 1), True), x=W), 1),
    "used whole and by rows": lambda: (build.add(DELTA, build.reduce(DELTA, "sum", [0, 1])), 12),
    "a parameter": lambda: (W, 12),
}


def drawn(expr: Expr) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(7)
    return {
        path: torch.randint(0, 8, param.type.concrete(), generator=random)
        if param.type.dtype == "i64"
        else torch.randn(param.type.concrete(), generator=random, dtype=torch.float64)
        for path, param in parameters([expr]).items()
    }


def by_parts(expr: Expr, count: int, given: dict[str, Tensor]) -> Tensor:
    """The expression from parts of `count` units, of which what is computed once is computed from everything."""
    tiles, parts = tiling(expr), []
    for start in range(0, tiles.units, count):
        units = min(count, tiles.units - start)
        part, leaves = tiles.tile(units)
        values: dict[str, Tensor] = {}
        for name, leaf in leaves.items():
            whole = evaluate({"": leaf.expr}, FIELD, given)[""]
            size = 1 if leaf.axis is None else whole.shape[leaf.axis] // tiles.units
            values[name] = whole if leaf.axis is None else whole.narrow(leaf.axis, start * size, units * size)
        parts.append(evaluate({"": part}, FIELD, values)[""])
    return torch.cat(parts) if tiles.units > 1 else parts[0]


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("count", [1, 5])
def test_parts_make_the_whole(name: str, count: int) -> None:
    expr, units = ROWS[name]()
    given = drawn(expr)
    assert tiling(expr).units == units
    wanted = evaluate({"": expr}, FIELD, given)[""]
    torch.testing.assert_close(by_parts(expr, count, given), wanted, rtol=1e-13, atol=1e-13)


def test_only_what_is_needed_is_read() -> None:
    """The thin factor of the columns is read whole, everything else by rows."""
    _, leaves = tiling(DELTA).tile(3)
    assert {(leaf.expr.path, leaf.axis) for leaf in leaves.values() if isinstance(leaf.expr, Param)} == {
        ("W", 0),
        ("B", 0),
        ("A", None),
    }
