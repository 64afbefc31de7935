"""Two networks from anywhere."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from repc.backends.onnx import build, save
from repc.backends.torch import inference_module, train_module
from repc.diagnostics import Failure
from repc.passes import fold
from repc.verify import compare
from tests.verify.networks import random_parameters, stored, tiny


class Pair(nn.Module):
    """Two inputs, two outputs, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        together = self.linear(nn.functional.dropout(torch.cat([x, y], 1), training=self.training))
        return together, together.relu()


@pytest.fixture(scope="module")
def network() -> tuple[nn.Module, nn.Module, Tensor]:
    train = tiny()
    parameters = random_parameters(train)
    module = train_module(train)
    module.load_state_dict(parameters)
    fused, _ = fold(train)
    return module, inference_module(fused, stored(fused, parameters)), torch.randn(4, 3, 72, 65)


def test_a_trained_module_equals_its_folded_form(network: tuple[nn.Module, nn.Module, Tensor]) -> None:
    module, folded, data = network
    module.train()
    report = compare(module, folded, [data, data[:1]])
    assert report, str(report)
    assert [check.name for check in report.checks] == ["torch CPU float32"]
    assert module.training


def test_in_double_precision_the_tolerance_is_tight() -> None:
    a = nn.Linear(6, 4).double()
    b = deepcopy(a)
    assert compare(a, b, torch.randn(5, 6))
    with torch.no_grad():
        b.bias[1] += 1e-9
    report = compare(a, b, torch.randn(5, 6))
    assert not report
    assert report.checks[0].name == "torch CPU float64"


def test_a_module_equals_its_file(network: tuple[nn.Module, nn.Module, Tensor], tmp_path: Path) -> None:
    module, _, data = network
    train = tiny()
    fused, _ = fold(train)
    path = tmp_path / "tiny.onnx"
    parameters = {name: value.detach() for name, value in module.state_dict().items()}
    save(build(fused, stored(fused, parameters)), path)
    report = compare(module, path, data)
    assert report, str(report)
    assert [check.name for check in report.checks] == ["ONNX Runtime CPU float32"]
    assert compare(module, str(path), data)
    values = stored(fused, parameters | {"stage4.0.rbr_1x1.bn.bias": parameters["stage4.0.rbr_1x1.bn.bias"] + 1e-3})
    save(build(fused, values), path)
    assert not compare(module, path, data)


def test_several_inputs_and_outputs() -> None:
    a, x, y = Pair(), torch.randn(5, 2), torch.randn(5, 4)
    b = deepcopy(a)
    report = compare(a, b, [(x, y)])
    assert report, str(report)
    assert {figure.where for figure in report.checks[0].figures} == {"output 0", "output 1"}
    with torch.no_grad():
        b.linear.bias[1] += 1e-4
    assert "output 0 is off by " in compare(a, b, [(x, y)]).checks[0].reason


class Masked(nn.Module):
    """Scores that are minus infinity beyond a place."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 5)
        self.place = place

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).masked_fill(torch.arange(5) >= self.place, -torch.inf)


def test_infinity_is_equal_to_itself_alone() -> None:
    a, b, x = Masked(3), Masked(3), torch.randn(4, 3)
    b.load_state_dict(a.state_dict())
    assert compare(a, b, x)
    for place, fault in ((2, "is not finite"), (4, "is finite where it should be infinite"), (5, "is finite where")):
        b.place = place
        assert f"output {fault}" in compare(a, b, x).checks[0].reason
    b.place = 3
    with torch.no_grad():
        b.linear.bias[1] += 1e-4
    assert "output is off by" in compare(a, b, x).checks[0].reason


def test_a_network_with_other_outputs_is_not_equal() -> None:
    report = compare(nn.Linear(3, 4), nn.Linear(3, 5), torch.randn(2, 3))
    assert "output has the shape [2, 5] instead of [2, 4]" in report.checks[-1].reason


def test_a_reference_that_is_not_finite_is_the_failure() -> None:
    report = compare(nn.Linear(3, 4), nn.Linear(3, 4), torch.full((2, 3), torch.nan))
    assert not report
    assert "output is not finite on inputs 2x3" in report.checks[0].reason


def test_no_data_is_refused() -> None:
    with pytest.raises(Failure, match="E813 there is no data"):
        compare(nn.Linear(3, 4), nn.Linear(3, 4), [])
