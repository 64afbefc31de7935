"""Orders of products: the same value for no more multiply-adds."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from time import perf_counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from repc.evaluate import evaluate
from repc.evaluate.floating import TorchField
from repc.ir.expr import Expr, Param, apply
from repc.ir.types import TensorType
from repc.ops import Gather
from repc.ops.associate import cheaper
from repc.ops.build import combine, div, eye, matmul, mul, permute, reduce, reshape
from repc.ops.work import multiply_adds_of

ONE = Fraction(1)


def matrix(name: str, *shape: int) -> Param:
    return Param(name, TensorType(shape))


def values(expr: Expr) -> dict[str, Tensor]:
    from repc.ir.expr import parameters

    torch.manual_seed(0)
    return {path: torch.randn(p.type.concrete(), dtype=torch.float64) for path, p in parameters([expr]).items()}


def same(old: Expr, state: dict[str, Tensor] | None = None) -> Expr:
    new = cheaper({"": old})[""]
    given = state or values(old)
    one, two = (evaluate({"": expr}, TorchField(), given)[""] for expr in (old, new))
    torch.testing.assert_close(two, one, rtol=1e-10, atol=1e-10)
    return new


def least(sizes: list[int]) -> int:
    """The fewest multiply-adds of a product, by trying every order."""
    if len(sizes) <= 2:
        return 0
    return min(
        least(sizes[: k + 1]) + least(sizes[k:]) + sizes[0] * sizes[k] * sizes[-1] for k in range(1, len(sizes) - 1)
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=3, max_size=7), st.randoms(use_true_random=False))
def test_a_product_takes_as_few_multiply_adds_as_any_order(sizes: list[int], random: object) -> None:
    factors: list[Expr] = [matrix(f"m{k}", *pair) for k, pair in enumerate(pairwise(sizes))]
    while len(factors) > 1:
        k = random.randrange(len(factors) - 1)  # type: ignore[attr-defined]
        factors[k : k + 2] = [matmul(factors[k], factors[k + 1])]
    assert multiply_adds_of([same(factors[0])]) == least(sizes)


def reflection(u: Expr) -> Expr:
    """I − 2 u uᵀ / uᵀu, as a paper has it."""
    n = u.type.concrete()[0]
    length = reduce(mul(u, u), "sum", (0, 1), keep=True)
    product = matmul(u, permute(u, (1, 0)))
    return combine([(ONE, eye(n)), (Fraction(-2), div(product, length))])


def test_a_chain_of_reflections_is_never_dense() -> None:
    """Rank 16 on 128 x 96: each reflection is a product with a vector and one of two vectors."""
    o, n, r = 128, 96, 16
    chain: Expr = reflection(matrix("u0", n, 1))
    for k in range(1, r):
        chain = matmul(chain, reflection(matrix(f"u{k}", n, 1)))
    dense = matmul(matrix("w", o, n), chain)
    new = same(dense)
    assert multiply_adds_of([new]) == 2 * r * o * n
    assert multiply_adds_of([dense]) > 20 * multiply_adds_of([new])


@pytest.mark.parametrize("left", [True, False])
def test_diagonals_scale_rows_or_columns(left: bool) -> None:
    w, c = matrix("w", 5, 7), matrix("c", 5 if left else 7)
    diagonal = mul(reshape(c, (c.type.concrete()[0], 1)), eye(c.type.concrete()[0]))
    assert multiply_adds_of([same(matmul(diagonal, w) if left else matmul(w, diagonal))]) == 0


def test_permutations_take_rows() -> None:
    index = Param("index", TensorType((6,), "i64"))
    w, b = matrix("w", 6, 4), matrix("b", 4, 3)
    old = matmul(matmul(apply(Gather(0), x=eye(6), index=index), w), b)
    given = {**values(matmul(w, b)), "index": torch.tensor([3, 1, 0, 5, 4, 2])}
    assert multiply_adds_of([same(old, given)]) == 6 * 4 * 3


def test_transposes_and_numbers_are_looked_through() -> None:
    """((a b)ᵀ c) / s has its cheapest order behind a transpose, a coefficient and a division."""
    a, b, c, s = matrix("a", 30, 2), matrix("b", 2, 40), matrix("c", 30, 3), matrix("s", 1, 1)
    product = permute(combine([(Fraction(3), matmul(a, b))]), (1, 0))
    old = matmul(div(product, s), c)
    assert multiply_adds_of([same(old)]) == 2 * 30 * 3 + 40 * 2 * 3


def test_what_is_used_elsewhere_is_made_once() -> None:
    product = matmul(matrix("a", 30, 2), matrix("b", 2, 30))
    old = {"one": product, "two": matmul(product, matrix("c", 30, 30))}
    new = cheaper(old)
    assert multiply_adds_of(new.values()) <= multiply_adds_of(old.values())
    assert new["one"] is product


def test_what_has_no_better_order_stays_the_same_expression() -> None:
    update = combine([(ONE, matrix("w", 9, 8)), (ONE, matmul(matrix("b", 9, 2), matrix("a", 2, 8)))])
    assert cheaper({"": update})[""] is update


def test_a_long_product_takes_no_time_to_order() -> None:
    """Each factor is looked at once as a part of the whole, and not again as a part of every stretch."""
    chain: Expr = matrix("m0", 4, 5)
    for k in range(1, 32):
        chain = matmul(chain, matrix(f"m{k}", 5, 5))
    started = perf_counter()
    new = same(matmul(chain, matrix("last", 5, 1)))
    assert perf_counter() - started < 5
    assert multiply_adds_of([new]) == 31 * 25 + 20


def test_a_chain_of_any_length_is_left_as_it_is() -> None:
    """Longer than Python recurses; every product of it is one of the others but the last."""
    chain: Expr = Param("w", TensorType((3, 3)))
    for _ in range(3000):
        chain = matmul(Param("w", TensorType((3, 3))), chain)
    assert cheaper({"": chain})[""] is chain
