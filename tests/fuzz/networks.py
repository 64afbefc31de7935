"""Random legal networks as text of the language: one to five stages, each made of layers, branches or shared parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from hypothesis import strategies as st

from tests.fuzz import layers, tokens
from tests.fuzz.pen import SYMMETRIES, Layer, Line, Pen, Shape, Value

PRELUDE = """repc 1

import adapters.ssf
import std.conv

block Scale(x: [b, c, ...s]) {
  weight factor: [c] = ones
  return x * along(factor, 1)
}

block Shift(x: [b, c, ...s]) {
  weight term: [c] = zeros
  return x - along(term, 1)
}

block Last(x: [b, t, c]) {
  weight factor: [c] = ones
  return x * along(factor, 2)
}

block LastShift(x: [b, t, c]) {
  weight term: [c] = zeros
  return x + along(term, 2)
}
"""


@dataclass(frozen=True)
class Network:
    """The parts of a spec whose model is M."""

    port: str
    blocks: tuple[str, ...]
    lines: tuple[Line, ...]
    outputs: tuple[str, ...]

    def text(self, symmetry: str = "none") -> str:
        """The spec, perhaps with a symmetry applied that does not change what the network computes."""
        chosen = [line if isinstance(line, str) else line[symmetry] for line in self.lines]
        body = "\n".join(f"  {line}" for line in (*chosen, f"return {', '.join(self.outputs)}"))
        return "\n".join([PRELUDE, *self.blocks, f"model M(x: {self.port}) {{\n{body}\n}}\n"])

    @property
    def symmetries(self) -> tuple[str, ...]:
        """The symmetries that change its text."""
        return SYMMETRIES[1:] if any(not isinstance(line, str) for line in self.lines) else ()

    def __repr__(self) -> str:
        return f"\n{self.text()}"


@st.composite
def networks(draw: Callable[..., object]) -> Network:
    """Any network of images of one to three axes, or of tokens."""
    pen = Pen(draw, free=False)
    pen.free = pen.maybe()
    return _tokens(pen) if pen.integer(0, 4) == 0 else _images(pen)


def _images(pen: Pen) -> Network:
    rank = pen.among(1, 2, 2, 2, 3)
    low, high = ((5, 9), (4, 8), (3, 5))[rank - 1]
    shape = Shape(pen.among(*layers.CHANNELS), tuple(pen.integer(low, high) for _ in range(rank)))
    value = _staged(pen, shape, STAGES)
    if pen.maybe():
        head = f"GlobalAvgPool() >> {pen.name('fc')}: Linear({pen.among(2, 3)}) >> {pen.name('affine')}: BatchNorm()"
        value = pen.let(f"{value.name} >> {head}", Shape(3, ()))
    axes = [f"n{i}" if pen.free else str(size) for i, size in enumerate(shape.sizes)]
    return _network(pen, f"f32[b, {shape.channels}, {', '.join(axes)}]", value)


def _tokens(pen: Pen) -> Network:
    shape = Shape(pen.among(*tokens.WIDTHS), (pen.integer(2, 6),))
    value = _staged(pen, shape, tokens.STAGES)
    return _network(pen, f"f32[b, {'t' if pen.free else shape.sizes[0]}, {shape.channels}]", value)


def _staged(pen: Pen, shape: Shape, stages: Sequence[Callable[[Pen, Value], Value]]) -> Value:
    value = Value("x", shape)
    pen.values.append(value)
    for _ in range(pen.integer(1, 4)):
        value = pen.among(*stages)(pen, value)
    return value


def _network(pen: Pen, port: str, value: Value) -> Network:
    """The network that makes a value, and sometimes one of the values before it."""
    outputs = [value.name]
    if pen.integer(0, 3) == 0 and len(pen.values) > 2:
        outputs.append(pen.among(*pen.values[1:-1]).name)
    return Network(port, tuple(pen.blocks), tuple(pen.lines), tuple(outputs))


# ------------------------------------------------------------------------------------------------ stages


def chain(pen: Pen, x: Value) -> Value:
    """Layers one after another."""
    layer = layers.any_layer(pen, x.shape)
    for _ in range(pen.integer(0, 3)):
        layer = layer.then(layers.any_layer(pen, layer.out))
    return pen.let(f"{x.name} >> {layer.text}", layer.out)


def branches(pen: Pen, x: Value) -> Value:
    """Branches that read one value and make values of one size, added or averaged."""
    channels, surplus, stride = x.shape.channels, [0] * len(x.shape.sizes), 1
    if pen.maybe():
        channels, surplus, stride = pen.among(*layers.CHANNELS), layers.surpluses(pen, x.shape), pen.among(1, 2)
    found = [_branch(pen, x, channels, surplus, stride) for _ in range(pen.integer(2, 4))]
    sizes = [layers.strided(size, extra, stride) for size, extra in zip(x.shape.sizes, surplus, strict=True)]
    merge = pen.among("sum", "sum", f"sum as {pen.name('merged')}", "mean")
    return pen.let(f"{merge} {{ {' | '.join(found)} }}", Shape(channels, tuple(sizes)))


def _branch(pen: Pen, x: Value, channels: int, surplus: Sequence[int], stride: int) -> str:
    keeps = channels == x.shape.channels and stride == 1 and not any(surplus)
    kinds = ["conv", "normed", "normed", "prepared", "point first", "point last", "two", "nonlinear"]
    kinds += ["transposed"] if stride == 1 else []
    kinds += ["pool"] if channels == x.shape.channels and max(surplus) <= 1 else []
    kind = pen.among(*kinds)
    if keeps and pen.maybe():
        kind = pen.among("plain", "affine", "affine", "affine", "pointwise")
    text = x.name if kind == "plain" else f"{x.name} >> {_path(pen, kind, x.shape, channels, surplus, stride).text}"
    coefficient = pen.among("", "", "", "2 * ", "-", "1 / 3 * ")
    return f"{coefficient}({text})" if coefficient else text


def _path(pen: Pen, kind: str, x: Shape, channels: int, surplus: Sequence[int], stride: int) -> Layer:
    def conv(before: Shape) -> Layer:
        return layers.conv(pen, before, channels, surplus, stride)

    if kind == "affine":
        return layers.affine(pen, x)
    if kind == "pointwise":
        return layers.pointwise(pen, x)
    if kind == "pool":
        return layers.average(pen, x, surplus, stride)
    if kind == "transposed":
        return layers.conv_transpose(pen, x, channels, surplus)
    if kind == "prepared":
        return layers.affine(pen, x).then(conv(x))
    if kind == "point first":
        first = layers.point(pen, x, pen.among(*layers.CHANNELS))
        first = first.then(layers.affine(pen, first.out)) if pen.maybe() else first
        return first.then(conv(first.out))
    if kind == "two":
        first = layers.conv(pen, x, pen.among(*layers.CHANNELS), [0] * len(surplus))
        return first.then(conv(first.out))
    last = conv(x)
    if kind == "normed":
        return last.then(layers.affine(pen, last.out))
    if kind == "nonlinear":
        return last.then(layers.pointwise(pen, last.out))
    return last.then(layers.point(pen, last.out, channels)) if kind == "point last" else last


def residual(pen: Pen, x: Value) -> Value:
    """A value beside what layers make of it: added, subtracted, multiplied as a gate, or concatenated."""
    layer = layers.keeping(pen, x.shape)
    for _ in range(pen.integer(0, 2)):
        layer = layer.then(layers.keeping(pen, layer.out))
    made = f"({x.name} >> {layer.text})"
    kind = pen.among("+", "-", "gate", "concat")
    if kind == "gate":
        return pen.let(f"{x.name} * sigmoid{made}", x.shape)
    if kind == "concat":
        whole = pen.let(f"concat {{ {x.name} | {made} }}", Shape(2 * x.shape.channels, x.shape.sizes))
        return pen.let(f"{whole.name}[:, 1:]", Shape(2 * x.shape.channels - 1, x.shape.sizes)) if pen.maybe() else whole
    return pen.let(f"{x.name} {kind} {made}", x.shape)


def numbers(pen: Pen, x: Value) -> Value:
    """Arithmetic with numbers and with vectors along the channels."""
    weight = pen.weight(x.shape.channels)
    form = pen.among(
        *("2 * {x}", "{x} / 3", "{x} + 1", "-{x}", "{x} * along({w}, 1)", "{x} - along({w}, 1)", "{x} - {x}"),
        *("({x} + tanh({x})) + {x}", "relu({x}) / 3", "relu({x}) * along({w}, 1)"),
        "leaky_relu({x}) * along(exp({w}), 1)",
    )
    return pen.let(form.format(x=x.name, w=weight), x.shape)


def moved(pen: Pen, x: Value) -> Value:
    """Two values that are moved alike, added; or one that is moved twice."""
    first, second = (layers.keeping(pen, x.shape) for _ in range(2))
    move = layers.shuffle(pen, x.shape)
    if pen.maybe():
        twice = move.then(layers.shuffle(pen, move.out))
        return pen.let(f"{x.name} >> {twice.text}", twice.out)
    term = f"({x.name} >> {second.text} >> {move.text})"
    return pen.let(f"({x.name} >> {first.text} >> {move.text}) {pen.among('+', '-')} {term}", move.out)


def siblings(pen: Pen, x: Value) -> Value:
    """Convolutions of one value, side by side."""
    surplus, stride = layers.surpluses(pen, x.shape), pen.integer(1, 2)
    make = pen.among(layers.conv, layers.conv_transpose)
    parts = [make(pen, x.shape, pen.among(*layers.CHANNELS), surplus, stride) for _ in range(2)]
    texts = [part.then(layers.affine(pen, part.out)) if pen.maybe() else part for part in parts]
    channels = sum(part.out.channels for part in parts)
    value = " | ".join(f"{x.name} >> {part.text}" for part in texts)
    return pen.let(f"concat {{ {value} }}", Shape(channels, parts[0].out.sizes))


def tile(pen: Pen, x: Value) -> Value:
    """A convolution beside a layer over all elements, where their number is known and small."""
    size = prod(x.shape.sizes)
    if pen.free or x.shape.channels * size > 64:
        return chain(pen, x)
    groups = layers.groups(pen, x.shape.channels, x.shape.channels)
    elements, one = size * x.shape.channels, ", ".join("1" * len(x.shape.sizes))
    flat = f"reshape({x.name}, [b, {elements}, {one}])"
    layer = f"{flat} >> {pen.name('fc')}: Conv({elements}, 1, groups={groups})"
    whole = f"reshape({layer}, [b, {x.shape.channels}, {', '.join(map(str, x.shape.sizes))}])"
    beside = layers.conv(pen, x.shape, x.shape.channels, [0] * len(x.shape.sizes))
    return pen.let(f"{whole} + ({x.name} >> {beside.text})", x.shape)


def repeated(pen: Pen, x: Value) -> Value:
    """A block applied several times, each time with parameters of its own."""
    layer = layers.keeping(pen, x.shape)
    layer = layer.then(layers.keeping(pen, layer.out))
    name, index, axes = pen.name("Block"), pen.name("part"), ", ".join("hwd"[: len(x.shape.sizes)])
    body = f"x + (x >> {layer.text})" if pen.maybe() else f"x >> {layer.text}"
    pen.blocks.append(f"block {name}(x: [b, c, {axes}]) = {body}\n")
    count = pen.integer(1, 2)
    return pen.let(f"{x.name} >> repeat i in 0..{count} {{ {index}_{{i}}: {name}() }}", x.shape)


def tied(pen: Pen, x: Value) -> Value:
    """One weight for two layers."""
    channels, rank = x.shape.channels, len(x.shape.sizes)
    weight = pen.weight(channels, channels, *([3] * rank))
    first, second = (f"conv({x.name}, {weight}, pad={pad}, dilation={pad})" for pad in (1, pen.integer(1, 2)))
    norms = [layers.affine(pen, x.shape).text for _ in range(2)]
    return pen.let(f"({first} >> {norms[0]}) + ({second} >> {norms[1]})", x.shape)


def again(pen: Pen, x: Value) -> Value:
    """An earlier value beside this one, where their sizes are the same for certain."""
    fitting = [v for v in pen.values if v.shape == x.shape and not (pen.free and v is not x)]
    other = pen.among(*fitting)
    return pen.let(f"sum {{ {x.name} | {other.name} >> {layers.keeping(pen, x.shape).text} }}", x.shape)


# ------------------------------------------------------------------------------------------------ symmetries


def hidden(pen: Pen, x: Value) -> Value:
    """Two convolutions with hidden channels between them, which may be permuted, rescaled or doubled."""
    size, rank, out = pen.among(2, 3), len(x.shape.sizes), pen.among(*layers.CHANNELS)
    taps = [pen.among(1, 3)] * rank
    first, last = pen.weight(size, x.shape.channels, *taps), pen.weight(out, size, *taps)
    parts = {name: pen.weight(size) for name in ("bias", "gamma", "beta", "mean", "scale")}
    statistics = pen.name("w")
    pen.lines.append(f"buffer {statistics}: [{size}] = ones")
    normed, act, pad = pen.maybe(), pen.among("relu", "leaky_relu"), taps[0] // 2
    name = pen.name("v")

    def line(symmetry: str) -> str:
        s = f"exp({parts['scale']})"
        vectors = {key: _changed(vector, symmetry, s) for key, vector in parts.items()}
        y = f"conv({x.name}, {_changed(first, symmetry, s)}, {vectors['bias']}, pad={pad})"
        if normed:
            moved = [_changed(vector, symmetry if symmetry != "rescaled" else "none", s) for vector in (parts["mean"],)]
            spread = _changed(statistics, symmetry if symmetry != "rescaled" else "none", s)
            plain = f"conv({x.name}, {_changed(first, 'none' if symmetry == 'rescaled' else symmetry, s)}, pad={pad})"
            y = f"batch_norm({plain}, {vectors['gamma']}, {vectors['beta']}, {moved[0]}, {spread})"
        return f"let {name} = conv({act}({y}), {_undone(last, symmetry, s)}, pad={pad})"

    pen.lines.append({symmetry: line(symmetry) for symmetry in SYMMETRIES})
    value = Value(name, Shape(out, x.shape.sizes))
    pen.values.append(value)
    return value


def _changed(weight: str, symmetry: str, scale: str) -> str:
    """A weight whose first axis are the hidden channels."""
    forms = {
        "none": "{w}",
        "permuted": "concat(0) {{ {w}[1:] | {w}[:1] }}",
        "rescaled": "{w} * along({s}, 0)",
        "grown": "concat(0) {{ {w} | {w} }}",
    }
    return forms[symmetry].format(w=weight, s=scale)


def _undone(weight: str, symmetry: str, scale: str) -> str:
    """A weight whose second axis are the hidden channels."""
    forms = {
        "none": "{w}",
        "permuted": "concat(1) {{ {w}[:, 1:] | {w}[:, :1] }}",
        "rescaled": "{w} / along({s}, 1)",
        "grown": "concat(1) {{ {w} / 2 | {w} / 2 }}",
    }
    return forms[symmetry].format(w=weight, s=scale)


STAGES = (
    *(chain, chain, branches, branches, branches, branches),
    *(residual, numbers, moved, siblings, tile, repeated, tied, again, hidden),
)
