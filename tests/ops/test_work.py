"""Multiply-adds, counted by hand for each kind of operator."""

import pytest

from repc.diagnostics import Source
from repc.ops.work import multiply_adds, nominal_sizes
from repc.semantics import FileLibrary, elaborate, load

SPEC = "repc 1\nimport std.conv\nimport std.linear\nmodel M({ports}) = {body}\n"


@pytest.mark.parametrize(
    ("ports", "body", "expected"),
    [
        ("x: f32[b, 4, h, w]", "x >> Conv(6, 3, pad=1, groups=2)", 2 * 6 * 10 * 8 * 2 * 9),
        ("x: f32[b, 4, h, w]", "x >> Conv(6, 3, stride=2)", 2 * 6 * 4 * 3 * 4 * 9),
        ("x: f32[b, 4, h, w]", "x >> ConvTranspose(6, 2, stride=2)", 2 * 4 * 10 * 8 * 6 * 4),
        ("x: f32[b, h, 5]", "x >> Linear(7)", 2 * 10 * 7 * 5),
        ("x: f32[b, h, 5], y: f32[b, 5, w]", "x @ y", 2 * 10 * 5 * 8),
        ("x: f32[b, h, 5], y: f32[b, w, 5]", 'einsum(x, y, "bqd,bkd->bqk")', 2 * 10 * 5 * 8),
        ("x: f32[b, 4, h, w]", "relu(x) + x", 0),
    ],
)
def test_by_hand(ports: str, body: str, expected: int) -> None:
    module = load(Source("m.rep", SPEC.format(ports=ports, body=body)), FileLibrary())
    assert multiply_adds(elaborate(module, "M"), {"b": 2, "h": 10, "w": 8}) == expected


def test_nominal_sizes_are_one_sample_of_224() -> None:
    module = load(Source("m.rep", SPEC.format(ports="x: f32[b, 4, h, w]", body="relu(x)")), FileLibrary())
    graph = elaborate(module, "M")
    assert nominal_sizes(graph) == {"b": 1, "h": 224, "w": 224}
    assert nominal_sizes(graph, 3)["b"] == 3
