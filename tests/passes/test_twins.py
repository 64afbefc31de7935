"""Each rule has a twin that is wrong in the way that implementations usually are; the comparison must catch it.

A twin replaces one function of the algebra.  On the same network the right rule is exact, and the twin is far off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import pytest

from repc.ir.expr import Expr
from repc.ops import BatchNorm, Concat, Dropout, Function, LayerNorm, Permute, build
from repc.passes import catalogue, kernels, parallel, views, workspace
from repc.passes.frames import Placement, Window
from repc.passes.rules import (
    centre_writers,
    collect_terms,
    conv_as_linear,
    drop_constant_channels,
    fold_affine_forward,
    fold_norm_forward,
    hoist_movement,
    merge_movement,
    stack_siblings,
    sum_affine,
)
from repc.passes.views import AffineView, LinearView, plus
from tests.passes.build import EPS, EXACT, Net, folded
from tests.passes.test_conv_as_linear import locality
from tests.passes.test_facts import looking

FAR = 1e-5


@dataclass(frozen=True)
class Twin:
    """A rule, what is wrong about the twin, where it is put, and a network on which that shows."""

    rule: str
    fault: str
    owner: Any
    name: str
    wrong: Any
    network: Callable[[Net], int]
    sizes: tuple[tuple[str, int], ...] = ()
    refused: bool = False  # by the right rule
    options: Callable[[Net], dict[str, Any]] = lambda net: {}


# ---------------------------------------------------------------- networks


def norm_after_conv(net: Net) -> int:
    return net.batch_norm(net.conv(net.input(2, 4, 6, 6), "conv", 4), "bn")


def norm_after_transposed(net: Net) -> int:
    return net.batch_norm(net.conv_transpose(net.input(2, 4, 6, 6), "conv", 4, groups=2), "bn")


def norm_before_padded_conv(net: Net) -> int:
    return net.conv(net.affine(net.input(2, 4, 6, 6), "affine"), "conv", 4, padding=1)


def grouped_conv_behind_scale(net: Net) -> int:
    return net.conv(net.affine(net.input(2, 4, 6, 6), "affine", shift=False), "conv", 4, groups=2)


def even_and_odd(net: Net) -> int:
    x = net.input(2, 4, 6, 6)
    even = net.conv(x, "even", 4, (4, 4), padding=[(1, 2), (2, 1)])
    return net.sum(even, net.conv(x, "odd", 4, padding=1))


def grouped_identity(net: Net) -> int:
    x = net.input(2, 6, 6, 6)
    return net.sum(net.conv(x, "conv", 6, padding=1, groups=2), x)


def scaled_norm(net: Net) -> int:
    weights = {name: net.param(f"norm.{name}", 6) for name in ("weight", "bias")}
    return net.affine(net.node(LayerNorm(1, EPS), "norm", x=net.input(4, 6), **weights), "affine")


def norm_before_linear(net: Net) -> int:
    weights = {name: net.param(f"norm.{name}", 6) for name in ("weight", "bias")}
    return net.linear(net.node(LayerNorm(1, EPS), "norm", x=net.input(4, 6), **weights), "fc", 5)


def scaled_dropout(net: Net) -> int:
    return net.relu(net.affine(net.node(Dropout(0.5), x=net.relu(net.input(2, 4, 6))), "scale", shift=False))


def centred_stream(net: Net) -> int:
    y = net.linear(net.input(4, 3), "a", 6)
    return net.linear(net.node(LayerNorm(1, EPS), "norm", x=y), "b", 5)


def scale_after_relu(net: Net) -> int:
    return net.affine(net.relu(net.conv(net.input(2, 4, 6, 6), "conv", 4)), "r", shift=False)


def constant_channel(net: Net) -> int:
    y = net.batch_norm(net.linear(net.input(4, 3), "a", 6), "bn")
    return net.linear(net.node(Function("sigmoid"), x=y), "b", 5)


def two_affine(net: Net) -> int:
    return net.affine(net.affine(net.relu(net.input(2, 4, 6)), "a"), "b")


def nested_sum(net: Net) -> int:
    a, b = net.relu(net.input(2, 4)), net.relu(net.input(2, 4, name="z"))
    return net.sum(net.sum(a, b, path="inner"), a, path="outer", weights=[2, 1])


def residual_scale(net: Net) -> int:
    x = net.relu(net.input(2, 4, 6))
    return net.sum(x, net.affine(x, "gamma", shift=False))


def moved_terms(net: Net) -> int:
    turn = Permute((0, 2, 1))
    a, b = (net.node(turn, x=net.relu(net.input(2, 4, 6, name=name))) for name in "ab")
    return net.sum(a, b, weights=[1, -2])


def moved_twice(net: Net) -> int:
    x = net.relu(net.input(3, 3, 3, 3))
    return net.relu(net.node(Permute((3, 0, 2, 1)), x=net.node(Permute((1, 2, 0, 3)), x=x)), "last")


def side_by_side(net: Net) -> int:
    x = net.input(2, 4, 6, 6)
    return net.node(Concat(1), **{str(i): net.conv_transpose(x, f"{i}", i + 2) for i in range(2)})


def injected(net: Net) -> int:
    return locality(net, (3,))


# ---------------------------------------------------------------- faults


def without_eps(node: Any, x: Any) -> AffineView:
    right = views._batch_norm(node, x)
    assert right is not None
    given = node.weights
    scale = build.mul(given["weight"], build.rsqrt(given["running_var"]))
    return AffineView(right.source, 1, scale, build.sub(given["bias"], build.mul(given["running_mean"], scale)))


def rows_of_anything(self: LinearView, scale: Expr | None) -> Expr:
    return self.weight if scale is None else kernels.scale_rows(self.weight, scale)


def unscaled_bias(self: AffineView, bias: Expr | None) -> Expr | None:
    return plus(bias, self.shift)


def ungrouped_columns(weight: Expr, scale: Expr, groups: int) -> Expr:
    columns = weight.type.concrete()[1]
    return build.mul(weight, build.along(build.take(scale, 0, 0, columns), 1, weight.type.rank))


def centred(part: Window, whole: Window) -> Placement:
    return Placement((whole.taps - part.taps) // 2, 1)


def plain_diagonal(weight: Expr, groups: int, wanted: int) -> Expr:
    """torch's `fill_diagonal_` on a grouped kernel: ones beyond the first group are missing."""
    rows, columns = weight.type.concrete()[0], weight.type.concrete()[0] // wanted
    if groups == wanted:
        return weight
    diagonal = build.pad(build.eye(columns), [(0, rows - columns), (0, 0)])
    return build.reshape(diagonal, (rows, columns, *weight.type.concrete()[2:]))


