"""Files in: formats, containers, prefixes, and everything that is not a checkpoint."""

import hashlib
import io
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from repc.checkpoints import Checkpoint, from_memory, read
from repc.diagnostics import Diagnostic, Failure
from tests.fixtures import structural

TENSORS = {"b.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2, dtype=torch.float64)}


def torch_bytes(value: object, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


FORMATS = {"safetensors": save(TENSORS), "zip": torch_bytes(TENSORS), "legacy": torch_bytes(TENSORS, legacy=True)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.pth"


def fault(path: Path, container: str | None = None) -> Diagnostic:
    with pytest.raises(Failure) as failure:
        read(path, container)
    (found,) = failure.value.diagnostics
    return found


def same(checkpoint: Checkpoint, tensors: dict[str, torch.Tensor]) -> bool:
    return checkpoint.keys() == tensors.keys() and all(torch.equal(checkpoint[k], t) for k, t in tensors.items())


@pytest.mark.parametrize("form", FORMATS)
def test_the_format_is_told_from_the_content(form: str, file: Path) -> None:
    file.write_bytes(FORMATS[form])
    checkpoint = read(file)
    assert same(checkpoint, TENSORS)
    assert (checkpoint.name, checkpoint.path, checkpoint.notes) == ("a.pth", file, ())
    assert checkpoint.sha256 == hashlib.sha256(FORMATS[form]).hexdigest()


def test_a_recorded_state_dict_is_read() -> None:
    assert len(read(structural("repvgg_block_s2") / "train.safetensors")) == 12


def test_parameters_do_not_bring_autograd_along(file: Path) -> None:
    torch.save({"w": torch.nn.Parameter(torch.ones(2))}, file)
    assert not read(file)["w"].requires_grad
    given = from_memory({"w": torch.nn.Parameter(torch.ones(2))})
    assert not given["w"].requires_grad
    assert given.sha256 is None


# ------------------------------------------------------------------------------------------------ containers

OTHER = {"b.weight": torch.zeros(2, 3), "a.bias": torch.zeros(2)}


@pytest.mark.parametrize(
    ("saved", "notes"),
    [
        ({"state_dict": TENSORS}, ("container state_dict",)),
        (
            {"epoch": 3, "state_dict": TENSORS, "best": torch.tensor(0.7), "optimizer": {"state": {0: {"m": OTHER}}}},
            ("container state_dict",),
        ),
        ({"model_ema": OTHER, "model": TENSORS}, ("container model; not used: model_ema",)),
        ({"ema_state_dict": TENSORS}, ("container ema_state_dict",)),
        ({"generator": TENSORS, "lr": 0.1}, ("container generator",)),
        ({**TENSORS, "epoch": 3, 5: 6}, ("2 entries that are no tensors ignored: epoch, 5",)),
        ({f"module.{k}": t for k, t in TENSORS.items()}, ("prefix module. taken off every key",)),
        (
            {"net": {f"_orig_mod.module.{k}": t for k, t in TENSORS.items()}},
            ("container net", "prefix _orig_mod.module. taken off every key"),
        ),
    ],
)
def test_the_state_dict_is_found_inside(saved: Any, notes: tuple[str, ...], file: Path) -> None:
    torch.save(saved, file)
    checkpoint = read(file)
    assert same(checkpoint, TENSORS)
    assert checkpoint.notes == notes


def test_a_prefix_that_not_all_keys_have_stays(file: Path) -> None:
    tensors = {"module.a": torch.ones(1), "n_averaged": torch.tensor(3)}
    torch.save(tensors, file)
    assert same(read(file), tensors)


def test_a_container_by_choice(file: Path) -> None:
    torch.save({"model": OTHER, "model_ema": TENSORS}, file)
    checkpoint = read(file, container="model_ema")
    assert same(checkpoint, TENSORS)
    assert checkpoint.notes == ("container model_ema; not used: model",)


@pytest.mark.parametrize("names", [("state_dict", "model"), ("generator", "discriminator"), ("ema", "swa")])
def test_several_containers_are_a_question(names: tuple[str, str], file: Path) -> None:
    torch.save(dict.fromkeys(names, TENSORS), file)
    found = fault(file)
    assert (found.code, found.title) == ("E607", f"a.pth holds 2 state_dicts: {names[0]}, {names[1]}")
    assert found.help == f"choose one by its name, such as container={names[0]}"


@pytest.mark.parametrize(
    ("saved", "wanted", "help"),
    [
        ({"model": TENSORS, "model_ema": TENSORS}, "model_emma", "did you mean model_ema?"),
        ({"model": TENSORS}, "swa", "it holds model"),
        (TENSORS, "model", "its tensors are not inside a container: ask for none"),
    ],
)
def test_a_container_that_is_not_there(saved: object, wanted: str, help: str, file: Path) -> None:
    torch.save(saved, file)
    found = fault(file, wanted)
    assert (found.code, found.title, found.help) == ("E608", f"a.pth has no state_dict called {wanted}", help)


@pytest.mark.parametrize("saved", [{}, {"epoch": 3}, {"optimizer": {"param_groups": []}}, {3: torch.ones(1)}])
def test_no_tensors(saved: object, file: Path) -> None:
    torch.save(saved, file)
    assert fault(file).code == "E606"


def test_the_state_of_a_model_without_parameters() -> None:
    assert dict(from_memory(torch.nn.ReLU().state_dict())) == {}


# ------------------------------------------------------------------------------------------------ bad files


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "repvgg_a0.pth").touch()
    found = fault(tmp_path / "repvgg_ao.pth")
    assert (found.code, found.help) == ("E601", "did you mean repvgg_a0.pth?")
    assert fault(tmp_path / "no" / "such.pth").help == "check the path"


def test_a_folder_is_not_read(tmp_path: Path) -> None:
    found = fault(tmp_path)
    assert (found.code, found.title) == ("E602", f"cannot read {tmp_path}: is a directory")


@pytest.mark.parametrize(
    ("content", "title"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is a pointer of git-lfs, not the file itself"),
        (b"\n<!DOCTYPE html><title>Sign in", "is a web page, perhaps of a download that wanted a login"),
        (b"hello", "is neither safetensors nor a torch file"),
        (torch_bytes(torch.ones(2)), "holds a Tensor instead of names and tensors"),
        (torch_bytes([torch.ones(2)]), "holds a list instead of names and tensors"),
    ],
)
def test_not_a_checkpoint(content: bytes, title: str, file: Path) -> None:
    file.write_bytes(content)
    found = fault(file)
    assert (found.code, found.title) == ("E603", f"{file} is not a checkpoint: it {title}")
    assert found.help


class Trap:
    """Unpickling this without restraint makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_nothing_is_executed(form: str, file: Path, tmp_path: Path) -> None:
    trap, sprung = {"w": torch.ones(2), "trap": Trap(tmp_path / "sprung")}, tmp_path / "sprung"
    content = pickle.dumps(trap["trap"], 2) if form == "pickle" else torch_bytes(trap, legacy=form == "legacy")
    if form == "pickle":
        pickle.loads(content)  # the trap works
        sprung.rmdir()
    file.write_bytes(content)
    found = fault(file)
    assert not sprung.exists()
    assert (found.code, found.title) == ("E604", f"{file} cannot be read without executing code: it wants posix.mkdir")
    assert found.help is not None
    assert "safetensors.torch.save_file" in found.help


def test_a_whole_module_wants_its_class(file: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), file)
    found = fault(file)
    assert found.code == "E604"
    assert found.title.endswith("it wants torch.nn.modules.linear.Linear")


def test_the_size_of_a_cut_off_file_is_told(file: Path) -> None:
    whole = FORMATS["safetensors"]
    file.write_bytes(whole[:-5])
    found = fault(file)
    assert (found.code, found.title) == ("E605", f"{file} is cut off after {len(whole) - 5} of {len(whole)} bytes")


def refusals(path: Path) -> tuple[Diagnostic, ...]:
    """What a person meets instead of a checkpoint; anything but a `Failure` is a fault of repc."""
    try:
        read(path)
    except Failure as failure:
        return failure.diagnostics
    return ()


hostile = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@hostile
@given(st.sampled_from([b"", b"\x80\x02", b"PK\x03\x04", b"\x10\0\0\0\0\0\0\0{"]), st.binary(max_size=200))
def test_any_bytes_are_refused_in_words(tmp_path: Path, head: bytes, rest: bytes) -> None:
    (tmp_path / "x").write_bytes(head + rest)
    (found,) = refusals(tmp_path / "x")
    assert found.code.startswith("E60")
    assert found.help


@hostile
@given(st.sampled_from(sorted(FORMATS)), st.floats(0, 1, exclude_max=True))
def test_no_part_of_a_file_passes_for_the_whole(tmp_path: Path, form: str, share: float) -> None:
    content = FORMATS[form]
    (tmp_path / "x").write_bytes(content[: int(len(content) * share)])
    assert refusals(tmp_path / "x")


@hostile
@given(st.sampled_from(sorted(FORMATS)), st.floats(0, 1, exclude_max=True), st.integers(0, 255))
def test_a_changed_byte_never_ends_in_a_traceback(tmp_path: Path, form: str, place: float, byte: int) -> None:
    content = bytearray(FORMATS[form])
    content[int(len(content) * place)] = byte
    (tmp_path / "x").write_bytes(content)
    assert all(found.help for found in refusals(tmp_path / "x"))
