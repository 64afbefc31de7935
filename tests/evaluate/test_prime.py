"""The prime field: exact kernels against Python's integers, tables, roots and signs."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from repc.evaluate.prime import LARGEST, TERMS, P, PrimeField, powers
from repc.ops import Attention, GroupNorm, LayerNorm, MaxPool, Softmax

FIELD = PrimeField("test")
SIGNED = PrimeField("test", signs=True)


def centred(x: Tensor) -> Tensor:
    """The residues of exact integers."""
    rest = x.to(torch.int64).remainder(P)
    return torch.where(rest > LARGEST, rest - P, rest).to(torch.float64)


def extreme(shape: tuple[int, ...], name: str) -> Tensor:
    """The largest residues there are, of either sign."""
    return LARGEST * FIELD.draw(shape, name).sign()


# ------------------------------------------------------------------------------------------------ arithmetic


@pytest.mark.parametrize("name", ["add", "sub", "mul"])
@pytest.mark.parametrize("turned", [False, True])
def test_arithmetic_is_that_of_integers(name: str, turned: bool) -> None:
    a, b = FIELD.draw((40, 30), "a"), FIELD.draw((40, 30), "b")
    a, b = (a.T, b.T) if turned else (a, b)
    exact = getattr(torch, name)(a.to(torch.int64), b.to(torch.int64))
    assert torch.equal(getattr(FIELD, name)(a, b), centred(exact))


def test_a_sum_of_as_many_products_as_are_allowed_is_exact() -> None:
    a = torch.full((1, TERMS), float(LARGEST), dtype=torch.float64)
    for sign in (1, -1):
        assert FIELD.matmul(a, sign * a.T).item() == centred(torch.tensor([sign * TERMS * LARGEST**2])).item()


def test_longer_sums_are_split() -> None:
    count = 2 * TERMS + 7
    a, b = extreme((2, count), "long a"), extreme((count, 3), "long b")
    # 36 bits and more: integers of 64 bits hold 2²⁷ such products.
    assert torch.equal(FIELD.matmul(a, b), centred(a.to(torch.int64) @ b.to(torch.int64)))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_convolutions_are_exact(data: st.DataObject) -> None:
    """torch's own sums of small residues are exact too, so that only the arrangement can differ."""
    draw = data.draw
    rank, groups = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    per_group, out = draw(st.integers(1, 3)), groups * draw(st.integers(1, 2))
    kernel, stride, dilation = (tuple(draw(st.integers(1, 3)) for _ in range(rank)) for _ in range(3))
    x = FIELD.draw((2, groups * per_group, *(draw(st.integers(5, 9)) for _ in range(rank))), "x")
    w = FIELD.draw((out, per_group, *kernel), "w")
    arguments = {"stride": stride, "dilation": dilation, "groups": groups}
    reached = all(d * (k - 1) < n for d, k, n in zip(dilation, kernel, x.shape[2:], strict=True))
    if reached:
        expected = (F.conv1d, F.conv2d, F.conv3d)[rank - 1](x, w, **arguments)
        assert torch.equal(FIELD.conv(x, w, stride, dilation, groups), centred(expected))
    v = FIELD.draw((groups * per_group, out, *kernel), "v")
    expected = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1](x, v, **arguments)
    assert torch.equal(FIELD.conv_transpose(x, v, stride, dilation, groups), centred(expected))


def test_what_is_no_residue_is_refused() -> None:
    with pytest.raises(AssertionError, match="residues"):
        FIELD.lift(torch.tensor([float(LARGEST + 1)]))
    counter = torch.tensor(2**40)
    assert FIELD.lift(counter) is counter


def test_rationals_are_exact() -> None:
    third = FIELD.fill((), Fraction(-1, 3))
    assert FIELD.mul(third, FIELD.fill((), Fraction(-3))).item() == 1
    assert FIELD.constant((2,), [Fraction(1, 9), Fraction(8, 9)]).sum().item() % P == 1


def test_every_residue_but_zero_has_an_inverse() -> None:
    every = torch.arange(-LARGEST, LARGEST + 1, dtype=torch.float64)
    products = FIELD.mul(every, powers(P - 2))
    assert products[LARGEST] == 0
    assert int((products == 1).sum()) == P - 1


