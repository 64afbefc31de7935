"""Sizes in normal form against plain integers."""

import operator
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repc.ir import dims
from repc.ir.dims import Dim, symbol

H, W = symbol("h"), symbol("w")
SIZES = st.fixed_dictionaries({"h": st.integers(-9, 40), "w": st.integers(-9, 40)})
OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "//": operator.floordiv, "%": operator.mod}

Tree = tuple["Tree", str, "Tree"] | str | int


def trees() -> st.SearchStrategy[Tree]:
    leaves = st.sampled_from(("h", "w")) | st.integers(-6, 6)
    return st.recursive(
        leaves,
        lambda inner: (
            st.tuples(inner, st.sampled_from("+-*"), inner)
            | st.tuples(inner, st.sampled_from(("//", "%")), st.integers(1, 6))
        ),
        max_leaves=8,
    )


def value(tree: Tree, sizes: Mapping[str, Dim]) -> Dim:
    """The tree computed with whatever stands for the symbols."""
    if isinstance(tree, tuple):
        left, operation, right = tree
        return OPERATIONS[operation](value(left, sizes), value(right, sizes))
    return sizes[tree] if isinstance(tree, str) else tree


def form(tree: Tree) -> Dim:
    return value(tree, {"h": H, "w": W})


@given(trees(), SIZES)
def test_a_normal_form_has_the_value_of_the_integers(tree: Tree, sizes: dict[str, int]) -> None:
    assert dims.evaluate(form(tree), sizes) == value(tree, sizes)


@given(trees(), trees(), trees())
def test_equal_sums_and_products_have_equal_forms(a: Tree, b: Tree, c: Tree) -> None:
    x, y, z = form(a), form(b), form(c)
    assert x + y == y + x
    assert (x + y) * z == z * y + x * z
    assert x - (y - z) == (x + z) - y
    assert x - x == 0
    assert hash(x + y) == hash(y + x)


@given(trees(), trees(), st.integers(1, 6), st.integers(1, 6), st.integers(-9, 9))
def test_floors_obey_their_two_laws(a: Tree, b: Tree, d: int, e: int, c: int) -> None:
    q, r = form(a), form(b)
    assert (q * d + r) // d == q + r // d
    linear = H * d + c
    assert (linear // d + c) // e == (linear + c * d) // (d * e)


@given(trees(), trees(), SIZES)
def test_an_exact_quotient_times_the_divisor_is_the_dividend(a: Tree, b: Tree, sizes: dict[str, int]) -> None:
    dividend, divisor = form(a), form(b)
    quotient = dims.divide(dividend, divisor)
    if quotient is not None:
        assert dims.evaluate(quotient, sizes) * dims.evaluate(divisor, sizes) == dims.evaluate(dividend, sizes)


@pytest.mark.parametrize(
    ("dividend", "divisor", "quotient"),
    [
        (12, 4, 3),
        (12, 5, None),
        (12, 0, None),
        (12, H, None),
        (4 * H * W, 2 * W, 2 * H),
        (4 * H * W + 2 * W, 2 * W, 2 * H + 1),
        (4 * H, 3, None),
        (H, W, None),
        (H + W, H + W, 1),
        (H * W + W, H + 1, None),
        ((H // 2) * W, H // 2, W),
        (6 * H, 0, None),
    ],
)
def test_division_is_exact_or_none(dividend: Dim, divisor: Dim, quotient: Dim | None) -> None:
    assert dims.divide(dividend, divisor) == quotient


@pytest.mark.parametrize(
    ("dim", "text"),
    [
        (H, "h"),
        (2 * H - 1, "2*h - 1"),
        (-H * W, "-h*w"),
        ((H + 1) // 2, "((h + 1)//2)"),
        (((H + 1) // 2 + 1) // 2, "((h + 3)//4)"),
        (H % 2, "-2*(h//2) + h"),
    ],
)
def test_a_size_is_readable(dim: Dim, text: str) -> None:
    assert str(dim) == text


def test_symbols_and_volume() -> None:
    assert dims.symbols((3, H // 2, W)) == {"h", "w"}
    assert dims.volume((3, H, W)) == 3 * H * W
    with pytest.raises(KeyError, match="w"):
        dims.evaluate(H + W, {"h": 1})


@given(trees(), st.fixed_dictionaries({"h": st.integers(1, 40), "w": st.integers(1, 40)}))
def test_a_size_is_never_below_its_bound(tree: Tree, sizes: dict[str, int]) -> None:
    bound = dims.least(form(tree))
    actual = value(tree, sizes)
    assert isinstance(actual, int)
    assert bound is None or bound <= actual


def test_the_least_that_a_size_can_be() -> None:
    """Every free dimension is at least 1, so that there is a bound wherever nothing is subtracted from them."""
    known = {
        5: 5,
        H: 1,
        H * W + 3: 4,
        H * 2 - 3: -1,
        H // 2: 0,
        (H + 1) // 2 + 4: 5,
        (H // 2) * W * 3 + 1: 1,
        (H * 4 + 5) // 3: 3,
    }
    assert {size: dims.least(size) for size in known} == known
    assert dims.least(H - W) is None
    assert dims.least(H * (W - 3)) is None
    assert dims.least(((H - 5) // 2) * W) is None
