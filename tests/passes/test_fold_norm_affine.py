"""F8: what scales a normalised value scales its γ and β."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from repc.ir.dims import symbol
from repc.ir.operator import Operator
from repc.ops import BatchNorm, GroupNorm, LayerNorm, Multiply, RMSNorm
from tests.passes.build import EPS, EXACT, Net, folded

NORMS: list[tuple[Operator, tuple[int, ...], int]] = [
    (LayerNorm(1, EPS), (6,), 2),
    (LayerNorm(2, EPS), (5, 6), 1),
    (LayerNorm(2, EPS), (5, 6), 2),
    (GroupNorm(5, EPS), (5,), 1),
    (BatchNorm(EPS), (5,), 1),
]


def normalised(op: Operator, shape: tuple[int, ...], *operands: str) -> tuple[Net, int]:
    net = Net()
    weights = {operand: net.param(f"norm.{operand}", *shape) for operand in operands}
    return net, net.node(op, "norm", x=net.input(4, 5, 6), **weights)


@pytest.mark.parametrize("operands", [(), ("weight",), ("bias",), ("weight", "bias")])
@pytest.mark.parametrize(("op", "shape", "axis"), NORMS, ids=lambda value: str(value)[:12])
def test_scale_and_shift_fold(op: Operator, shape: tuple[int, ...], axis: int, operands: tuple[str, ...]) -> None:
    net, y = normalised(op, shape, *operands)
    y = net.sum(net.affine(y, "affine", axis), net.param("constant"), weights=[2, 3])
    found = folded(net.output(y))
    assert found.count() == {op.name: 1}
    assert found.error() < EXACT


@pytest.mark.parametrize("operands", [(), ("weight",)])
def test_a_scale_folds_into_rms_norm(operands: tuple[str, ...]) -> None:
    net, y = normalised(RMSNorm(1, EPS), (6,), *operands)
    found = folded(net.output(net.affine(y, "affine", 2, shift=False)))
    assert found.count() == {"rms_norm": 1}
    assert found.error() < EXACT


def test_a_norm_over_free_sizes_has_no_weight() -> None:
    net = Net()
    norm = net.node(LayerNorm(2, EPS), "norm", x=net.input(2, 3, symbol("h"), 6))
    found = folded(net.output(net.node(Multiply(), "mul", a=norm, b=net.param("scale"))))
    assert found.count() == {"layer_norm": 1, "multiply": 1}
    assert [refusal.reason for refusal in found.trace.refusals] == [
        "norm/layer_norm scales axes whose sizes are free, and a weight has a size"
    ]


def normed(net: Net, op: Operator) -> int:
    return net.node(op, "norm", x=net.input(4, 5, 6), weight=net.param("norm.weight", 6))


def shifted_rms(net: Net) -> int:
    return net.affine(normed(net, RMSNorm(1, EPS)), "affine", 2)


def other_axis(net: Net) -> int:
    return net.affine(normed(net, LayerNorm(1, EPS)), "affine", 1)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (shifted_rms, "affine shifts, and norm has no bias"),
        (other_axis, "affine does not act along an axis that norm scales"),
    ],
)
def test_what_a_norm_cannot_take(make: Callable[[Net], int], reason: str) -> None:
    net = Net()
    found = folded(net.output(make(net)))
    assert [(r.rule, r.edge, r.reason) for r in found.trace.refusals] == [("F8", "norm -> affine", reason)]
    assert found.error() == 0
