"""check: every error, in three forms, without torch."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Repc
from tests.cli.specs import BLOCK, WRONG

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).parents[2]


def test_a_good_file_is_silent_on_stdout(repc: Repc) -> None:
    Path("net.rep").write_text(BLOCK)
    ran = repc("check", "net.rep")
    assert (ran.code, ran.out, ran.err) == (0, "", "1 file checked, no errors\n")
    assert repc("check", "-q", "net.rep").err == ""


@pytest.mark.parametrize("form", ["text", "json", "github"])
def test_all_errors_of_all_files(repc: Repc, golden: Callable[[Path, str], None], form: str) -> None:
    Path("net.rep").write_text(BLOCK)
    Path("a.rep").write_text(WRONG)
    Path("b.rep").write_text("repc 1\nmodel M(x: f32[b]) = y\n")
    ran = repc("check", "net.rep", "a.rep", "b.rep", "--output-format", form)
    assert (ran.code, ran.err) == (2, "3 files checked, 3 errors\n")
    golden(GOLDEN / f"check.{form}.txt", ran.out)


def test_json_is_a_list_even_without_errors(repc: Repc) -> None:
    Path("net.rep").write_text(BLOCK)
    assert json.loads(repc("check", "--json", "net.rep").out) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["net.rep:Net", "--set", "co=8", "--size", "h=32"], 0, ""),
        (["repc:repvgg/RepVGG_A0", "--set", "classes=10"], 0, ""),
        (["net.rep:Nett"], 2, "E206"),
        (["repc:acnet/ACBlock"], 2, "`ACBlock` is a block: apply it in a model"),
        (["net.rep:Net", "--set", "width=8"], 2, "E213"),
        (["net.rep:Net", "--size", "z=8"], 2, "E229"),
        (["net.rep:Net", "--set", "co"], 2, "E911"),
        (["net.rep:Net", "--size", "h=big"], 2, "E911"),
        (["net.rep:Net", "--set", "co=4 + 4"], 2, "E912"),
        (["net.rep:Net", "--set", "co=("], 2, "E1"),
    ],
)
def test_one_model_as_it_is_asked_for(repc: Repc, words: list[str], code: int, said: str) -> None:
    Path("net.rep").write_text(BLOCK)
    ran = repc("check", *words)
    assert ran.code == code, ran.out + ran.err
    assert said in ran.out + ran.err


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("model.onnx", b"\x08\x07", "E910", "an ONNX file"),
        ("model.pt2", b"PK", "E910", "an exported torch program"),
        ("weights.safetensors", b"", "E910", "--weights"),
        ("net.py", b"", "E910", "a Python file"),
        ("broken.rep", b"repc 1\n\xff\xfe", "E103", "UTF-8"),
        ("binary.rep", bytes(range(256)), "E1", ""),
        ("empty.rep", b"", "E101", "language version"),
        ("note.txt", b"dear diary", "E101", "language version"),
    ],
)
def test_what_is_no_spec(repc: Repc, name: str, content: bytes, code: str, said: str) -> None:
    Path(name).write_bytes(content)
    ran = repc("check", name)
    assert ran.code == 2
    assert f"error[{code}" in ran.out
    assert said in ran.out


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("folder", "E910", "a folder"),
        ("model.onnx:main_graph", "E910", "give model.onnx"),
        ("torchvision.models:resnet18", "E910", "the name of a Python object"),
        ("gone.rep", "E232", ""),
        ("repc:repvg", "E231", "repvgg"),
    ],
)
def test_what_is_no_file(repc: Repc, name: str, code: str, said: str) -> None:
    Path("folder").mkdir()
    ran = repc("check", name)
    assert ran.code == 2
    assert f"error[{code}" in ran.out
    assert said in ran.out


def test_colours_only_on_a_terminal_and_not_with_no_color(repc: Repc, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.rep").write_text(WRONG)
    assert "\x1b[" not in repc("check", "a.rep").out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in repc("check", "a.rep").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in repc("check", "a.rep").out


def test_it_loads_no_tensor_library() -> None:
    code = (
        "import sys\nfrom repc.cli import main\nmain(['check', 'repc:repvgg'])\n"
        "print(*sorted({'torch', 'onnx', 'onnxruntime', 'numpy', 'rich'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
