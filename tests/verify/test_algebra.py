"""Wrong folds that the given weights hide: the proof shows them, and right folds pass with any."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor

import repc
from repc.backends.torch import initial_values
from repc.diagnostics import Source
from repc.ir.graph import Graph
from repc.passes import fold
from repc.passes.views import AffineView, LinearView
from repc.semantics import FileLibrary, elaborate, load
from repc.verify import Options, Report, certify, verify
from tests.mutants import faults
from tests.mutants.catalogue import norm
from tests.mutants.mutant import Patch, mutated
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


HIDDEN = {
    "no shift": Patch(AffineView, "shifted", faults.lost_shift),
    "no beta": norm("beta"),
    "no gamma": norm("gamma"),
    "no mean": norm("mean"),
    "unscaled mean": norm("scale of mean"),
    "scale along the inputs": Patch(LinearView, "scale_out", LinearView.scale_in),
    "unscaled bias": Patch(AffineView, "shifted", faults.unscaled_bias),
}


def wrong(train: Graph, patch: Patch) -> Graph:
    return mutated(train, [patch])[0]


@pytest.mark.parametrize("name", HIDDEN)
def test_a_wrong_fold_is_refuted_at_initial_weights(name: str) -> None:
    """No other row sees it."""
    train = elaborated(SSF)
    found = report(train, wrong(train, HIDDEN[name]), initial(train))
    assert failed(found) == [ALGEBRA]
    check = next(check for check in found.checks if check.name == ALGEBRA)
    assert check.reason.startswith("ssf (repc:adapters/ssf:")
    assert "elements differ at b = 2, h = 4, w = 5" in check.reason


def test_a_wrong_fold_is_refuted_where_trained_weights_hide_it() -> None:
    """Next to a large variance eps is lost in rounding."""
    train = elaborated(SSF)
    parameters = initial(train) | {"bn.running_var": torch.full((4,), 1e12)}
    assert failed(report(train, wrong(train, norm("eps")), parameters)) == [ALGEBRA]


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
    found = report(train, wrong(train, HIDDEN["no beta"]), initial(train), Options(level="sample"))
    assert found
    assert "other weights" in found.not_covered
    assert ALGEBRA not in [check.name for check in found.checks]
