"""Equality of vectors by the laws of arithmetic."""

from __future__ import annotations

from fractions import Fraction

from repc.ir.expr import Expr, Param, apply
from repc.ir.types import TensorType
from repc.ops import Function, build
from repc.ops.arithmetic import Detach, Divide
from repc.passes.equal import equal


def param(name: str, size: int = 4) -> Param:
    return Param(name, TensorType((size,)))


def test_arithmetic_has_a_normal_form() -> None:
    """A quotient by a root is a product with the inverse root; what is not equal is not said to be."""
    a, b, v, eps = param("a"), param("b"), param("v"), build.fill((), 1)
    root = build.add(v, eps)
    sqrt = apply(Function("sqrt"), x=root)
    one = build.sub(a, apply(Divide(), a=build.mul(a, b), b=sqrt))
    two = build.sub(apply(Detach(), x=a), build.mul(build.mul(b, build.rsqrt(root)), a))
    assert equal(one, two)
    assert not equal(one, build.sub(b, build.mul(a, build.rsqrt(root))))
    assert not equal(one, build.sub(a, build.mul(build.mul(a, b), build.rsqrt(v))))
    outer = build.mul(build.reshape(a, (4, 1)), build.reshape(b, (1, 4)))
    turned = build.mul(build.reshape(b, (4, 1)), build.reshape(a, (1, 4)))
    assert not equal(outer, turned)


def test_what_adds_up_to_nothing_is_zero() -> None:
    a = param("a")
    assert equal(None, None)
    assert equal(build.sub(build.scale(a, Fraction(2)), build.add(a, a)), None)
    assert equal(build.fill((4,), 0), None)
    assert not equal(a, None)


def test_products_are_multiplied_out() -> None:
    """The bias of a convolution behind which a norm folded: (b - m)·s + t and b·s + (t - m·s)."""
    b, m, s, t = map(param, "bmst")
    one = build.add(build.mul(build.sub(b, m), s), t)
    assert equal(one, build.add(build.mul(b, s), build.sub(t, build.mul(m, s))))


def test_the_axis_of_a_vector_matters_to_what_is_no_arithmetic() -> None:
    """Transposes of each other are made of the same vectors."""
    a, b = param("a"), param("b")
    one = build.mul(build.reshape(a, (4, 1)), build.reshape(b, (1, 4)))
    other = build.mul(build.reshape(a, (1, 4)), build.reshape(b, (4, 1)))
    assert not equal(build.reduce(one, "sum", (0,)), build.reduce(other, "sum", (0,)))


def test_a_long_product_of_sums_is_left_alone() -> None:
    """Multiplied out it would have two to the power of forty terms."""

    def power(x: Expr, y: Expr) -> Expr:
        total = build.add(x, y)
        for _ in range(40):
            total = build.mul(total, build.add(x, build.scale(y, Fraction(2))))
        return total

    a, b = param("a"), param("b")
    assert equal(power(a, b), power(a, b))
    assert not equal(power(a, b), power(b, a))
