"""The public API as the README shows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import repc

NET = """repc 1
import std.conv

block Unit<co>(x: [b, ci, h, w]) =
  sum as merged { a: x >> Conv(co, 3, pad=1, bias=false) | b: x >> Conv(co, bias=false) } >> bn: BatchNorm() >> ReLU()

model Net<classes = 5>(image: f32[b, 3, h, w]) = image >> unit: Unit(6) >> GlobalAvgPool() >> head: Linear(classes)

target deploy = onnx of Net { expect { Conv == 1 BatchNormalization == 0 Add == 0 } }
target strict = onnx of Net { expect { Relu == 0 } }
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "net.rep"
    path.write_text(NET)
    return path


def trained(model: repc.Model) -> torch.nn.Module:
    torch.manual_seed(0)
    net = model.module(seed=0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        net(torch.randn(4, 3, 9, 11)).square().sum().backward()
        optimizer.step()
    return net.eval()


def test_train_fuse_save_and_run(spec: Path, tmp_path: Path) -> None:
    net = trained(model := repc.load(spec, classes=7))
    fused = model.fuse(net.state_dict())
    assert sorted(fused.state_dict()) == ["head.bias", "head.weight", "unit.merged.bias", "unit.merged.weight"]
    fused.save_onnx(tmp_path / "net.onnx")
    onnx.checker.check_model(tmp_path / "net.onnx", full_check=True)
    image = torch.randn(2, 3, 13, 8)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, {"image": image.numpy()})
    with torch.no_grad():
        expected = net(image)
        np.testing.assert_allclose(np.asarray(theirs), expected.numpy(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(fused.module()(image), expected)
    assert fused.verify()
    assert repc.compare(net, fused.module(), image)
    assert repc.compare(net, tmp_path / "net.onnx", image)


def test_a_checkpoint_on_disk_is_the_same_as_a_state_dict(spec: Path, tmp_path: Path) -> None:
    net = trained(model := repc.load(f"{spec}:Net"))
    torch.save({"state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}}, tmp_path / "net.pth")
    a, b = model.fuse(tmp_path / "net.pth"), model.fuse(net.state_dict())
    assert all(torch.equal(a.values[name], b.values[name]) for name in a.values)
    assert a.onnx().graph == b.onnx().graph


@pytest.mark.parametrize("dtype", ["f16", "bf16", "f64"])
def test_other_types_are_rounded_once(spec: Path, dtype: str) -> None:
    model = repc.load(spec)
    exact, rounded = model.fuse(dtype="f64"), model.fuse(dtype=dtype)
    for name, value in rounded.values.items():
        assert torch.equal(value, exact.values[name].to(value.dtype))


def test_a_missed_expectation_names_what_is_left(spec: Path) -> None:
    (missed,) = repc.load(spec).fuse(target="strict").missed()
    assert (missed.actual, len(missed.nodes)) == (1, 1)


def test_a_scalar_folds_into_a_single_channel(tmp_path: Path) -> None:
    path = tmp_path / "one.rep"
    path.write_text("repc 1\nimport std.conv\nmodel M(x: f32[b, 1, h, w]) = (x >> c: Conv(1, 3, bias=false)) * 2 + 1\n")
    fused = repc.load(path).fuse()
    assert fused.counts() == {"Conv": 1}
    assert fused.verify()


PRUNED = """repc 1
import std.conv

model Net(x: f32[b, 3, h, w]) = x >> a: Conv(6, 3, bias=false) >> bn: BatchNorm() >> ReLU() >> c: Conv(4)

target plain = onnx of Net
target given = onnx of Net { facts = true }
"""


def test_a_target_may_look_at_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "net.rep"
    path.write_text(PRUNED)
    model = repc.load(path)
    weights = dict(model.module(seed=0).eval().state_dict())
    weights["bn.weight"] = torch.tensor([0.0, 1.0, 0.0, -1.0, 2.0, 0.0])
    weights["bn.bias"] = torch.tensor([1.0, 2.0, -3.0, 0.5, 0.1, 4.0])
    assert model.fuse(weights, "plain").values["c.weight"].shape == (4, 6, 1, 1)
    fused = model.fuse(weights, "given")
    assert fused.values["c.weight"].shape == (4, 3, 1, 1)
    report = fused.verify()
    assert report
    assert [(check.result, check.detail) for check in report.checks if "facts" in check.name] == [
        ("true", "1 of the fold")
    ]


def test_facts_that_are_not_true_of_the_weights_fail(tmp_path: Path) -> None:
    path = tmp_path / "net.rep"
    path.write_text(PRUNED)
    model = repc.load(path)
    weights = dict(model.module(seed=0).eval().state_dict())
    others = weights | {"bn.weight": torch.zeros(6)}
    fused = replace(model.fuse(others, "given"), parameters=model.parameters(weights))
    (check,) = (check for check in fused.verify().checks if "facts" in check.name)
    assert not check.passed
    assert check.reason == "1 of them is not zero"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"target": "edge"}, "E901"),
        ({"weights": {"head.weight": torch.zeros(5, 6)}}, "E610"),
        ({"weights": "missing.safetensors"}, "E601"),
    ],
)
def test_wrong_input_is_a_failure(spec: Path, arguments: dict, code: str) -> None:
    with pytest.raises(repc.Failure, match=code):
        repc.load(spec).fuse(**arguments)
