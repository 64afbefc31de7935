"""Certificates that hold, and every way to tamper with what they are about."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from safetensors.torch import load_file, save_file

from repc.checker import Finding, check
from repc.checker.__main__ import main as checker
from repc.cli import main
from repc.diagnostics import Failure
from repc.driver import load

SPEC = """\
repc 1
import std.conv

model Net<co = 4>(x: f32[b, 3, h, w]) =
  sum as fused {
      dense: x >> conv: Conv(co, 3, pad=1, stride=2, bias=false) >> bn: BatchNorm()
    | point: x >> conv: Conv(co, 1, stride=2, bias=false) >> bn: BatchNorm()
  } >> GELU() >> mid: Conv(4, 3, pad=1, groups=2, dilation=1) >> bn: BatchNorm()
    >> GlobalAvgPool() >> head: Linear(3) >> Softmax(1)
"""


@dataclass(frozen=True)
class Build:
    """What was compiled, and what it was compiled from."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "certificate.json"

    @property
    def artifact(self) -> Path:
        return self.folder / "model.onnx"

    @property
    def spec(self) -> Path:
        return self.folder / "net.rep"

    @property
    def weights(self) -> Path:
        return self.folder / "net.safetensors"

    def check(self) -> list[Finding]:
        return check(self.certificate, str(self.spec), self.weights, self.artifact)

    def words(self) -> list[str]:
        named = {"--spec": self.spec, "--weights": self.weights, "--artifact": self.artifact}
        return [str(self.certificate), *(str(word) for pair in named.items() for word in pair)]

    def change_model(self, change: Callable[[onnx.ModelProto], object]) -> None:
        """Tamper with the file, and with its hash too."""
        model = onnx.load(self.artifact)
        change(model)
        onnx.save(model, self.artifact)
        self.change_record(lambda record: record.update(artifact={"model.onnx": _hash(self.artifact)}))

    def change_record(self, change: Callable[[dict[str, Any]], object]) -> None:
        record = json.loads(self.certificate.read_text())
        change(record)
        self.certificate.write_text(json.dumps(record))


