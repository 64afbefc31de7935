"""The import contracts have teeth, and what they promise about start-up time holds in a real process."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "repc", tmp_path / "repc", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def run_python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("ir/wrong.py", "import repc.ops", "Imports only go down"),
        ("syntax/wrong.py", "import repc.ir", "Imports only go down"),
        ("passes/wrong.py", "import repc.semantics", "Imports only go down"),
        ("diagnostics/wrong.py", "import repc.driver", "Imports only go down"),
        ("unplaced.py", "", "Imports only go down"),
        ("semantics/wrong.py", "def late():\n    import torch", "Checking a spec loads no tensor library"),
        ("ops/wrong.py", "import numpy", "Checking a spec loads no tensor library"),
        ("semantics/wrong.py", "import lark", "Only the syntax knows the parser"),
        ("passes/wrong.py", "import networkx", "Only the graph knows its container"),
        ("verify/wrong.py", "import rich", "Only the command line draws"),
    ],
)
def test_a_wrong_import_breaks_its_contract(copy: Path, file: str, line: str, contract: str) -> None:
    (copy / "repc" / file).write_text(f"{line}\n")
    result = run_python(LINT, copy)
    assert result.returncode == 1
    broken = [row for row in result.stdout.splitlines() if row.endswith("BROKEN")]
    assert broken == [f"{contract} BROKEN"], result.stdout


def test_the_layers_of_checking_load_no_tensor_library() -> None:
    code = (
        "import sys, repc.diagnostics, repc.syntax, repc.ir, repc.ops, repc.semantics\n"
        "print(*sorted({'torch', 'onnx', 'onnxruntime', 'numpy', 'safetensors', 'rich'} & set(sys.modules)))"
    )
    result = run_python(code, ROOT)
    assert (result.returncode, result.stdout.strip()) == (0, ""), result.stderr