def test_a_division_by_zero_is_remembered() -> None:
    field = PrimeField("zero")
    one = field.fill((2,), Fraction(1))
    field.div(one, one)
    assert not field.divided_by_zero
    field.div(one, torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert field.divided_by_zero


def test_whole_numbers_stay_whole() -> None:
    a, b = torch.tensor([7, -7]), torch.tensor([2, 2])
    assert FIELD.add(a, b).tolist() == [9, -5]
    assert FIELD.div(a, b).tolist() == [3, -3]
    assert FIELD.take_along(torch.arange(4.0)[None], 1, torch.tensor([[5, -1]])).tolist() == [[1, 3]]
    assert FIELD.gather(torch.arange(4.0), 0, torch.tensor([5, -1])).tolist() == [1, 3]
    assert FIELD.cast(torch.tensor([0.0, 5.0]), "bool").tolist() == [False, True]


# ------------------------------------------------------------------------------------------------ tables


@pytest.mark.parametrize("largest", [True, False])
def test_an_order_is_that_of_the_largest_elements(largest: bool) -> None:
    x = FIELD.draw((5, 7), "ordered")
    places = FIELD.order(x, 1, largest)
    assert sorted(places[0].tolist()) == list(range(7))
    first = FIELD.take_along(x, 1, places[:, :1])[:, 0]
    assert torch.equal(first, FIELD.max(x, 1) if largest else -FIELD.max(-x, 1))
    assert torch.equal(places[:, 1:] - (places[:, 1:] > places[:, :1]).long(), _rest(x, places[:, :1], largest))
    counts = torch.tensor([[2, 7, 2, -1]])
    assert FIELD.order(counts, 1, largest).tolist() == ([[1, 0, 2, 3]] if largest else [[3, 0, 2, 1]])


def _rest(x: torch.Tensor, first: torch.Tensor, largest: bool) -> torch.Tensor:
    """The order without the first element."""
    kept = torch.ones_like(x, dtype=torch.bool).scatter(1, first, False)
    return FIELD.order(x[kept].reshape(len(x), -1), 1, largest)


def test_a_table_follows_from_the_seed_the_name_and_the_constants() -> None:
    x = FIELD.draw((1000,), "x")
    found = FIELD.function("erf", (), x)
    assert torch.equal(PrimeField("test").function("erf", (), x), found)
    assert (found != 0).all()
    for other in (PrimeField("other").function("erf", (), x), FIELD.function("atan", (), x)):
        assert float((other == found).double().mean()) < 0.02
    powers = [FIELD.function("pow", (Fraction(n, 3),), x) for n in (1, 2)]
    assert float((powers[0] == powers[1]).double().mean()) < 0.02


def test_a_table_of_two_operands_knows_which_is_which() -> None:
    a, b = FIELD.draw((1000,), "a"), FIELD.draw((1000,), "b")
    found = FIELD.function("power", (), a, b)
    assert torch.equal(found, FIELD.function("power", (), a, b))
    assert float((found == FIELD.function("power", (), b, a)).double().mean()) < 0.02


@pytest.mark.parametrize("field", [FIELD, SIGNED], ids=["tables", "signs"])
def test_roots_and_absolute_values(field: PrimeField) -> None:
    x = field.draw((1000,), "x")
    square = field.mul(x, x)
    root = field.function("sqrt", (), square)
    assert torch.equal(field.function("abs", (), x), root)
    assert torch.equal(field.function("abs", (), -x), root)
    assert torch.equal(field.mul(root, field.function("rsqrt", (), square)), torch.ones(1000).double())
    assert torch.equal(field.function("sign", (), x), field.mul(x, field.function("rsqrt", (), square)))


def test_with_signs_a_positive_factor_passes_relu_and_without_none_does() -> None:
    x, r = SIGNED.draw((1000,), "x"), SIGNED.draw_positive((1000,), "r")
    for factor, holds in ((r, True), (-r, False)):
        left = SIGNED.function("relu", (), SIGNED.mul(factor, x))
        assert torch.equal(left, SIGNED.mul(factor, SIGNED.function("relu", (), x))) is holds
    apart = FIELD.function("relu", (), FIELD.mul(r, x)) != FIELD.mul(r, FIELD.function("relu", (), x))
    assert float(apart.double().mean()) > 0.98


def test_signs_multiply_and_minus_one_is_negative() -> None:
    symbols = powers((P - 1) // 2)
    assert [int((symbols == sign).sum()) for sign in (-1, 0, 1)] == [LARGEST, 1, LARGEST]
    x, y = FIELD.draw((1000,), "x"), FIELD.draw((1000,), "y")
    assert torch.equal(FIELD.sign(FIELD.mul(x, y)), FIELD.sign(x) * FIELD.sign(y))
    assert torch.equal(FIELD.sign(-x), -FIELD.sign(x))
    less = SIGNED.function("less", (), x, y)
    assert torch.equal(SIGNED.function("greater_equal", (), x, y), ~less)
    assert torch.equal(torch.where(less, y, x), SIGNED.function("maximum", (), x, y))
    assert torch.equal(torch.where(less, x, y), SIGNED.function("minimum", (), x, y))


def test_functions_are_their_own_definitions() -> None:
    x = FIELD.draw((1000,), "x")
    assert torch.equal(FIELD.function("silu", (), x), FIELD.mul(x, FIELD.function("sigmoid", (), x)))
    cube = FIELD.function("pow", (Fraction(3),), x)
    assert torch.equal(cube, FIELD.mul(FIELD.mul(x, x), x))
    assert torch.equal(
        FIELD.function("pow", (Fraction(-2),), x), FIELD.div(FIELD.fill((), Fraction(1)), FIELD.mul(x, x))
    )
    clipped = FIELD.function("relu6", (), x)
    assert torch.equal(
        clipped, FIELD.function("minimum", (), FIELD.function("relu", (), x), FIELD.fill((), Fraction(6)))
    )


# ------------------------------------------------------------------------------------------------ along an axis


def test_softmax_and_maximum_follow_permutations() -> None:
    x, order = FIELD.draw((3, 5, 4), "x"), torch.tensor([3, 0, 4, 1, 2])
    turned = x[:, order]
    assert torch.equal(FIELD.softmax(turned, 1), FIELD.softmax(x, 1)[:, order])
    assert torch.equal(FIELD.sum(FIELD.softmax(x, 1), (1,), keep=False) % P, torch.ones(3, 4))
    assert torch.equal(FIELD.max(turned, 1), FIELD.max(x, 1))


def test_a_maximum_is_one_of_its_operands_and_maxima_of_maxima_are_maxima() -> None:
    x = FIELD.draw((3, 5, 4), "x")
    found = FIELD.max(x, 1)
    assert (x == found.unsqueeze(1)).any(1).all()
    assert torch.equal(FIELD.max(FIELD.max(x, 1), 1), FIELD.max(x.reshape(3, 20), 1))
    assert torch.equal(FIELD.max(x.repeat(1, 2, 1), 1), found)
    assert float((FIELD.max(FIELD.add(x, x), 1) == FIELD.add(found, found)).double().mean()) < 0.5


@pytest.mark.parametrize(
    "op",
    [LayerNorm(1, Fraction("1e-5")), GroupNorm(2, Fraction("1e-5")), Softmax(1), MaxPool((3,), (2,), ((1, 1),), (1,))],
    ids=lambda op: op.name,
)
def test_what_is_made_of_tables_is_computed(op: LayerNorm | GroupNorm | Softmax | MaxPool) -> None:
    found = op.apply(FIELD, {"x": FIELD.draw((2, 6, 8), "x")})
    assert float(found.abs().max()) <= LARGEST
    assert torch.equal(found, found.round())


def test_attention_does_not_see_the_order_of_keys() -> None:
    q, k, v = (FIELD.draw((2, 5, 4), name) for name in "qkv")
    order = torch.tensor([3, 0, 4, 1, 2])
    op = Attention(Fraction(1, 2))
    expected = op.apply(FIELD, {"q": q, "k": k, "v": v})
    assert torch.equal(op.apply(FIELD, {"q": q, "k": k[:, order], "v": v[:, order]}), expected)
    assert not torch.equal(op.apply(FIELD, {"q": q, "k": k[:, order], "v": v}), expected)