def _hash(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Build:
    build = Build(tmp_path_factory.mktemp("compiled"))
    build.spec.write_text(SPEC)
    state = load(build.spec).module(seed=1).state_dict()
    generator = torch.Generator().manual_seed(2)
    drawn = {
        name: torch.rand(value.shape, generator=generator) + 0.5 if value.is_floating_point() else value
        for name, value in state.items()
    }
    save_file(drawn, build.weights)
    assert main(["compile", str(build.spec), "--weights", str(build.weights), "-o", f"{build.folder}/out", "-q"]) == 0
    for name in ("certificate.json", "model.onnx"):
        shutil.move(build.folder / "out" / name, build.folder / name)
    return build


@pytest.fixture
def build(compiled: Build, tmp_path: Path) -> Build:
    """A copy to tamper with."""
    shutil.copytree(compiled.folder, tmp_path / "copy")
    return Build(tmp_path / "copy")


def failed(findings: list[Finding]) -> list[str]:
    return [finding.name for finding in findings if not finding.holds]


# ------------------------------------------------------------------------------------------------ what holds


def test_a_certificate_holds(build: Build, capsys: pytest.CaptureFixture[str]) -> None:
    assert failed(build.check()) == []
    assert checker(build.words()) == 0
    out = capsys.readouterr().out
    assert "equal in " in out
    assert "max 0.4" in out or "max 0.5 ulp" in out
    assert out.endswith("  VALID\n")


def test_the_model_may_be_renamed(build: Build) -> None:
    moved = build.folder / "other.onnx"
    build.artifact.rename(moved)
    assert failed(check(build.certificate, f"{build.spec}:Net", build.weights, moved)) == []


@pytest.mark.parametrize("words", ["--set co=8", "--size h=9", "--opset 21", "--dtype f16"])
def test_settings_and_types_are_those_of_the_certificate(tmp_path: Path, words: str) -> None:
    spec = tmp_path / "net.rep"
    spec.write_text(SPEC)
    assert main(["compile", str(spec), "-o", f"{tmp_path}/out", "-q", *words.split()]) == 0
    findings = check(tmp_path / "out/certificate.json", str(spec), None, tmp_path / "out/model.onnx")
    assert failed(findings) == [], findings


def foreign() -> onnx.ModelProto:
    """A network of somebody else, with operators that repc does not know, one of several results."""
    draw = np.random.default_rng(3)
    sizes = {"w": (4, 3, 3, 3), "scale": (4,), "shift": (4,), "mean": (4,), "var": (4,)}
    weights = [numpy_helper.from_array(draw.random(size, np.float32) + 0.1, name) for name, size in sizes.items()]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["made"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["made", "scale", "shift", "mean", "var"], ["normed"]),
        helper.make_node("Det", ["normed"], ["det"]),
        helper.make_node("MaxPool", ["normed"], ["best", "places"], kernel_shape=[2, 2], strides=[3, 2]),
    ]
    image = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["b", 3, 5, 5])
    real, whole = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    ends = [("best", real, ["b", 4, 2, 2]), ("places", whole, ["b", 4, 2, 2]), ("det", real, ["b", 4])]
    outputs = [helper.make_tensor_value_info(*end) for end in ends]
    graph = helper.make_graph(nodes, "net", [image], outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_opaque_operators_of_an_imported_file_are_those_of_the_original(tmp_path: Path) -> None:
    source, build = tmp_path / "source.onnx", Build(tmp_path / "out")
    onnx.save(foreign(), source)
    assert main(["compile", str(source), "-o", str(build.folder), "-q"]) == 0
    assert failed(check(build.certificate, str(source), None, build.artifact)) == []
    build.change_model(lambda model: next(n for n in model.graph.node if n.op_type == "MaxPool").attribute.pop())
    with pytest.raises(Failure, match="E932"):
        check(build.certificate, str(source), None, build.artifact)


# ------------------------------------------------------------------------------------------------ tampering


def values(compiled: Build, count: int) -> Iterator[tuple[str, int, int]]:
    """Random elements of stored tensors, and by how many units in the last place they are moved."""
    record = json.loads(compiled.certificate.read_text())
    generator = np.random.default_rng(0)
    tensors = {t.name: t for t in onnx.load(compiled.artifact).graph.initializer if t.name in record["tensors"]}
    for _ in range(count):
        name = str(generator.choice(sorted(tensors)))
        yield name, int(generator.integers(np.prod(tensors[name].dims))), int(2 * generator.integers(1, 2**20) - 2**20)


@pytest.mark.slow
def test_every_changed_value_is_caught(build: Build, compiled: Build) -> None:
    original = compiled.artifact.read_bytes()
    for name, place, units in values(compiled, 100):

        def change(model: onnx.ModelProto, name: str = name, place: int = place, units: int = units) -> None:
            tensor = next(t for t in model.graph.initializer if t.name == name)
            array = numpy_helper.to_array(tensor).copy()
            array.view(np.int32).reshape(-1)[place] += units or 2
            tensor.CopyFrom(numpy_helper.from_array(array, name))

        build.artifact.write_bytes(original)
        build.change_model(change)
        assert failed(build.check()) == ["weights"], (name, place, units)


def rewired(model: onnx.ModelProto) -> None:
    """The second convolution reads what is before the nonlinearity."""
    conv = [node for node in model.graph.node if node.op_type == "Conv"]
    conv[1].input[0] = conv[0].output[0]


def attribute(operator: str, name: str, value: object, number: int = 0) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        node = [node for node in model.graph.node if node.op_type == operator][number]
        kept = [a for a in node.attribute if a.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])

    return change


def exchanged(model: onnx.ModelProto) -> None:
    """Two tensors of one shape change places, names and all."""
    by_name = {t.name: t for t in model.graph.initializer}
    by_name["fused.bias"].name, by_name["mid.bias"].name = "mid.bias", "fused.bias"


def other_function(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "Erf").op_type = "Tanh"