def transposed_columns(conv: Any, weight: Expr, inputs: Any, outputs: Any) -> Expr:
    right = RIGHT_COLUMNS(conv, weight, inputs, outputs)
    rows, columns = right.type.concrete()
    split = build.reshape(right, (rows // columns, columns, columns))
    return build.reshape(build.permute(split, (0, 2, 1)), (rows, columns))


def without_bias(node: Any) -> Any:
    found = RIGHT_OWN(node)
    return found and replace(found, shift=None)


def last_coefficient(terms: Any) -> list[tuple[Fraction, int]]:
    return [(coefficient, source) for source, coefficient in {source: c for c, source in terms}.items()]


def without_the_value_itself(members: Any, size: int) -> Expr:
    return RIGHT_SCALE([branch for branch in members if not branch.plain], size)


def unweighted(node: Any) -> Any:
    found = RIGHT_TERMS(node)
    return type(found)(tuple((Fraction(1), id) for _, id in found.activations), found.constants)


def in_front(views: Any) -> Expr | None:
    """The biases in the wrong order, as of siblings that were sorted."""
    return build.concat([view.bias for view in reversed(views)], 0)


def other_way_round(inner: Permute, outer: Permute) -> Permute:
    return Permute(tuple(outer.axes[axis] for axis in inner.axes))


RIGHT_OWN = fold_norm_forward._own
RIGHT_COLUMNS = conv_as_linear._columns
RIGHT_SCALE = sum_affine._scale
RIGHT_TERMS = hoist_movement.terms

TWINS = (
    Twin("F1", "no eps", views._AFFINE, "BatchNorm", without_eps, norm_after_conv),
    Twin(
        "F1",
        "transposed: axis 0",
        LinearView,
        "scale_out",
        rows_of_anything,
        norm_after_transposed,
    ),
    Twin("F1", "bias not scaled", AffineView, "shifted", unscaled_bias, norm_after_conv),
    Twin(
        "F10",
        "writers not centred",
        centre_writers,
        "_centred",
        lambda part, axis: part,
        centred_stream,
        options=lambda net: {"objective": "macs"},
    ),
    Twin("F12", "sign ignored", workspace, "nonnegative", lambda expr: True, scale_after_relu, refused=True),
    Twin(
        "F13",
        "constants lost",
        drop_constant_channels,
        "plus",
        lambda bias, constants: bias,
        constant_channel,
        options=lambda net: {"values": looking(net)},
    ),
    Twin("F14", "biases in another order", stack_siblings, "_bias", in_front, side_by_side),
    Twin(
        "F2",
        "border ignored",
        fold_affine_forward,
        "reads_everything",
        lambda _: True,
        norm_before_padded_conv,
        refused=True,
    ),
    Twin("F2", "columns not grouped", views, "scale_columns", ungrouped_columns, grouped_conv_behind_scale),
    Twin("F3", "kernels centred", kernels, "place", centred, even_and_odd),
    Twin("F4", "plain diagonal", parallel, "regroup", plain_diagonal, grouped_identity),
    Twin("F7", "matrix transposed", conv_as_linear, "_columns", transposed_columns, injected, (("n", 3),)),
    Twin("F8", "β not scaled", AffineView, "shifted", unscaled_bias, scaled_norm),
    Twin("F9", "β lost", fold_norm_forward, "_own", without_bias, norm_before_linear),
    Twin("N1", "a scale taken for the identity", AffineView, "identity", True, scaled_dropout),
    Twin("N2", "inner shift not scaled", AffineView, "shifted", unscaled_bias, two_affine),
    Twin("N3", "repeated terms counted once", collect_terms, "_total", last_coefficient, nested_sum),
    Twin("N4", "residual lost", sum_affine, "_scale", without_the_value_itself, residual_scale),
    Twin("N6", "composed the other way round", merge_movement, "_composed", other_way_round, moved_twice),
    Twin("N5", "coefficients lost", hoist_movement, "terms", unweighted, moved_terms),
)


def test_every_rule_has_a_twin() -> None:
    assert {twin.rule for twin in TWINS} == set(catalogue())


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: f"{twin.rule} {twin.fault}")
def test_the_comparison_catches_it(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net()
    net.output(twin.network(net))
    options = twin.options(net)
    right = folded(net, **options)
    assert right.error(dict(twin.sizes)) < EXACT
    assert (twin.rule in right.rules()) != twin.refused
    if isinstance(twin.owner, dict):
        monkeypatch.setitem(twin.owner, BatchNorm, twin.wrong)
    else:
        monkeypatch.setattr(twin.owner, twin.name, twin.wrong)
    wrong = folded(net, **options)
    assert twin.rule in wrong.rules()
    assert wrong.error(dict(twin.sizes)) > FAR
