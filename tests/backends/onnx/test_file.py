"""Models on disk: alone or with external data, always whole."""

from pathlib import Path

import onnx
import onnxruntime
import pytest
from onnx.external_data_helper import load_external_data_for_model

from repc.backends.onnx import file as onnx_file
from repc.backends.onnx import save
from repc.diagnostics import Diagnostic, Failure
from repc.ir.files import write_whole
from repc.ops import Linear
from tests.backends.onnx.networks import Network


def model(seed: int = 0) -> onnx.ModelProto:
    """Two weights of 16 kB and 5 kB, and two small ones."""
    net = Network(seed)
    x = net.add_at("a", Linear(), net.input("x", "b", 64), weight=(64, 64), bias=(64,))
    return net.output(net.add_at("b", Linear(), x, weight=(20, 64), bias=(20,))).model(spec="a.rep")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_model_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    assert save(model(), path) == (path,)
    onnx.checker.check_model(path, full_check=True)
    assert onnx.load(path) == model()


def test_large_weights_go_beside_the_model(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    written = save(model(), path, external_threshold=1000)
    assert sorted(file.name for file in written) == names(tmp_path)
    onnx.checker.check_model(path, full_check=True)
    onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    light = onnx.load(path, load_external_data=False)
    assert [bool(tensor.external_data) for tensor in light.graph.initializer] == [True, False, True, False]
    offsets = [int(entry.value) for t in light.graph.initializer for entry in t.external_data if entry.key == "offset"]
    assert offsets == [0, 16384]
    load_external_data_for_model(light, str(tmp_path))
    for tensor in light.graph.initializer:
        del tensor.external_data[:]
        tensor.ClearField("data_location")
    assert light == model()


def test_the_same_model_makes_the_same_files(tmp_path: Path) -> None:
    first, second = (save(model(), tmp_path / side / "m.onnx", external_threshold=1000) for side in "ab")
    assert [file.name for file in first] == [file.name for file in second]
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


def test_the_threshold_is_the_size_of_the_weights(tmp_path: Path) -> None:
    weights = sum(len(tensor.raw_data) for tensor in model().graph.initializer)
    assert len(save(model(), tmp_path / "a.onnx", external_threshold=weights + 1)) == 1
    assert len(save(model(), tmp_path / "b.onnx", external_threshold=weights)) == 2


def test_a_crash_between_the_two_files_leaves_the_old_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    save(model(1), path, external_threshold=1000)
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}

    def full_after_the_data(target: Path, data: object) -> None:
        if target == path:
            raise Failure(Diagnostic("E701", "full"))
        write_whole(target, data)  # type: ignore[arg-type]

    monkeypatch.setattr(onnx_file, "write_whole", full_after_the_data)
    with pytest.raises(Failure):
        save(model(2), path, external_threshold=1000)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    onnx.checker.check_model(path, full_check=True)


def test_a_folder_that_cannot_be_written_is_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Failure, match=r"E701 cannot write .*choose another path"):
        save(model(), tmp_path / "file" / "m.onnx")
