"""Whatever a text says, elaboration ends with a graph or with diagnostics."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repc.diagnostics import Failure, Source
from repc.semantics import FileLibrary, check, load
from repc.syntax import tree
from repc.syntax.printer import print_file
from tests import strategies


def outcome(text: str) -> list[str]:
    """The codes of the errors of a text; any exception but Failure fails the test."""
    try:
        return [diagnostic.code for diagnostic in check(load(Source("t.rep", text), FileLibrary()))]
    except Failure as failure:
        return [diagnostic.code for diagnostic in failure.diagnostics]


@settings(max_examples=150, deadline=None)
@given(strategies.files)
def test_random_files(file: tree.File) -> None:
    outcome(print_file(file))


@settings(max_examples=150, deadline=None)
@given(strategies.expressions)
def test_random_expressions_in_a_model(expr: tree.Expr) -> None:
    span = expr.span
    body = tree.Body(span, (), (expr,), False)
    dims = tuple(tree.Name(span, name) for name in "bchw")
    port = tree.Port(span, "x", tree.TypeExpr(span, "f32", dims))
    item = tree.Definition(span, "model", "M", (), (port,), None, body)
    head = tree.Import(span, "std.conv", False, None)
    outcome(print_file(tree.File(span, 1, (head, item))))


LAYERS = st.sampled_from(
    [
        "Conv({n}, {k}, pad={k} // 2)",
        "Conv({n}, {k}, stride={s})",
        "Conv({n}, groups={s})",
        "BatchNorm()",
        "ReLU()",
        "MaxPool({k}, stride={s})",
        "AvgPool({k}, pad={s})",
        "sum {{ relu | BatchNorm() }}",
        "sum {{ Conv({n}, {k}, pad={k} // 2) | Conv({n}) }}",
        "repeat {s} {{ Conv({n}, 3, pad=1) }}",
        "concat {{ relu | sigmoid }}",
        'rearrange("b (g c) h w -> b c g h w", g={s})',
        "Dropout(0.1)",
        "GlobalAvgPool()",
        "Linear({n})",
        "permute([0, 2, 3, 1])",
        "Upsample({s})",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(LAYERS, st.integers(1, 6), st.integers(1, 4), st.integers(1, 3)), max_size=6))
def test_generated_networks(parts: list[tuple[str, int, int, int]]) -> None:
    """Plausible networks elaborate, or are refused with a code for names, values or shapes."""
    stages = "".join(f"\n    >> l{i}: {text.format(n=n, k=k, s=s)}" for i, (text, n, k, s) in enumerate(parts))
    codes = outcome(f"repc 1\nimport std.conv\nmodel M(x: f32[b, 4, h, w]) =\n  x{stages}\n")
    assert all(code[:2] in ("E2", "E3") for code in codes), codes


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("model M(x: f32[b]) = x >> repeat 1000000000 { relu }", "E271"),
        ("model M(x: f32[b]) = x >> repeat 100000 { repeat 100000 { relu } }", "E271"),
        ("block R(x: [b]) = x >> R() >> R()\nmodel M(x: f32[b]) = x >> R()", "E270"),
        ("model M<a = 9999999999, b = a * a, c = b * b, d = c * c>(x: f32[b]) = x", "E243"),
        (
            "block L<xs>(x: [b]) = x >> L(xs + xs)\nmodel M(x: f32[b]) = x >> L([1, 2, 3, 4])",
            "E245",
        ),
        (
            "block W(x: [b]) {\n  weight w: [1000000, 1000000, 1000] = zeros\n  return x * w\n}\n"
            "model M(x: f32[b]) = x >> W()",
            "E273",
        ),
    ],
)
def test_limits(text: str, code: str) -> None:
    assert code in outcome(f"repc 1\n{text}\n")


def test_import_cycle(tmp_path) -> None:
    (tmp_path / "a.rep").write_text('repc 1\nimport "b.rep"\n')
    (tmp_path / "b.rep").write_text('repc 1\nimport "a.rep"\n')
    with pytest.raises(Failure, match="E203"):
        load(Source(str(tmp_path / "a.rep"), (tmp_path / "a.rep").read_text()), FileLibrary())
