"""Convolutions."""

from __future__ import annotations

from collections.abc import Mapping

from repc.backends.onnx.emitter import Emitter, Value
from repc.backends.onnx.shape import padded, pads
from repc.ops.conv import Conv, ConvTranspose


def conv(e: Emitter, op: Conv, given: Mapping[str, Value]) -> str:
    """Conv pads with zeros only; other borders are a Pad before it."""
    x, padding = given["x"].name, op.padding
    if op.mode != "constant":
        x = padded(e, x, ((0, 0), (0, 0), *padding), op.mode)
        padding = ((0, 0),) * len(padding)
    return e.add(
        "Conv",
        x,
        *weights(given),
        kernel_shape=kernel_shape(given),
        strides=op.stride,
        pads=pads(padding),
        dilations=op.dilation,
        group=op.groups,
    )


def conv_transpose(e: Emitter, op: ConvTranspose, given: Mapping[str, Value]) -> str:
    """ConvTranspose(x, weight[, bias])."""
    return e.add(
        "ConvTranspose",
        given["x"].name,
        *weights(given),
        kernel_shape=kernel_shape(given),
        strides=op.stride,
        pads=pads(op.padding),
        output_padding=op.output_padding,
        dilations=op.dilation,
        group=op.groups,
    )


def weights(given: Mapping[str, Value]) -> list[str]:
    """Weight and, where there is one, bias."""
    return [given[name].name for name in ("weight", "bias") if name in given]


def kernel_shape(given: Mapping[str, Value]) -> tuple[int, ...]:
    """Stated although the weight shows it: some runtimes read it from the attribute alone."""
    return given["weight"].type.concrete()[2:]
