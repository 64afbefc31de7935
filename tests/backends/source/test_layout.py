"""Lines are broken as the formatter breaks them."""

import subprocess
import sys

import pytest

from repc.backends.source.layout import WIDTH, layout

NAMES = [f"operand_{letter}" for letter in "abcdefghij"]
CALL = "self.some_layer.another_layer"
STATEMENTS = [
    *(f"x = {CALL}({', '.join(NAMES[:count])})" for count in range(1, 11)),
    *(f"return {CALL}({', '.join(NAMES[:count])})" for count in range(1, 11)),
    *(f"x = {' + '.join(NAMES[:count])}" for count in range(1, 11)),
    *(f"return {' - '.join(NAMES[:count])}" for count in range(1, 11)),
    *(f"x = [{', '.join(NAMES[:count])}]" for count in range(5, 11)),
    *(f'return {{"a": {NAMES[0]}, "b": {CALL}({", ".join(NAMES[:count])})}}' for count in range(3, 9)),
    *(f"x = {' * '.join(NAMES[:count])} + {NAMES[8]}[:, None] / {NAMES[9]}" for count in range(4, 8)),
    f"x = {CALL}({CALL}({', '.join(NAMES)}), {', '.join(NAMES[:5])}, mode=1)",
    f"x = {CALL}({', '.join(NAMES[:8])})[:, :, 1:, :-1]",
    f'x = torch.einsum("bqd, bkd -> bqk", {CALL}[0].weight[:, None], {CALL}["a, (b"].weight)',
    f"x = nn.Sequential(*({CALL}({', '.join(NAMES[:3])}) for _ in range(13)))",
    f"x = nn.Sequential(*({CALL}({', '.join(NAMES[:7])}) for _ in range(13)))",
    f"x = nn.ModuleList({CALL}({', '.join(NAMES[:7])}) for _ in range(13))",
    f"x = nn.ModuleList([{CALL}({', '.join(NAMES[:7])}), {CALL}()])",
]  # fmt: skip


def formatted(lines: list[str]) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "-"]
    text = "\n".join(lines) + "\n"
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_lines_are_those_of_the_formatter(depth: int) -> None:
    lines = [f"{'    ' * i}if {i}:" for i in range(depth)]
    for statement in STATEMENTS:
        lines += layout(statement, 4 * depth)
    assert "\n".join(lines) + "\n" == formatted(lines)
    assert max(map(len, lines)) <= WIDTH


@pytest.mark.parametrize("count", range(11))
def test_a_signature_is_broken_like_a_call(count: int) -> None:
    signature = f"def forward({', '.join(['self', *(f'{name}: Tensor' for name in NAMES[:count])])}) -> Tensor:"
    lines = ["class A:", *layout(signature, 4), "        pass"]
    assert "\n".join(lines) + "\n" == formatted(lines)


def test_what_cannot_be_broken_stays_whole() -> None:
    assert layout("x" * 100, 4) == ["    " + "x" * 100]
    assert layout(f"x = {'y' * 100}.z[0]") == [f"x = {'y' * 100}.z[0]"]
