"""Files out: what is written is read back, by repc and by the formats' own libraries, with the same bytes each time."""

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file

from repc.checkpoints import read, write
from repc.diagnostics import Failure

TYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
]  # fmt: skip

tensors = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
    st.tuples(st.sampled_from(TYPES), st.lists(st.integers(0, 3), max_size=3)),
    min_size=1,
    max_size=5,
)


def filled(shape: list[int], dtype: torch.dtype) -> torch.Tensor:
    return torch.randint(0, 2, shape).to(dtype)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tensors)
def test_what_is_written_is_what_safetensors_reads(
    tmp_path: Path, kinds: dict[str, tuple[torch.dtype, list[int]]]
) -> None:
    given = {name: filled(shape, dtype) for name, (dtype, shape) in kinds.items()}
    path = tmp_path / "w.safetensors"
    write(path, given)
    for back in (load_file(path), read(path)):
        assert back.keys() == given.keys()
        assert all(back[k].dtype == t.dtype and torch.equal(back[k], t) for k, t in given.items())


def test_the_order_of_what_is_given_changes_no_byte(tmp_path: Path) -> None:
    one = {"b": torch.ones(3), "a": torch.zeros(2, dtype=torch.float64), "c": torch.tensor(True)}
    other = dict(reversed(one.items()))
    notes = {name: name for name in "hgfedcba"}
    write(tmp_path / "one.safetensors", one, notes)
    write(tmp_path / "other.safetensors", other, dict(reversed(notes.items())))
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "other.safetensors").read_bytes()
    with safe_open(tmp_path / "one.safetensors", framework="pt") as file:
        assert file.metadata() == notes


@pytest.mark.parametrize("suffix", ["safetensors", "pth", "pt", "bin"])
def test_views_are_written_as_they_look(suffix: str, tmp_path: Path) -> None:
    big = torch.arange(10_000.0).reshape(100, 100)
    given = {"t": big[:2].T, "row": big[5], "broadcast": torch.ones(1).expand(3)}
    write(tmp_path / f"w.{suffix}", given)
    back = read(tmp_path / f"w.{suffix}")
    assert all(torch.equal(back[k], t) for k, t in given.items())
    assert (tmp_path / f"w.{suffix}").stat().st_size < 10_000


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"E609 .*w\.ckpt does not say which format to write; end the name in"):
        write(tmp_path / "w.ckpt", {"a": torch.ones(1)})


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_failure_leaves_the_old_file(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"w.{suffix}"
    write(path, {"a": torch.ones(1)})
    before = path.read_bytes()
    unreadable = torch.ones(1, device="meta")
    with pytest.raises(NotImplementedError):
        write(path, {"a": torch.ones(1), "b": unreadable})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