def constant(model: onnx.ModelProto) -> None:
    """A constant of gelu."""
    tensor = next(t for t in model.graph.initializer if not t.dims and numpy_helper.to_array(t) == np.float32(0.5))
    tensor.CopyFrom(numpy_helper.from_array(np.array(0.50001, np.float32), tensor.name))


GRAPHS: dict[str, Callable[[onnx.ModelProto], None]] = {
    "edge": rewired,
    "padding": attribute("Conv", "pads", [1, 1, 0, 2]),
    "stride": attribute("Conv", "strides", [2, 1]),
    "groups": attribute("Conv", "group", 1, 1),
    "dilation": attribute("Conv", "dilations", [2, 1], 1),
    "axis": attribute("Softmax", "axis", 0),
    "operator": other_function,
    "constant": constant,
    "names": exchanged,
}


@pytest.mark.parametrize("name", GRAPHS)
def test_every_changed_graph_is_caught(build: Build, name: str) -> None:
    build.change_model(GRAPHS[name])
    findings = build.check()
    assert failed(findings), findings
    assert {"artifact", "spec"}.isdisjoint(failed(findings))
    assert checker(build.words()) == 1


def test_a_changed_file_is_caught_by_its_hash(build: Build) -> None:
    record = build.certificate.read_text()
    build.change_model(rewired)
    build.certificate.write_text(record)
    assert failed(build.check()) == ["artifact"]


def test_another_spec_is_caught(build: Build) -> None:
    build.spec.write_text(SPEC.replace("GELU()", "SiLU()"))
    assert failed(build.check()) == ["spec"]
    build.spec.write_text(SPEC.replace("model Net", "# as before\nmodel Net"))
    assert failed(build.check()) == []


def test_other_weights_are_caught(build: Build) -> None:
    state = load_file(build.weights)
    state["mid.bias"][1] += 1e-6
    save_file(state, build.weights)
    assert failed(build.check()) == ["weights"]


def wrong_parts(record: dict[str, Any]) -> None:
    """The bias of the first fold forgets its sum."""
    part = record["parts"][record["tensors"]["fused.bias"]]
    part["attributes"]["coefficients"][0] = {"rational": "2"}


RECORDS: dict[str, Callable[[dict[str, Any]], object]] = {
    "expression": wrong_parts,
    "another tensor": lambda record: record["tensors"].update({"fused.bias": record["tensors"]["mid.bias"]}),
    "cuts": lambda record: record["cuts"][0].update(value=record["cuts"][2]["value"]),
    "sizes": lambda record: record["size"].update(h=8),
    "hash of the spec": lambda record: record["spec"].update(sha256="0" * 64),
    "hash of the weights": lambda record: record["weights"].update(sha256="0" * 64),
}


@pytest.mark.parametrize("name", RECORDS)
def test_every_changed_certificate_is_caught(build: Build, name: str) -> None:
    build.change_record(RECORDS[name])
    assert failed(build.check())


def test_a_certificate_without_cuts_still_has_to_hold_as_a_whole(build: Build) -> None:
    """Cuts help, they are not believed in: without any there is one segment."""
    build.change_record(lambda record: record["cuts"].clear())
    findings = {finding.name: finding for finding in build.check()}
    assert findings["algebra"].text.startswith("equal in 1 segments")


# ------------------------------------------------------------------------------------------------ what cannot be read


def test_a_damaged_certificate_is_wrong_input(build: Build, capsys: pytest.CaptureFixture[str]) -> None:
    build.change_record(lambda record: record.pop("parts"))
    assert checker(build.words()) == 2
    assert "E931" in capsys.readouterr().err
    build.certificate.write_text("{")
    with pytest.raises(Failure, match="E931"):
        build.check()
    with pytest.raises(Failure, match="E930"):
        check(build.folder / "none.json", str(build.spec), build.weights, build.artifact)


def test_an_operator_that_repc_does_not_write_is_refused(build: Build) -> None:
    build.change_model(lambda model: setattr(model.graph.node[0], "op_type", "ConvInteger"))
    with pytest.raises(Failure, match="E932 the checker does not know ConvInteger"):
        build.check()
