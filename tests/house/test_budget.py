"""The size budget: a file that can be read in one sitting, a function that fits on one screen."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40


def over_budget(name: str, source: str) -> Iterator[str]:
    """What in one file is too long, a line of text each."""
    lines = len(source.splitlines())
    if lines > MAX_FILE_LINES:
        yield f"{name}: {lines} lines, at most {MAX_FILE_LINES}"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"{name}:{node.lineno}: {node.name} has {length} lines, at most {MAX_FUNCTION_LINES}"


def test_every_file_and_function_keeps_the_budget() -> None:
    files = sorted(path for folder in ("repc", "tests") for path in (ROOT / folder).rglob("*.py"))
    assert Path(__file__) in files
    offenders = [
        line for path in files for line in over_budget(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
    ]
    assert not offenders, "over the size budget; split by idea, not by line count:\n  " + "\n  ".join(offenders)


def function(lines: int) -> str:
    return "def f():\n" + "    pass\n" * (lines - 1)


@pytest.mark.parametrize(
    ("source", "complaints"),
    [
        ("x = 1\n" * MAX_FILE_LINES, 0),
        ("x = 1\n" * (MAX_FILE_LINES + 1), 1),
        (function(MAX_FUNCTION_LINES), 0),
        (function(MAX_FUNCTION_LINES + 1), 1),
        ("async " + function(MAX_FUNCTION_LINES + 1), 1),
        ("class C:\n" + "".join(f"    {line}\n" for line in function(MAX_FUNCTION_LINES + 1).splitlines()), 1),
    ],
    ids=["full file", "long file", "full function", "long function", "long async function", "long method"],
)
def test_the_budget_is_counted_from_def_to_end(source: str, complaints: int) -> None:
    assert len(list(over_budget("case.py", source))) == complaints
