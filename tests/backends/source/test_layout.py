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
    *(f'return {{"first": {", ".join(NAMES[:1])}, "second": {CALL}({", ".join(NAMES[:count])})}}' for count in range(4, 9)),
    f"x = {CALL}({', '.join(NAMES)}) + {CALL}({', '.join(NAMES[:3])})",
    f"x = {NAMES[0]} * {CALL}({', '.join(NAMES[:8])}) + {NAMES[1]} / {NAMES[2]} - {NAMES[3]}",
    f"x = {CALL}({CALL}({', '.join(NAMES)}), {', '.join(NAMES[:5])}, mode=1)",
    f"x = {CALL}({', '.join(NAMES[:8])})[:, :, 1:, :-1]",
    f'x = torch.einsum("bqd, bkd -> bqk", {CALL}[0].weight[:, None], {CALL}["a, (b"].weight)',
    f"x = nn.Sequential(*({CALL}({', '.join(NAMES[:3])}) for _ in range(13)))",
    f"x = nn.Sequential(*({CALL}({', '.join(NAMES[:7])}) for _ in range(13)))",
    f"x = nn.ModuleList({CALL}({', '.join(NAMES[:7])}) for _ in range(13))",
    f"x = nn.ModuleList([{CALL}({', '.join(NAMES[:7])}), {CALL}()])",
    f"def forward({', '.join(f'{name}: Tensor' for name in NAMES[:6])}) -> Tensor:",
]  # fmt: skip


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_lines_are_those_of_the_formatter(depth: int) -> None:
    source = [f"{'    ' * i}if {i}:" for i in range(depth)]
    for statement in STATEMENTS:
        source += layout(statement, 4 * depth)
        if statement.endswith(":"):
            source.append("    " * (depth + 1) + "pass")
    text = "\n".join(source) + "\n"
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--diff", "-"]
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert max(map(len, source)) <= WIDTH


def test_what_cannot_be_broken_stays_whole() -> None:
    assert layout("x" * 100, 4) == ["    " + "x" * 100]
    assert layout(f"x = {'y' * 100}.z[0]") == [f"x = {'y' * 100}.z[0]"]
