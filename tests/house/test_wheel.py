"""The wheel is whole: in an environment of its own, from another folder, it compiles a spec that it brought along."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections import Counter
from pathlib import Path

import onnx
import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = ("repc", "grammar", "specs", "pyproject.toml", "setup.py", "README.md", "LICENSE")

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints, run without this environment's own import paths."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools would pick up what an older build left in build/."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    pip = (sys.executable, "-m", "pip")
    run(*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", out, source, cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's own environment. It borrows the dependencies of this one by a path file, and those alone:
    path files are not followed from there, so an editable repc stays out."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    base = {"base": str(folder), "platbase": str(folder)}
    site_packages = Path(sysconfig.get_path("purelib", "venv", base))
    (site_packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python")
    run(*pip, "install", "--no-deps", "--no-index", "--ignore-installed", wheel, cwd=folder)
    return folder


def test_the_environment_runs_the_wheel(environment: Path, tmp_path: Path) -> None:
    code = "import repc, repc.grammar, repc.specs; print(repc.__file__, repc.grammar.__file__, repc.specs.__file__)"
    for place in run(environment / "bin" / "python", "-c", code, cwd=tmp_path).split():
        assert environment in Path(place).parents


def test_every_data_file_is_in_the_wheel(environment: Path, tmp_path: Path) -> None:
    code = (
        "from importlib.resources import files\n"
        "for name in ('grammar', 'specs'):\n"
        "    top = files('repc.' + name)\n"
        "    print(*(f'{name}/{p.relative_to(top)}' for p in top.rglob('*') if p.is_file()), sep='\\n')"
    )
    listing = run(environment / "bin" / "python", "-c", code, cwd=tmp_path).split()
    shipped = {name for name in listing if not name.endswith((".py", ".pyc"))}
    expected = {
        str(path.relative_to(ROOT))
        for path in (*ROOT.glob("grammar/*"), *ROOT.glob("specs/**/*"))
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert expected
    assert shipped == expected


def test_it_compiles_a_shipped_spec_from_another_folder(environment: Path, tmp_path: Path) -> None:
    repc = environment / "bin" / "repc"
    run(repc, "compile", "repc:repvgg/RepVGG_A0", "--target", "deploy", "-o", tmp_path / "a0", cwd=tmp_path)
    model = onnx.load(tmp_path / "a0" / "model.onnx")
    counts = Counter(node.op_type for node in model.graph.node)
    assert (counts["Conv"], counts["BatchNormalization"], counts["Add"]) == (22, 0, 0)
