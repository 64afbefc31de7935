"""Random networks of tokens [b, t, c]: linear layers, norms over the last axis, attention."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.layers import ACTIVATIONS
from tests.fuzz.pen import Layer, Pen, Shape, Value, truth

WIDTHS = (2, 3, 4, 6)


def linear(pen: Pen, x: Shape, width: int) -> Layer:
    return Layer(f"{pen.name('fc')}: Linear({width}, bias={truth(pen.maybe())})", Shape(width, x.sizes))


def keeping(pen: Pen, x: Shape) -> Layer:
    """A layer that keeps the width."""
    kind = pen.among("linear", "layer norm", "rms norm", "scale", "shift", "function", "dropout")
    texts = {
        "layer norm": f"{pen.name('norm')}: LayerNorm(affine={truth(pen.maybe())})",
        "rms norm": f"{pen.name('norm')}: RMSNorm(affine={truth(pen.maybe())})",
        "scale": f"{pen.name('scale')}: Last()",
        "shift": f"{pen.name('shift')}: LastShift()",
        "function": f"{pen.among(*ACTIVATIONS)}()",
        "dropout": "Dropout()",
    }
    return linear(pen, x, x.channels) if kind == "linear" else Layer(texts[kind], x)


def chain(pen: Pen, x: Value) -> Value:
    layer = linear(pen, x.shape, pen.among(*WIDTHS))
    for _ in range(pen.integer(0, 3)):
        layer = layer.then(keeping(pen, layer.out))
    return pen.let(f"{x.name} >> {layer.text}", layer.out)


def branches(pen: Pen, x: Value) -> Value:
    """Linear maps of one value, with what may stand before and after them, added."""
    width = pen.among(x.shape.channels, *WIDTHS)
    found = [x.name] if width == x.shape.channels and pen.maybe() else []
    for _ in range(pen.integer(2, 3)):
        before = keeping(pen, x.shape) if pen.maybe() else None
        layer = linear(pen, x.shape, width)
        layer = before.then(layer) if before else layer
        layer = layer.then(keeping(pen, layer.out)) if pen.maybe() else layer
        found.append(f"{pen.among('', '2 * ', '-')}({x.name} >> {layer.text})")
    return pen.let(f"sum {{ {' | '.join(found)} }}", Shape(width, x.shape.sizes))


def residual(pen: Pen, x: Value) -> Value:
    inner = keeping(pen, x.shape).then(linear(pen, x.shape, pen.among(*WIDTHS)))
    inner = inner.then(keeping(pen, inner.out)).then(linear(pen, inner.out, x.shape.channels))
    return pen.let(f"{x.name} {pen.among('+', '-', '*')} ({x.name} >> {inner.text})", x.shape)


def attention(pen: Pen, x: Value) -> Value:
    q, k, v = (pen.name("v") for _ in range(3))
    width = pen.among(*WIDTHS)
    all_three = linear(pen, x.shape, 3 * width)
    pen.lines.append(f"let ({q}, {k}, {v}) = split({x.name} >> {all_three.text}, 3, axis=2)")
    scores = f"softmax({q} @ permute({k}, [0, 2, 1]) / {pen.among(2, 3)}, -1)"
    out = linear(pen, Shape(width, x.shape.sizes), x.shape.channels)
    return pen.let(f"{x.name} + ({scores} @ {v} >> {out.text})", x.shape)


def product(pen: Pen, x: Value) -> Value:
    """A product with a weight that is written as (in, out)."""
    width = pen.among(*WIDTHS)
    return pen.let(f"{x.name} @ {pen.weight(x.shape.channels, width)}", Shape(width, x.shape.sizes))


STAGES: tuple[Callable[[Pen, Value], Value], ...] = (chain, branches, branches, residual, attention, product)
