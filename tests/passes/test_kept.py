"""What a target keeps stays as it is, nothing folds across it, and that is said."""

from __future__ import annotations

import pytest

from repc.ir.expr import apply
from repc.ops import Multiply, Slice, build
from tests.passes.build import Net, folded
from tests.passes.test_refusals import fold_network, image


def kept_block(net: Net) -> int:
    x = image(net)
    a = net.batch_norm(net.conv(x, "a.conv", 6, padding=1, bias=False), "a.bn")
    return net.batch_norm(net.sum(a, net.conv(x, "b", 6, padding=1), x, path="total"), "bn")


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        ((), {"conv": 1}),
        (("bn",), {"conv": 1, "batch_norm": 1}),
        (("a.bn",), {"conv": 2, "batch_norm": 2, "sum": 1}),
        (("a",), {"conv": 2, "batch_norm": 2, "sum": 1}),
        (("*.conv",), {"conv": 2, "affine": 1, "sum": 1}),
        (("total",), {"conv": 2, "batch_norm": 1, "sum": 1}),
        (("**",), {"conv": 2, "batch_norm": 2, "sum": 1}),
    ],
)
def test_what_is_kept_stays_and_nothing_folds_across(keep: tuple[str, ...], left: dict[str, int]) -> None:
    found = fold_network(kept_block, keep=keep)
    assert found.count() == left
    assert found.error() < 1e-11
    if keep == ("a",):
        assert {name for name in found.stored() if name.startswith("a.")} >= {"a.conv.weight", "a.bn.running_var"}


def test_what_is_kept_is_named() -> None:
    found = fold_network(kept_block, keep=("a.bn",))
    assert [(r.path, r.reason) for r in found.trace.refusals] == [
        ("a.bn", "the target keeps a.bn"),
        ("total/sum", "the target keeps a.bn"),
        ("bn", "the target keeps a.bn"),
    ]


def test_a_kept_parameter_is_stored_as_it_is() -> None:
    """What is made of it is computed when the network runs, each shared part once."""
    net = Net()
    table = net.param("table", 4, 5)
    row = apply(Slice(0, 1, 2), x=table)
    x = image(net)
    first = net.node(Multiply(), "first", a=x, b=build.reshape(build.take(row, 1, 0, 1), (1,)))
    second = net.node(Multiply(), "second", a=net.relu(first), b=build.reshape(build.take(row, 1, 4, 5), (1,)))
    net.output(second)
    free, kept = folded(net), folded(net, keep=("tab*",))
    assert "table" not in free.stored()
    assert kept.stored() == ["table"]
    assert kept.count() == {"multiply": 2, "function": 1, "slice": 3, "reshape": 2}
    assert kept.error() < 1e-11
