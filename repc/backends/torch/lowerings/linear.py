"""Convolutions, linear layers and products."""

from __future__ import annotations

from repc.backends.torch.lowerings.shape import pad_arguments
from repc.backends.torch.text import Given, call, compact, literal, texts
from repc.ops.attention import Attention, usual_scale
from repc.ops.conv import Conv, ConvTranspose
from repc.ops.linear import Einsum, Linear, MatMul


def conv_padding(op: Conv) -> tuple[int, ...]:
    """The part of the padding that torch's convolution does by itself: equal on both sides, with zeros."""
    if op.mode == "constant" and all(before == after for before, after in op.padding):
        return tuple(before for before, _ in op.padding)
    return (0,) * len(op.padding)


def conv_input(op: Conv, x: str) -> str:
    """The input of a convolution, padded where the convolution cannot do it."""
    if any(conv_padding(op)) or not any(width for pair in op.padding for width in pair):
        return x
    if op.mode == "constant":
        return call("F.pad", x, literal(pad_arguments(op.padding)))
    return call("F.pad", x, literal(pad_arguments(op.padding, least=len(op.padding))), mode=op.mode)


def conv(op: Conv, given: Given) -> str:
    """What torch cannot pad by itself is padded before."""
    return call(
        f"F.conv{len(op.stride)}d",
        conv_input(op, given["x"].text),
        *texts(given, "weight", "bias"),
        stride=compact(op.stride, 1),
        padding=compact(conv_padding(op), 0),
        dilation=compact(op.dilation, 1),
        groups=None if op.groups == 1 else op.groups,
    )


def conv_transpose(op: ConvTranspose, given: Given) -> str:
    """What is padded more on one side is cropped from the result there."""
    shared = tuple(min(pair) for pair in op.padding)
    result = call(
        f"F.conv_transpose{len(op.stride)}d",
        *texts(given, "x", "weight", "bias"),
        stride=compact(op.stride, 1),
        padding=compact(shared, 0),
        output_padding=compact(op.output_padding, 0),
        groups=None if op.groups == 1 else op.groups,
        dilation=compact(op.dilation, 1),
    )
    crops = [(before - least, after - least) for (before, after), least in zip(op.padding, shared, strict=True)]
    if not any(map(any, crops)):
        return result
    return f"{result}[:, :, {', '.join(_crop(before, after) for before, after in crops)}]"


def linear(op: Linear, given: Given) -> str:
    """``F.linear(x, weight, bias)``"""
    return call("F.linear", *texts(given, "x", "weight", "bias"))


def matmul(op: MatMul, given: Given) -> str:
    """``a @ b``"""
    return f"{given['a'].text} @ {given['b'].text}"


def einsum(op: Einsum, given: Given) -> str:
    """``torch.einsum(equation, a, b)``"""
    return call("torch.einsum", literal(op.equation), given["a"].text, given["b"].text)


def attention(op: Attention, given: Given) -> str:
    """``F.scaled_dot_product_attention(q, k, v)``, whose usual scale is one over the root of the length of q."""
    (length,) = given["q"].type.shape[-1:]
    usual = isinstance(length, int) and length > 0 and op.scale == usual_scale(length)
    return call(
        "F.scaled_dot_product_attention",
        *texts(given, "q", "k", "v", "mask"),
        is_causal=op.causal or None,
        scale=None if usual else float(op.scale),
    )


def _crop(before: int, after: int) -> str:
    return f"{before or ''}:{-after if after else ''}"
