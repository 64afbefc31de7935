"""Wrong folds that the given weights hide: random parameters show them, and right folds pass with any."""

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
from repc.verify import Options, Report, verify
from tests.mutants import faults
from tests.mutants.catalogue import norm
from tests.mutants.mutant import Patch, mutated
from tests.specs.official import CASES, spec
from tests.verify.drawing import random_parameters
from tests.verify.networks import stored

ALGEBRA = "algebra (random parameters)"
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
    assert "ssf (" in check.reason
    assert ", at most 1e-10" in check.reason


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
def test_right_folds_pass_with_any_parameters(name: str) -> None:
    train = small_models()[name]()
    fused, _ = fold(train)
    for seed in range(5):
        found = report(train, fused, initial(train), Options(seed=seed, samples=2))
        assert found, str(found)
        assert any(check.name == ALGEBRA for check in found.checks)


def test_given_data_lends_its_shapes() -> None:
    """Data of zeros says nothing, so that random numbers take their place."""
    train = elaborated(SSF)
    parameters = initial(train)
    zeros = Options(inputs=[{"x": torch.zeros(2, 4, 5, 7)}])
    assert report(train, fold(train)[0], parameters, zeros)
    assert failed(report(train, wrong(train, HIDDEN["no shift"]), parameters, zeros)) == [ALGEBRA]


def test_a_network_that_only_takes_some_parameters_is_not_covered() -> None:
    text = "repc 1\nmodel M(x: f32[b, 16]) { weight p: [16] = ones  return x * along(log(p), 1) + 1 }"
    train = elaborated(text)
    found = report(train, fold(train)[0], initial(train))
    assert found, str(found)
    assert ALGEBRA not in [check.name for check in found.checks]
    assert any("other parameters, since with random ones" in text for text in found.not_covered)


# ------------------------------------------------------------------------------------------------ the draw


def test_the_draw_suits_what_a_parameter_is_for() -> None:
    train = elaborated(spec("repvgg_se_tiny"))
    given = initial(train)
    drawn = random_parameters(train, given, seed=0)
    assert drawn.keys() == given.keys()
    assert all(drawn[path].shape == given[path].shape for path in given)
    variances = torch.cat([value for path, value in drawn.items() if path.endswith("running_var")])
    assert variances.min() >= 1.0
    factors = torch.cat([value for path, value in drawn.items() if path.endswith("bn.weight")])
    assert 0.05 < float((factors == 0).float().mean()) < 0.2
    assert 0.3 < float((factors < 0).float().mean()) < 0.6
    assert float(factors[factors != 0].abs().min()) >= 0.5
    shifts = torch.cat([value for path, value in drawn.items() if path.endswith(("bn.bias", "running_mean"))])
    assert 0.25 < float(shifts.std()) < 0.35
    assert all(torch.equal(drawn[path], value) for path, value in given.items() if not value.is_floating_point())


def test_the_draw_is_that_of_its_seed() -> None:
    train = elaborated(SSF)
    first, again, other = (random_parameters(train, initial(train), seed) for seed in (3, 3, 4))
    assert all(torch.equal(first[path], again[path]) for path in first)
    assert not torch.equal(first["conv.weight"], other["conv.weight"])
