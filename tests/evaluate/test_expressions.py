"""The value of weight expressions: shared work once, memory freed, missing parameters named."""

from fractions import Fraction

import pytest
import torch
from torch import Tensor

from repc.diagnostics import Failure
from repc.evaluate import evaluate
from repc.evaluate.floating import TorchField
from repc.ir.expr import Expr, Param
from repc.ops import build
from tests.ir.nets import param

A, B = param("a", 2, 3), param("b", 3)
GIVEN = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1.0, 2, 4])}


class Counting(TorchField):
    """Counts products, and how many of their results are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.products = 0
        self.most = 0
        self.alive: list[int] = []

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        self.products += 1
        made = Watched.watch(super().mul(a, b), self)
        self.most = max(self.most, len(self.alive))
        return made


class Watched(Tensor):
    """A tensor that tells its field when it goes."""

    field: Counting

    @staticmethod
    def watch(x: Tensor, field: Counting) -> Tensor:
        made = x.as_subclass(Watched)
        made.field = field
        field.alive.append(1)
        return made

    def __del__(self) -> None:
        if hasattr(self, "field"):
            self.field.alive.pop()


def test_a_shared_part_is_computed_once() -> None:
    shared = build.mul(A, B)
    field = Counting()
    found = evaluate({"x": build.add(shared, shared), "y": shared, "z": shared}, field, GIVEN)
    assert field.products == 1
    torch.testing.assert_close(found["x"].double(), 2 * found["y"].double(), rtol=0, atol=0)
    assert found["y"] is found["z"]


def test_what_nobody_needs_any_more_is_freed() -> None:
    expr: Expr = A
    for _ in range(50):
        expr = build.mul(expr, B)
    field = Counting()
    evaluate({"x": expr}, field, GIVEN)
    assert field.products == 50
    assert field.most == 2


def test_parameters_are_lifted_and_counters_are_not() -> None:
    counter = Param("n", param("n", dtype="i64").type)
    found = evaluate({"a": A, "n": counter}, TorchField(), {**GIVEN, "n": torch.tensor(3)})
    assert found["a"].dtype == torch.float64
    assert found["n"].dtype == torch.int64


def test_constants_are_rounded_once() -> None:
    third = evaluate({"x": build.fill((), Fraction(1, 3))}, TorchField(), {})["x"]
    assert third.item() == 1 / 3


def test_every_missing_and_misshapen_parameter_is_named() -> None:
    with pytest.raises(Failure) as failure:
        evaluate(
            {"x": build.mul(A, param("bias", 3)), "y": B}, TorchField(), {"a": torch.ones(3, 2), "bia": GIVEN["b"]}
        )
    missing, other, misfit = sorted(failure.value.diagnostics, key=lambda d: (d.code, d.title))
    assert (missing.code, missing.title) == ("E804", "parameter b is missing")
    assert (other.title, other.help) == ("parameter bias is missing", "give a tensor f32[3]; bia is there")
    assert (misfit.code, misfit.title) == ("E805", "parameter a has the shape [3, 2], not f32[2, 3]")


def test_gradients_pass_through() -> None:
    leaf = GIVEN["a"].clone().requires_grad_()
    value = evaluate(
        {"x": build.reduce(build.mul(A, B), "sum", (0, 1))}, TorchField(torch.float32), {**GIVEN, "a": leaf}
    )
    value["x"].backward()
    assert leaf.grad is not None
    torch.testing.assert_close(leaf.grad, GIVEN["b"].expand(2, 3))
