"""Random layers with the sizes that they leave: linear ones, scales and shifts, nonlinearities, pools, movement."""

from __future__ import annotations

from collections.abc import Sequence

from tests.fuzz.pen import Layer, Pen, Shape, listing, truth
from tests.passes.draw import MODES, window

CHANNELS = (1, 2, 3, 4, 6)
ACTIVATIONS = (
    *("relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh", "hardswish", "hardsigmoid"),
    *("softplus", "mish", "abs", "sin", "cos", "atan"),
)

# ------------------------------------------------------------------------------------------------ linear


def strided(size: int, surplus: int, stride: int) -> int:
    """The size behind a window whose padding exceeds its reach by `surplus`."""
    return (size + surplus - 1) // stride + 1


def surpluses(pen: Pen, x: Shape) -> list[int]:
    """How much padding exceeds the reach of a window, for each axis; something is left of every axis."""
    return [pen.integer(max(-2, 1 - size), 2) for size in x.sizes]


def windows(pen: Pen, surplus: Sequence[int], mode: str) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """Taps, dilation and padding for each axis."""
    kernel, dilation, padding = list[int](), list[int](), list[tuple[int, int]]()
    for extra in surplus:
        taps, steps, widths = window(pen.draw, 1, extra, mode)
        kernel, dilation, padding = kernel + taps, dilation + steps, padding + widths
    return kernel, dilation, padding


def conv(pen: Pen, x: Shape, channels: int, surplus: Sequence[int], stride: int = 1) -> Layer:
    mode = pen.among(*MODES)
    kernel, dilation, padding = windows(pen, surplus, mode)
    limits = [size - (mode == "reflect") for size in x.sizes]
    if pen.free or any(max(pair) > limit for pair, limit in zip(padding, limits, strict=True)):
        mode = "constant"
    parts = [f"{channels}, {listing(kernel)}", f"pad={listing(padding)}", f"dilation={listing(dilation)}"]
    parts += [f"stride={stride}", f"groups={groups(pen, x.channels, channels)}", f"bias={truth(pen.maybe())}"]
    parts += [f'mode="{mode}"'] if mode != "constant" else []
    sizes = tuple(strided(size, extra, stride) for size, extra in zip(x.sizes, surplus, strict=True))
    return Layer(f"{pen.name('conv')}: Conv({', '.join(parts)})", Shape(channels, sizes))


def point(pen: Pen, x: Shape, channels: int) -> Layer:
    """A 1x1 convolution; padded ones are not `conv`'s to draw by chance alone."""
    attributes = f"groups={groups(pen, x.channels, channels)}, bias={truth(pen.maybe())}"
    return Layer(f"{pen.name('point')}: Conv({channels}, 1, {attributes})", Shape(channels, x.sizes))


def conv_transpose(pen: Pen, x: Shape, channels: int, surplus: Sequence[int], stride: int = 1) -> Layer:
    kernel, dilation, padding = windows(pen, [-extra for extra in surplus], "constant")
    more = [pen.integer(0, max(stride, step) - 1) for step in dilation]
    padding = [(before, after + extra) for (before, after), extra in zip(padding, more, strict=True)]
    parts = [f"{channels}, {listing(kernel)}", f"pad={listing(padding)}", f"output_pad={listing(more)}"]
    parts += [f"dilation={listing(dilation)}", f"stride={stride}", f"groups={groups(pen, x.channels, channels)}"]
    sizes = tuple((size - 1) * stride + 1 + extra for size, extra in zip(x.sizes, surplus, strict=True))
    text = f"{pen.name('up')}: ConvTranspose({', '.join(parts)}, bias={truth(pen.maybe())})"
    return Layer(text, Shape(channels, sizes))


def average(pen: Pen, x: Shape, surplus: Sequence[int], stride: int = 1) -> Layer:
    """An average pool, which pads by at most half of its kernel; no surplus may exceed 1."""
    kernel, padding = list[int](), list[tuple[int, int]]()
    for extra in surplus:
        taps = pen.among(2, 4) if extra == 1 else pen.integer(1 - extra, 4)
        before = (taps + extra) // 2
        kernel.append(taps)
        padding.append((before, taps - 1 + extra - before))
    counted = pen.maybe() or not any(any(pair) for pair in padding)
    sizes = tuple(strided(size, extra, stride) for size, extra in zip(x.sizes, surplus, strict=True))
    parts = f"{listing(kernel)}, stride={stride}, pad={listing(padding)}, count_include_pad={truth(counted)}"
    return Layer(f"AvgPool({parts})", Shape(x.channels, sizes))


def groups(pen: Pen, inputs: int, outputs: int) -> int:
    return pen.among(*(n for n in (1, 2, 3, 4, 6) if inputs % n == outputs % n == 0))


# ------------------------------------------------------------------------------------------------ channel by channel


