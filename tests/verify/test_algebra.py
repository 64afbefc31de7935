"""Wrong folds that the given weights hide: the proof shows them, and right folds pass with any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache

import pytest
import torch
from torch import Tensor

import repc
from repc.backends.torch import initial_values
from repc.diagnostics import Source
from repc.ir.expr import Apply, Expr, Param, walk
from repc.ir.graph import Graph
from repc.ops import Fill, Multiply, Reshape, build
from repc.passes import fold
from repc.semantics import FileLibrary, elaborate, load
from repc.verify import Options, Report, certify, verify
from tests.specs.official import CASES, spec
from tests.verify.networks import stored

ALGEBRA = "algebra (train = folded)"
SSF = """
repc 1
import adapters.ssf
import std.conv
model M(x: f32[b, 4, h, w]) =
  x >> conv: Conv(4, 3, pad=1, bias=false) >> bn: BatchNorm() >> ssf: SSF() >> ReLU() >> last: Conv(4, 1)
"""
Change = Callable[[Expr], Expr]


@cache
def elaborated(text: str) -> Graph:
    return elaborate(load(Source("m.rep", text), FileLibrary()), "M")


def initial(graph: Graph) -> dict[str, Tensor]:
    return initial_values(graph.parameters, seed=0)


def report(train: Graph, fused: Graph, parameters: dict[str, Tensor], options: Options | None = None) -> Report:
    return verify(train, fused, parameters, stored(fused, parameters), options=options)


def failed(found: Report) -> list[str]:
    return [check.name for check in found.checks if not check.passed]


# ------------------------------------------------------------------------------------------------ wrong folds


def changed(graph: Graph, change: Change) -> Graph:
    """A graph whose weight expressions have their parts replaced."""
    wrong = graph.copy()
    for id in graph:
        weights = {name: rebuilt(expr, change) for name, expr in graph[id].weights.items()}
        wrong.replace(id, replace(graph[id], weights=weights))
    return wrong


def rebuilt(root: Expr, change: Change) -> Expr:
    made: dict[Expr, Expr] = {}
    for expr in walk([root]):
        same = (
            replace(expr, args={name: made[arg] for name, arg in expr.args.items()})
            if isinstance(expr, Apply)
            else expr
        )
        made[expr] = change(same)
    return made[root]


def dropped(path: str, value: int) -> Change:
    """The parameter is not used: its initial value stands in its place."""
    return lambda expr: build.fill([4], value) if isinstance(expr, Param) and expr.path == path else expr


def is_scale(expr: Expr) -> bool:
    return isinstance(expr, Param) and expr.path == "ssf.scale"


def along_the_inputs(expr: Expr) -> Expr:
    """The scale multiplies the input channels of the kernel."""
    if isinstance(expr, Apply) and isinstance(expr.op, Reshape) and is_scale(expr.args["x"]):
        return build.along(expr.args["x"], 1, 4)
    return expr


def unscaled_bias(expr: Expr) -> Expr:
    """The bias of the batch norm passes by the scale."""
    if isinstance(expr, Apply) and isinstance(expr.op, Multiply) and expr.type.rank == 1:
        return next(
            (arg for arg in expr.args.values() if any(map(is_scale, expr.args.values())) and not is_scale(arg)), expr
        )
    return expr


def without_eps(expr: Expr) -> Expr:
    if isinstance(expr, Apply) and isinstance(expr.op, Fill) and expr.op.value == Fraction(1, 100_000):
        return build.fill(expr.op.shape, 0)
    return expr


HIDDEN = {
    "no shift": dropped("ssf.shift", 0),
    "no scale": dropped("ssf.scale", 1),
    "no beta": dropped("bn.bias", 0),
    "no gamma": dropped("bn.weight", 1),
    "no mean": dropped("bn.running_mean", 0),
    "scale along the inputs": along_the_inputs,
    "unscaled bias": unscaled_bias,
}


@pytest.mark.parametrize("name", HIDDEN)
def test_a_wrong_fold_is_refuted_at_initial_weights(name: str) -> None:
    """No other row sees it."""
    train = elaborated(SSF)
    found = report(train, changed(fold(train)[0], HIDDEN[name]), initial(train))
    assert failed(found) == [ALGEBRA]
    check = next(check for check in found.checks if check.name == ALGEBRA)
    assert check.reason.startswith("ssf (repc:adapters/ssf:")
    assert "elements differ at b = 2, h = 4, w = 5" in check.reason


def test_a_wrong_fold_is_refuted_where_trained_weights_hide_it() -> None:
    """Next to a large variance eps is lost in rounding."""
    train = elaborated(SSF)
    parameters = initial(train) | {"bn.running_var": torch.full((4,), 1e12)}
    assert failed(report(train, changed(fold(train)[0], without_eps), parameters)) == [ALGEBRA]


# ------------------------------------------------------------------------------------------------ right folds


SHIPPED = {
    "repvgg g2": "import models.repvgg\nmodel M(x: f32[b, 3, h, w]) = "
    "x >> RepVGG([1, 2, 1, 1], [0.0625, 0.0625, 0.0625, 0.0625], classes=5, group=2)",
    "mobileone se": "import models.mobileone\nmodel M(x: f32[b, 3, h, w]) = "
    "x >> MobileOne([1, 1, 2, 1], [0.0625, 0.0625, 0.0625, 0.0625], classes=5, gated=[0, 0, 1, 1])",
}


def small_models() -> dict[str, Callable[[], Graph]]:
    texts = {case: spec(case) for case in CASES} | {name: f"repc 1\n{text}" for name, text in SHIPPED.items()}
    models = {name: lambda text=text: elaborated(text) for name, text in texts.items()}
    return models | {name: lambda name=name: repc.load(f"repc:tuned/{name}").graph for name in ("MLP_lora", "MLP_dora")}


@pytest.mark.parametrize("name", small_models())
def test_right_folds_are_proved(name: str) -> None:
    train = small_models()[name]()
    fused, trace = fold(train)
    found = certify(train, fused, trace.steps)
    assert found, found.first_wrong
    assert found.miss < 1e-9


def test_a_sample_proves_nothing() -> None:
    train = elaborated(SSF)
    found = report(train, changed(fold(train)[0], HIDDEN["no beta"]), initial(train), Options(level="sample"))
    assert found
    assert "other weights" in found.not_covered
    assert ALGEBRA not in [check.name for check in found.checks]
