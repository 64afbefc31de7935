"""The whole comparison: right folds pass, and each kind of wrong one is caught by its own row."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from repc.backends.onnx import build, save
from repc.backends.torch import inference_module
from repc.diagnostics import Failure
from repc.ir.graph import Graph
from repc.passes import parallel
from repc.passes.views import LinearView
from repc.verify import Check, Options, Report, verify
from tests.mutants import faults
from tests.mutants.catalogue import norm
from tests.mutants.mutant import Patch, mutated
from tests.verify.networks import random_parameters, stored, tiny

SITE = "stage4.0.rbr_reparam"
REPVGG = Path("specs/models/repvgg.rep").read_text(encoding="utf-8")
LINE = REPVGG[: REPVGG.index("sum as rbr_reparam")].count("\n") + 1
PLACE = f"repc:models/repvgg:{LINE}"

EXACT, WEIGHTS = "float64 (train = folded)", "weights (recomputed)"
ALGEBRA = "algebra (train = folded)"
INTERIOR, BORDER = "rounding, interior", "rounding, border"
RUNTIME, TORCH = "ONNX Runtime CPU float32", "torch CPU float32"


@dataclass(frozen=True, eq=False)
class Case:
    """Everything that is verified; each part can be exchanged."""

    train: Graph
    fused: Graph
    parameters: dict[str, Tensor]
    values: dict[str, Tensor]
    emitted: Graph

    def report(self, options: Options | None = None) -> Report:
        model = build(self.emitted, self.values)
        module = inference_module(self.emitted, self.values)
        return verify(self.train, self.fused, self.parameters, self.values, options=options, model=model, module=module)


@cache
def right(seed: int = 0) -> Case:
    return folded(tiny(), seed)


def folded(train: Graph, seed: int = 0) -> Case:
    parameters = random_parameters(train, seed)
    fused, _ = mutated(train, ())
    return Case(train, fused, parameters, stored(fused, parameters), fused)


FAULTS = {
    "eps": norm("eps"),
    "beta": norm("beta"),
    "centre": Patch(parallel, "embed", faults.rolled),
    "border": Patch(LinearView, "operator", faults.replicated),
}


def wrong(fault: str, site: str = SITE) -> Case:
    """The right case with another fold, which goes wrong at one sum."""
    case = right()
    fused, _ = mutated(case.train, [FAULTS[fault].at(site.rpartition(".")[0])])
    return replace(case, fused=fused, emitted=fused, values=stored(fused, case.parameters))


def failed(report: Report) -> list[str]:
    return [check.name for check in report.checks if not check.passed]


def row(report: Report, name: str) -> Check:
    return next(check for check in report.checks if check.name == name)


# ------------------------------------------------------------------------------------------------ right folds


@pytest.mark.parametrize("seed", range(3))
def test_a_right_fold_passes_every_row(seed: int) -> None:
    report = right(seed).report()
    assert report, str(report)
    assert [check.name for check in report.checks] == [ALGEBRA, WEIGHTS, EXACT, INTERIOR, BORDER, RUNTIME, TORCH]


def test_grouped_convolutions_pass() -> None:
    report = folded(tiny(group="2")).report()
    assert report, str(report)


def test_gates_that_stay_pass() -> None:
    report = folded(tiny("0.25", se="true")).report()
    assert report, str(report)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_other_types_pass_with_a_noise_of_their_own(dtype: torch.dtype) -> None:
    case = right()
    values = stored(case.fused, case.parameters, dtype)
    report = verify(case.train, case.fused, case.parameters, values, module=inference_module(case.fused, values))
    assert report, str(report)
    largest = max(figure.error for figure in row(report, INTERIOR).figures)
    assert torch.finfo(dtype).eps / 4 < largest < 100 * torch.finfo(dtype).eps


@pytest.mark.parametrize(("name", "dtype"), [("bf16", torch.bfloat16), ("f64", torch.float64)])
def test_a_type_without_kernels_in_the_runtime_is_not_covered(name: str, dtype: torch.dtype) -> None:
    case = right()
    values = stored(case.fused, case.parameters, dtype)
    model = build(case.fused, values, dtype=name, opset=22)
    report = verify(case.train, case.fused, case.parameters, values, model=model)
    assert report, str(report)
    assert any("ONNX Runtime, which lacks a kernel" in text and "Conv" in text for text in report.not_covered)
    assert not any("ONNX Runtime" in check.name for check in report.checks)


def test_what_is_not_given_is_not_covered() -> None:
    case = right()
    report = verify(case.train, case.fused, case.parameters, case.values)
    assert [check.name for check in report.checks] == [ALGEBRA, WEIGHTS, EXACT, INTERIOR, BORDER]
    assert {"ONNX Runtime", "the torch module"} <= set(report.not_covered)


def test_a_file_with_external_data(tmp_path: Path) -> None:
    case = right()
    path = tmp_path / "tiny.onnx"
    assert len(save(build(case.fused, case.values), path, external_threshold=0)) == 2
    report = verify(case.train, case.fused, case.parameters, case.values, model=path)
    assert report, str(report)
    assert len({figure.where for figure in row(report, RUNTIME).figures}) == 15


# ------------------------------------------------------------------------------------------------ wrong folds


@pytest.mark.parametrize("fault", ["eps", "beta", "centre"])
def test_a_wrong_fold_is_refuted_in_float64(fault: str) -> None:
    report = wrong(fault).report()
    assert not report
    assert row(report, WEIGHTS).passed
    check = row(report, EXACT)
    assert not check.passed
    assert f"{SITE} ({PLACE}) differs by " in check.reason
    assert ", at most 1e-11" in check.reason
    assert {figure.where for figure in check.figures if figure.ratio > 1} == {
        SITE,
        "stage4.0",
        "adaptive_avg_pool",
        "reshape",
        "linear",
    }


def test_an_error_at_the_border_is_told_from_one_inside() -> None:
    report = wrong("border", "stage1.0.rbr_reparam").report()
    parts = [
        figure.part
        for figure in row(report, EXACT).figures
        if figure.where == "stage1.0.rbr_reparam" and figure.ratio > 1
    ]
    assert parts == ["border"]
    assert "border of stage1.0.rbr_reparam" in row(report, EXACT).reason
    assert "border of stage1.0.rbr_reparam" in row(report, BORDER).reason


def test_a_coarse_weight_is_refuted_by_the_noise_alone_where_weights_are_not_looked_at() -> None:
    case = right()
    coarse = {name: value.to(torch.float16).to(torch.float32) for name, value in case.values.items()}
    report = replace(case, values=coarse).report()
    assert failed(report) == [WEIGHTS, INTERIOR, BORDER, RUNTIME, TORCH]
    reason = row(report, INTERIOR).reason
    assert "times the noise" in reason
    assert "of the unfused network (limit 3)" in reason


def test_an_artifact_of_another_graph_is_caught_by_running_it() -> None:
    report = replace(right(), emitted=wrong("border").fused).report()
    assert failed(report) == [RUNTIME, TORCH]
    for name in (RUNTIME, TORCH):
        assert f"border of {SITE} ({PLACE}) is off by " in row(report, name).reason


def test_a_file_that_does_not_load_is_a_failure_with_the_runtimes_words() -> None:
    case = right()
    model = build(case.fused, case.values)
    model.graph.node[3].op_type = "Conf"
    report = verify(case.train, case.fused, case.parameters, case.values, model=model)
    assert failed(report) == [RUNTIME]
    assert "Conf" in row(report, RUNTIME).reason


# ------------------------------------------------------------------------------------------------ stored weights


def two_units_off(value: Tensor) -> Tensor:
    changed = value.clone()
    changed.view(torch.int32)[1, 2, 0, 1] += 2
    return changed


def test_a_weight_two_units_off_is_caught_everywhere() -> None:
    case, name = right(), f"{SITE}.weight"
    report = replace(case, values=case.values | {name: two_units_off(case.values[name])}).report()
    assert failed(report) == [WEIGHTS]
    assert f"{name} in the computed weights ({PLACE})" in row(report, WEIGHTS).reason
    assert "at [1, 2, 0, 1]" in row(report, WEIGHTS).reason


def test_a_weight_that_only_the_file_has_wrong() -> None:
    case, name = right(), f"{SITE}.weight"
    model = build(case.fused, case.values | {name: two_units_off(case.values[name])})
    report = verify(case.train, case.fused, case.parameters, case.values, model=model)
    assert failed(report) == [WEIGHTS]
    assert f"{name} in the ONNX file" in row(report, WEIGHTS).reason


def test_a_weight_that_only_the_module_has_wrong() -> None:
    case, name = right(), f"{SITE}.weight"
    module = inference_module(case.fused, case.values | {name: two_units_off(case.values[name])})
    report = verify(case.train, case.fused, case.parameters, case.values, module=module)
    assert failed(report) == [WEIGHTS]
    assert f"{name} in the torch module" in row(report, WEIGHTS).reason


# ------------------------------------------------------------------------------------------------ not finite


def test_a_network_that_is_not_finite_itself_names_the_operator() -> None:
    case = right()
    broken = case.parameters | {"stage2.0.rbr_1x1.bn.running_var": torch.full((8,), -1.0)}
    report = verify(case.train, case.fused, broken, stored(case.fused, broken))
    assert "train form (float64)" in failed(report)
    reason = row(report, "train form (float64)").reason
    assert "batch_norm at stage2.0.rbr_1x1.bn" in reason
    assert "is not finite" in reason


def test_an_overflow_of_the_fold_alone_names_the_operator() -> None:
    case, name = right(), "stage3.0.rbr_reparam.bias"
    values = case.values | {name: torch.full_like(case.values[name], torch.inf)}
    report = verify(case.train, case.fused, case.parameters, values, module=inference_module(case.fused, values))
    assert failed(report) == [WEIGHTS, INTERIOR, BORDER, TORCH]
    assert "conv at stage3.0.rbr_reparam" in row(report, INTERIOR).reason
    assert "stage3.0.rbr_reparam" in row(report, TORCH).reason


def test_data_that_is_not_finite_is_found_at_the_input() -> None:
    case = right()
    image = torch.full((2, 3, 48, 40), torch.nan)
    report = verify(case.train, case.fused, case.parameters, case.values, options=Options(inputs=[{"image": image}]))
    assert "input at image" in report.checks[-1].reason


# ------------------------------------------------------------------------------------------------ the report


def test_the_report_reads_as_a_table() -> None:
    text = str(right().report())
    lines = text.splitlines()
    assert lines[0] == "  Model     Tiny"
    assert lines[1] == "  Inputs    8 random (seed 0): 7x3x65x98; 1x3x99x66"
    assert lines[-1] == "  EQUIVALENT"
    head = next(line for line in lines if "check" in line)
    columns = [head.index(word) for word in ("check", "result", "detail")]
    for name in (WEIGHTS, EXACT, INTERIOR, BORDER, RUNTIME, TORCH):
        line = next(line for line in lines if line.strip().startswith(name))
        assert all(line[column - 1] == " " and line[column] != " " for column in columns)
    assert any(line.startswith("  Not covered: inputs") for line in lines)


def test_a_failure_is_printed_with_its_reason_and_escaped_in_a_notebook() -> None:
    report = wrong("beta").report()
    assert "NOT EQUIVALENT" in str(report)
    assert row(report, EXACT).reason in str(report)
    assert "NOT EQUIVALENT" in report._repr_html_()
    assert "<td>" in replace(report, model="<b>")._repr_html_()
    assert "<b><b>" not in replace(report, model="<b>")._repr_html_()


def test_the_report_is_json() -> None:
    case = right()
    values = case.values | {"linear.bias": torch.full((5,), torch.nan)}
    report = verify(case.train, case.fused, case.parameters, values)
    record = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert record["equivalent"] is False
    weights = next(check for check in record["checks"] if check["check"] == WEIGHTS)
    assert next(f for f in weights["figures"] if f["where"].startswith("linear.bias"))["error"] == "inf"
    total = sum(value.numel() for value in values.values())
    assert sum(weights["histogram"].values()) == total


def test_progress_rises_from_zero_and_names_each_stage() -> None:
    case, seen = right(), list[tuple[str, float]]()
    verify(
        case.train, case.fused, case.parameters, case.values, progress=lambda stage, share: seen.append((stage, share))
    )
    shares = [share for _, share in seen]
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] < 1.0
    assert {"algebra", "weights", "train form, float64", "folded"} <= {stage for stage, _ in seen}


def test_gradients_and_hooks_are_not_left_behind() -> None:
    case = right()
    parameters = {name: v.clone().requires_grad_(v.is_floating_point()) for name, v in case.parameters.items()}
    module = inference_module(case.fused, case.values)
    assert verify(case.train, case.fused, parameters, case.values, module=module)
    assert all(value.grad is None for value in parameters.values())
    assert not any(child._forward_hooks for child in module.modules())


def test_unknown_sizes_are_named() -> None:
    case = right()
    with pytest.raises(Failure, match="E812 there is no free dimension height"):
        verify(case.train, case.fused, case.parameters, case.values, options=Options(sizes={"height": 32}))