def affine(pen: Pen, x: Shape) -> Layer:
    """A scale and shift of each channel, in one of the ways to say it."""
    kind = pen.among("norm", "norm", "norm", "plain norm", "SSF()", "Scale()", "Shift()")
    eps = pen.among("", "eps=1e-3")
    if kind == "norm":
        kind = f"BatchNorm({eps})"
    elif kind == "plain norm":
        kind = f"BatchNorm(affine=false{', ' if eps else ''}{eps})"
    return Layer(f"{pen.name('affine')}: {kind}", x)


def pointwise(pen: Pen, x: Shape) -> Layer:
    """Something that changes neither channels nor sizes, and does not fold through a nonlinearity."""
    kind = pen.among("function", "function", "prelu", "softmax", "dropout", "detach", "group norm", "batch statistics")
    if kind == "function":
        return Layer(f"{pen.among(*ACTIVATIONS)}()", x)
    if kind == "prelu":
        return Layer(f"{pen.name('act')}: PReLU({pen.among('', x.channels)})", x)
    if kind == "softmax":
        return Layer("softmax(1)", x)
    if kind == "group norm":
        return Layer(f"{pen.name('norm')}: GroupNorm({groups(pen, x.channels, x.channels)})", x)
    if kind == "batch statistics":
        return Layer(f"{pen.name('norm')}: BatchNorm(track=false)", x)
    return Layer("Dropout()" if kind == "dropout" else "detach()", x)


# ------------------------------------------------------------------------------------------------ space


def pool(pen: Pen, x: Shape) -> Layer:
    kind = pen.among("max", "average", "adaptive", "upsample")
    if kind == "upsample":
        scale = pen.integer(1, 2)
        return Layer(f"Upsample({scale})", Shape(x.channels, tuple(scale * size for size in x.sizes)))
    if kind == "adaptive":
        wanted = 1 if pen.free else pen.integer(1, 3)
        return Layer(f"AdaptiveAvgPool({wanted})", Shape(x.channels, (wanted,) * len(x.sizes)))
    kernel = pen.integer(1, min(3, *x.sizes))
    stride, pad, ceil = pen.integer(1, 2), pen.integer(0, kernel // 2), pen.maybe()
    sizes = tuple(_pooled(size, kernel, stride, pad, ceil) for size in x.sizes)
    parts = f"{kernel}, stride={stride}, pad={pad}, ceil={truth(ceil)}"
    if kind == "average":
        return Layer(f"AvgPool({parts}, count_include_pad={truth(pen.maybe())})", Shape(x.channels, sizes))
    return Layer(f"MaxPool({parts})", Shape(x.channels, sizes))


def _pooled(size: int, kernel: int, stride: int, pad: int, ceil: bool) -> int:
    room = size + 2 * pad - kernel
    count = room // stride + 1
    # A further window must start before the padding at the end.
    return count + 1 if ceil and room % stride and count * stride < size + pad else count


def padding(pen: Pen, x: Shape) -> Layer:
    mode = "zeros" if pen.free else pen.among("zeros", "reflect", "replicate")
    widths = [(pen.integer(0, 1), pen.integer(0, 1)) for _ in x.sizes]
    if mode == "reflect" and min(x.sizes) < 2:
        mode = "zeros"
    sizes = tuple(size + sum(pair) for size, pair in zip(x.sizes, widths, strict=True))
    return Layer(f'pad({listing(widths)}, mode="{mode}")', Shape(x.channels, sizes))


def shuffle(pen: Pen, x: Shape) -> Layer:
    """Channels or axes in another order."""
    if len(x.sizes) > 1 and pen.maybe():
        order = [0, 1, *range(3, len(x.sizes) + 2), 2]
        return Layer(f"permute({listing(order)})", Shape(x.channels, (*x.sizes[1:], x.sizes[0])))
    parts, axes = groups(pen, x.channels, x.channels), " ".join("hwd"[: len(x.sizes)])
    return Layer(f'rearrange("b (g c) {axes} -> b (c g) {axes}", g={parts})', x)


def keeping(pen: Pen, x: Shape) -> Layer:
    """A layer that keeps channels and sizes."""
    kind = pen.among("conv", "affine", "affine", "pointwise")
    if kind == "conv":
        return conv(pen, x, x.channels, [0] * len(x.sizes))
    return affine(pen, x) if kind == "affine" else pointwise(pen, x)


def any_layer(pen: Pen, x: Shape) -> Layer:
    kind = pen.among("linear", "linear", "affine", "pointwise", "space", "pad", "shuffle")
    if kind == "linear":
        layer = _linear(pen, x)
        return layer.then(affine(pen, layer.out)) if pen.maybe() else layer
    makers = {"affine": affine, "pointwise": pointwise, "space": pool, "pad": padding, "shuffle": shuffle}
    return makers[kind](pen, x)


def _linear(pen: Pen, x: Shape) -> Layer:
    channels, kind = pen.among(*CHANNELS), pen.among("conv", "point", "transposed")
    if kind == "point":
        return point(pen, x, channels)
    make = conv if kind == "conv" else conv_transpose
    return make(pen, x, channels, surpluses(pen, x), pen.integer(1, 2))
