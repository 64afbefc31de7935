"""Small networks on which a wrong fold shows.  A name is what the table of mutants prints."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeAlias

from repc.diagnostics import Source
from repc.ir.graph import Graph
from repc.passes import Options
from repc.semantics import FileLibrary, elaborate, load
from tests.mutants.mutant import Witness
from tests.mutants.refute import weights_of

OptionsFor: TypeAlias = Callable[[Graph], Options]

PRELUDE = """repc 1
import adapters.ssf
import models.repvgg
import std.conv

block Scale(x: [b, c, ...s]) {
  weight factor: [c] = ones
  return x * along(factor, 1)
}

block Mirror<co>(x: [b, n]) {
  weight W: [co, n] = normal(0, 1)
  weight u: [n, 1] = normal(0, 1)
  return linear(x, W @ (eye(n) - 2 * (u @ u.T)))
}
"""
IMAGE = "x: f32[b, 4, h, w]"


@cache
def elaborated(text: str) -> Graph:
    """The model M of a spec."""
    return elaborate(load(Source("witness.rep", PRELUDE + text), FileLibrary()), "M")


def default(train: Graph) -> Options:
    return Options()


def cheapest(train: Graph) -> Options:
    """Multiply-adds count, and not the size of the weights."""
    return Options(objective="macs")


def fewest(train: Graph) -> Options:
    """Operators count, and not what they cost."""
    return Options(objective="operators")


def mapping(train: Graph) -> Options:
    """A border may be made up for by a constant map."""
    return Options(objective="macs", border_maps=True)


def looking(train: Graph) -> Options:
    """Folding may look at the values of the weights."""
    return Options(values=weights_of(train))


def witness(name: str, value: str, *lets: str, port: str = IMAGE, options: OptionsFor = default) -> Witness:
    """A network that makes `value` of its input x, perhaps by names that statements give."""
    body = f"= {value}" if not lets else "{\n  " + "\n  ".join(lets) + f"\n  return {value}\n}}"
    return Witness(name, lambda: elaborated(f"model M({port}) {body}\n"), options)


CONV_NORM = witness("conv, norm", "x >> conv: Conv(4, 3) >> bn: BatchNorm()")
TRANSPOSED_NORM = witness("transposed conv, norm", "x >> conv: ConvTranspose(4, 3, groups=2) >> bn: BatchNorm()")
SPLIT_NORM = witness(
    "conv, channels to rows, norm",
    'rearrange(y, "b (c s) h w -> b c (s h) w", s=2) >> bn: BatchNorm()',
    "let y = x >> conv: Conv(8, 3, pad=1)",
)
TWO_NORMS = witness(
    "two branches with norms",
    "sum { a: x >> conv: Conv(4, 3) >> bn: BatchNorm() | b: x >> conv: Conv(4, 3) >> bn: BatchNorm() }",
)
READ_TWICE = witness("conv read twice", "y >> bn: BatchNorm(), relu(y)", "let y = x >> conv: Conv(4, 3)")
TIED = witness(
    "tied convs, norms",
    "conv(x, W) >> a: BatchNorm(), conv(relu(x), W) >> b: BatchNorm()",
    "weight W: [4, 4, 3, 3] = normal(0, 1)",
)
AFFINE_PADDED_CONV = witness("shift, padded conv", "x >> ssf: SSF() >> conv: Conv(4, 3, pad=1)")
AFFINE_CONV = witness("shift, conv", "x >> ssf: SSF() >> conv: Conv(4, 3)")
SCALE_GROUPED_CONV = witness("scale, grouped conv", "x >> scale: Scale() >> conv: Conv(4, 3, groups=2)")
EVEN_ODD = witness(
    "4x4 beside 3x3", "sum { even: x >> Conv(4, 4, pad=[[1, 2], [2, 1]]) | odd: x >> Conv(4, 3, pad=1) }"
)
WIDE_POINT = witness("3x3 beside 1x1", "sum { wide: x >> Conv(4, 3, pad=1) | point: x >> Conv(4, 1) }")
RECTANGULAR = witness("1x3 beside 3x3", "sum { row: x >> Conv(4, [1, 3], pad=[0, 1]) | wide: x >> Conv(4, 3, pad=1) }")
DILATED = witness("dilated beside 1x1", "sum { wide: x >> Conv(4, 3, pad=2, dilation=2) | point: x >> Conv(4, 1) }")
DILATED_DENSE = witness(
    "dilated beside dense", "sum { wide: x >> Conv(4, 3, pad=2, dilation=2) | dense: x >> Conv(4, 5, pad=2) }"
)
TWO_STRIDES = witness(
    "strides 2 and 1 of one size",
    "sum { fast: x >> Conv(4, 3, stride=2) | slow: x >> Conv(4, 4) }",
    port="x: f32[b, 4, 5, 5]",
)
SUBTRACTED = witness("difference of convs", "(x >> a: Conv(4, 3)) - (x >> b: Conv(4, 3))")
REFLECTED = witness(
    "reflected borders", 'sum { wide: x >> Conv(4, 3, pad=1, mode="reflect") | point: x >> Conv(4, 1) }'
)
GROUPED_IDENTITY = witness("grouped conv beside identity", "sum { conv: x >> Conv(4, 3, pad=1, groups=2) | x }")
DENSE_IDENTITY = witness("conv beside identity", "sum { conv: x >> Conv(4, 3, pad=1) | x }")
NORMED_IDENTITY = witness("conv beside a norm", "sum { conv: x >> Conv(4, 3, pad=1) | bn: x >> BatchNorm() }")
LOCALITY = witness(
    "conv beside a layer over a tile",
    "sum as fc3 { layer: tile | conv3: x >> Conv(4, 3, pad=1, groups=4, bias=false) }",
    "let flat = reshape(x, [n, 60, 1, 1])",
    "let tile = reshape(flat >> fc3: Conv(60, 1, groups=4), [n, 4, 3, 5])",
    port="x: f32[n, 4, 3, 5]",
)
CONSTANT_CHANNEL = witness(
    "norm with γ = 0, linear",
    "sigmoid(x >> a: Linear(16) >> bn: BatchNorm()) >> b: Linear(4)",
    port="x: f32[b, 4]",
    options=looking,
)
SCALE_RELU = witness("conv, relu, scale", "relu(x >> conv: Conv(4, 3)) >> scale: Scale()")
CENTRED = witness(
    "linear, layer norm",
    "x >> a: Linear(6) >> norm: LayerNorm(affine=false) >> b: Linear(5)",
    port="x: f32[b, 3]",
    options=cheapest,
)
SIBLINGS = witness(
    "concatenated transposed convs", "concat { a: x >> ConvTranspose(2, 3) | b: x >> ConvTranspose(3, 3) }"
)
SUMMED_NORM = witness(
    "convs of two values, sum, norm",
    "sum { a: relu(x) >> Conv(4, 3) | b: sigmoid(x) >> Conv(4, 3) } >> bn: BatchNorm()",
)
STACKED_NORM = witness(
    "convs of two values, concatenated, norm",
    "concat { a: relu(x) >> Conv(4, 3) | b: sigmoid(x) >> Conv(4, 3) } >> bn: BatchNorm()",
)
SCALED_PART = witness(
    "scale of a part of a layer",
    "q >> scale: Scale(), k",
    "let (q, k) = split(x >> fc: Conv(8, 1), [3, 5])",
)
TWO_READERS = witness("shift, two convs", "y >> a: Conv(4, 3), y >> b: Conv(4, 3)", "let y = relu(x) >> ssf: SSF()")
NORM_LINEAR = witness("layer norm, linear", "x >> norm: LayerNorm() >> fc: Linear(5)", port="x: f32[b, 6]")
MOVED_TWICE = witness(
    "permuted twice", "relu(permute(permute(relu(x), [1, 2, 0, 3]), [3, 0, 2, 1]))", port="x: f32[3, 3, 3, 3]"
)
NORM_AFFINE = witness("layer norm, shift", "x >> norm: LayerNorm() >> ssf: SSF()", port="x: f32[b, 6]")
NORM_THRESHOLD = witness(
    "norm, threshold",
    'cast(greater(relu(x) >> bn: BatchNorm(), fill([], 0.5)), "f32")',
    port="x: f32[b, 24, h, w]",
)
TWO_HIDDEN = witness(
    "two hidden layers",
    "sum { x >> a: Conv(3, 1) >> ReLU() >> b: Conv(2, 1) | x >> c: Conv(5, 1) >> ReLU() >> d: Conv(2, 1) }",
)
DROPOUT_SCALE = witness("dropout, scale", "relu(x) >> Dropout() >> scale: Scale() >> ReLU()")
TWO_AFFINE = witness("two shifts", "relu(x) >> a: SSF() >> b: SSF()")
NESTED = witness("sum of sums", "(a + sigmoid(x)) + a", "let a = relu(x)")
RESIDUAL = witness("residual scale", "a + (a >> scale: Scale())", "let a = relu(x)")
MOVED = witness("difference of permuted values", "permute(relu(x), [0, 1, 3, 2]) - permute(sigmoid(x), [0, 1, 3, 2])")


BIASED_POINT = witness("biased 1x1, padded conv", "x >> a: Conv(6, 1) >> b: Conv(4, 3, pad=1)", options=cheapest)
MAPPED_POINT = witness(
    "biased 1x1, padded conv, pinned",
    "x >> a: Conv(6, 1) >> b: Conv(4, 3, pad=1)",
    port="x: f32[b, 4, 6, 7]",
    options=mapping,
)
GROUPED_ROW = witness("grouped convs in a row", "x >> a: Conv(8, 1, groups=2) >> b: Conv(4, 1, groups=2)")
STRIDED_ROW = witness("strided conv, conv", "x >> a: Conv(4, 2, stride=2) >> b: Conv(4, 2)", options=fewest)
PADDED_ROW = witness(
    "conv padded twice", "x >> a: Conv(4, 3, pad=1, bias=false) >> b: Conv(4, 3, pad=1)", options=fewest
)
UP_ROW = witness("transposed conv, conv", "x >> a: ConvTranspose(4, 3, stride=2) >> b: Conv(4, 2)", options=fewest)
UP_BESIDE = witness(
    "conv beside a transposed one", "sum { a: x >> Conv(4, 3, pad=1) | b: x >> ConvTranspose(4, 3, pad=1) }"
)
FLATTENED_TABLE = witness(
    "constant, flatten, linear",
    "flatten(x + table) >> fc: Linear(3)",
    "weight table: [4, 6, 7] = normal(0, 1)",
    port="x: f32[b, 4, 6, 7]",
)
BORDERED_POINT = witness(
    "1x1 padded with its bias, conv",
    "pad(y, [[0, 0], [0, 0], [1, 1], [1, 1]], value=a.bias + a.bias) >> b: Conv(4, 3)",
    "let y = x >> a: Conv(6, 1)",
    options=cheapest,
)
BIASED_ROW = witness("biased convs in a row", "x >> a: Conv(4, 1) >> b: Conv(4, 3)", options=cheapest)
AVERAGED = witness(
    "conv beside an average",
    "sum { conv: x >> Conv(4, 3, pad=1) | x >> avg_pool(3, stride=1, pad=1) }",
)


def deep(group: int = 1) -> Graph:
    """A narrow RepVGG: its last stage sees a 32nd of the image."""
    return elaborated(
        "model M(x: f32[b, 3, h, w]) = "
        f"x >> RepVGG([1, 2, 1, 2], [0.0625, 0.0625, 0.0625, 0.03125], classes=5, group={group})\n"
    )


LAST_STAGE = "stage4."
MIRROR = witness("linear by a reflection", "x >> fc: Mirror(3)", port="x: f32[b, 5]")
DEEP = Witness("RepVGG, last stage only", deep, default)
