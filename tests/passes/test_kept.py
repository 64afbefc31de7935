"""What a target keeps stays as it is, nothing folds across it, and that is said."""

from __future__ import annotations

import pytest

from tests.passes.build import Net
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
