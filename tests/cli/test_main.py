"""The frame around commands: help, exit codes, crashes, pipes."""

import json
import os
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from importlib import import_module
from io import StringIO
from pathlib import Path

import pytest

from repc.cli import VERBS
from repc.cli.screen import Screen
from tests.cli.conftest import Repc
from tests.cli.specs import BLOCK

GOLDEN = Path(__file__).parent / "golden"


def test_the_help_lists_every_command_in_a_line(repc: Repc, golden: Callable[[Path, str], None]) -> None:
    ran = repc("--help")
    assert ran.code == 0
    golden(GOLDEN / "help.txt", ran.out)
    commands = {path.stem for path in (Path(__file__).parents[2] / "repc" / "cli").glob("*.py")}
    assert set(VERBS) <= commands


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_each_command_has_examples_and_explains_every_option(repc: Repc, verb: str) -> None:
    ran = repc(verb, "--help")
    assert ran.code == 0
    assert f"  repc {verb}" in ran.out.partition("examples:")[2]
    parser = ArgumentParser(add_help=False)
    import_module(f"repc.cli.{verb}").configure(parser)
    assert [action.dest for action in parser._actions if not action.help] == []


def test_version(repc: Repc) -> None:
    assert repc("--version").out.startswith("repc ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chek"], "did you mean `repc check`?"),
        (["zzz"], "`repc --help` lists the commands"),
        (["check"], "required: FILE"),
        (["check", "--frobnicate", "x.rep"], "unrecognized arguments: --frobnicate"),
    ],
)
def test_a_wrong_command_line_is_wrong_input(repc: Repc, words: list[str], said: str) -> None:
    ran = repc(*words)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_a_mistake_of_repc_leaves_a_file_that_reproduces_it(repc: Repc, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("net.rep").write_text(BLOCK)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr("repc.cli.check.check", broken)
    ran = repc("check", "net.rep:Net")
    assert (ran.code, ran.out) == (3, "")
    assert "Traceback" not in ran.err
    (bundle,) = Path().glob("repc-crash-*.txt")
    assert str(bundle) in ran.err
    text = bundle.read_text()
    for part in ("repc check net.rep:Net", "ZeroDivisionError: no such luck", "torch ", "model Net<co = 4>"):
        assert part in text


def test_an_interrupt_is_130(repc: Repc, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("repc.cli.check.errors_of", interrupted)
    assert repc("check", "x.rep").code == 130


def test_a_print_of_a_library_is_no_result(repc: Repc, monkeypatch: pytest.MonkeyPatch) -> None:
    def noisy(*_: object) -> list[object]:
        sys.stdout.write("look at me\n")
        return []

    monkeypatch.setattr("repc.cli.check.errors_of", noisy)
    ran = repc("check", "--json", "x.rep")
    assert json.loads(ran.out) == []
    assert "look at me" in ran.err


def test_a_failure_is_json_where_json_was_asked_for(repc: Repc) -> None:
    (found,) = json.loads(repc("explain", "gone.rep", "--json").out)
    assert found["code"] == "E232"


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere() -> None:
    for err, shown in ((Terminal(), "50% done"), (StringIO(), "repc: folding\n")):
        screen = Screen(StringIO(), err)
        with screen.progress() as say:
            say("folding", None)
            say("50% done", 0.5)
        assert shown in err.getvalue()
        assert ("\x1b[" in err.getvalue()) == err.isatty()
        assert screen.out.getvalue() == ""  # pyright: ignore[reportAttributeAccessIssue]
    quiet = StringIO()
    with Screen(StringIO(), quiet, quiet=True).progress() as say:
        say("folding", None)
    assert quiet.getvalue() == ""


def process(*words: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, "-m", "repc", *words], capture_output=True, check=False, env=environment, timeout=60
    )


def test_a_closed_pipe_is_quiet() -> None:
    shell = f"{sys.executable} -m repc list | true; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", shell], capture_output=True, check=False, timeout=60)
    assert (result.returncode, result.stderr) == (141, b"")


def test_a_terminal_without_the_letters_gets_others() -> None:
    result = process("explain", "--help", PYTHONIOENCODING="ascii")
    assert result.returncode == 0, result.stderr
    result = process("check", "é.rep", PYTHONIOENCODING="ascii")
    assert result.returncode == 2
    assert b"Traceback" not in result.stderr


def test_python_m_repc_is_repc() -> None:
    assert process("--version").stdout.startswith(b"repc ")
