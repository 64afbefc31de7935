"""Each function of the language is the operator that it says."""

from __future__ import annotations

from fractions import Fraction

import pytest

from repc.diagnostics import Failure, Source
from repc.ir.dims import symbol
from repc.ir.operator import Operator
from repc.ops import (
    AdaptiveMaxPool,
    Affine,
    Attention,
    Binary,
    Cast,
    CumSum,
    Divide,
    Function,
    Gather,
    LogSoftmax,
    Multiply,
    Not,
    Order,
    Pad,
    Reduce,
    Roll,
    Slice,
    Sum,
    Take,
    TakeAlong,
    Upsample,
    Where,
)
from repc.ops.attention import usual_scale
from repc.ops.binary import BINARY
from repc.semantics import FileLibrary, elaborate, load

H, TWO = symbol("h"), Fraction(2)
PORTS = "x: f32[b, 4, h, 8], y: f32[b, 4, h, 8], i: i64[b, 3], m: bool[h, 8]"


def last(body: str) -> tuple[Operator, str]:
    """The operator that makes the result, and its type."""
    source = Source("m.rep", f"repc 1\nmodel M({PORTS}) = {body}\n")
    graph = elaborate(load(source, FileLibrary()), "M")
    (id,) = graph.outputs.values()
    return graph[id].op, str(graph[id].type)


@pytest.mark.parametrize(
    ("body", "op", "type"),
    [
        ("attention(x, y, y)", Attention(usual_scale(8)), "f32[b, 4, h, 8]"),
        ("attention(x, y, y, scale=2, causal=true)", Attention(TWO, True), "f32[b, 4, h, 8]"),
        ("log_softmax(x)", LogSoftmax(3), "f32[b, 4, h, 8]"),
        ('cast(i, "bool")', Cast("bool"), "bool[b, 3]"),
        ("logical_not(m)", Not(), "bool[h, 8]"),
        ("where(m, x, y)", Where(), "f32[b, 4, h, 8]"),
        ("take(x, [3, 0, 0], axis=1)", Take(1, (3, 0, 0)), "f32[b, 3, h, 8]"),
        ("take(x, 2, axis=-1)", Take(3, (2,)), "f32[b, 4, h, 1]"),
        ("roll(x, [-3, 2], axis=[-1, 1])", Roll((-3, 2), (3, 1)), "f32[b, 4, h, 8]"),
        ("roll(x, 1, axis=2)", Roll((1,), (2,)), "f32[b, 4, h, 8]"),
        ("gather(x, i, axis=3)", Gather(3), "f32[b, 4, h, b, 3]"),
        ("embedding(i, reshape(y, [-1, 16]))", Gather(0), "f32[b, 3, 16]"),
        ("take_along(x, order(x, 2, axis=1), axis=1)", TakeAlong(1), "f32[b, 2, h, 8]"),
        ("order(x, h, axis=2, largest=false)", Order(2, H, largest=False), "i64[b, 4, h, 8]"),
        ("order(x, 3)", Order(3, 3), "i64[b, 4, h, 3]"),
        ("cumsum(x, 2)", CumSum(2), "f32[b, 4, h, 8]"),
        ("amax(x, axis=[3, 2])", Reduce("max", (2, 3), False), "f32[b, 4]"),
        ("amin(x, axis=1, keep=true)", Reduce("min", (1,), True), "f32[b, 1, h, 8]"),
        ("var(x, axis=-1, correction=1)", Reduce("var", (3,), False, 1), "f32[b, 4, h]"),
        ("adaptive_max_pool(x, 1)", AdaptiveMaxPool((1, 1)), "f32[b, 4, 1, 1]"),
        ("upsample(x, 2)", Upsample((TWO, TWO)), "f32[b, 4, 2*h, 16]"),
        ('upsample(x, [2, 0.5], mode="cubic")', Upsample((TWO, 1 / TWO), "cubic"), "f32[b, 4, 2*h, 4]"),
        ("upsample(x, size=[h // 2, 5])", Upsample((), size=(H // 2, 5)), "f32[b, 4, (h//2), 5]"),
        ("upsample(x, size=7)", Upsample((), size=(7, 7)), "f32[b, 4, 7, 7]"),
        ("affine(x, fill([8], 2), none, axis=-1)", Affine(3), "f32[b, 4, h, 8]"),
        ("multiply(x, 2)", Multiply(), "f32[b, 4, h, 8]"),
        ("divide(x, 2)", Divide(), "f32[b, 4, h, 8]"),
        ("x * 2", Sum((TWO,)), "f32[b, 4, h, 8]"),
        ("sum(coefficients=[2, -1]) { x | y }", Sum((TWO, -TWO / 2)), "f32[b, 4, h, 8]"),
        ("x >> (sum([0.5, 1]) { relu | sigmoid })", Sum((1 / TWO, TWO / 2)), "f32[b, 4, h, 8]"),
        ("slice(x, axis=3, start=1, step=3)", Slice(3, 1, 8, 3), "f32[b, 4, h, 3]"),
        ("slice(x, axis=1, start=-3, stop=-1)", Slice(1, 1, 3), "f32[b, 2, h, 8]"),
        ("slice(x, axis=1)", Slice(1, 0, 4), "f32[b, 4, h, 8]"),
        ('pad(x, [0, 2], mode="circular")', Pad(((0, 0), (0, 0), (0, 0), (2, 2)), "circular"), "f32[b, 4, h, 12]"),
        ("pow(x, 3)", Function("pow", (Fraction(3),)), "f32[b, 4, h, 8]"),
        ("celu(x)", Function("celu", (Fraction(1),)), "f32[b, 4, h, 8]"),
        ("round(x)", Function("round"), "f32[b, 4, h, 8]"),
        ("y[:, :, :1]", Slice(2, 0, 1), "f32[b, 4, 1, 8]"),
        ("x[:, :, 1:]", Slice(2, 1, H), "f32[b, 4, h - 1, 8]"),
        ("(concat(axis=2) { x | y })[:, :, 1:-1]", Slice(2, 1, H * 2 - 1), "f32[b, 4, 2*h - 2, 8]"),
    ],
)
def test_a_function_is_its_operator(body: str, op: Operator, type: str) -> None:
    assert last(body) == (op, type)


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_operands(name: str) -> None:
    operand = {"bool": "m"}.get(BINARY[name][0], "x")
    op, type = last(f"{name}({operand}, {operand})")
    assert op == Binary(name)
    assert type.startswith(BINARY[name][1] or ("bool" if operand == "m" else "f32"))


def test_an_entry_of_an_axis_of_free_size() -> None:
    """The first one surely exists; the last one would need the size."""
    _, type = last("reshape(x[:, :, 0], [-1, 8])")
    assert type == "f32[4*b, 8]"
    for body, reason in {
        "x[:, :, -1]": "E3",
        "x[:, :, 3]": "3:4 of axis 2 of .* is not known to be there; pin the size",
        "attention(permute(x, [0, 1, 3, 2]), x, x)": "scale",
        "upsample(x, 2, size=3)": "a scale or a size",
        "upsample(x)": "a scale or a size",
        'upsample(x, ["a", 2])': "a number or a list of 2",
        "roll(x, [1, 2], axis=1)": "an integer or a list of 1",
    }.items():
        with pytest.raises(Failure, match=reason):
            last(body)
