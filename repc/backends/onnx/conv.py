"""Convolutions."""

from __future__ import annotations

from collections.abc import Mapping

from repc.backends.onnx.emitter import Emitter, Value
from repc.backends.onnx.shape import along, padded, pads
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
    """ConvTranspose(x, weight[, bias]).

    Output padding first gives back what the end padding cut off.  Runtimes want the rest to be smaller than the stride;
    where dilation allows more, the zeros are a Pad and the bias comes after them.
    """
    given_back = [min(extra, after) for extra, (_, after) in zip(op.output_padding, op.padding, strict=True)]
    extra = [total - back for total, back in zip(op.output_padding, given_back, strict=True)]
    wide = any(more >= stride for more, stride in zip(extra, op.stride, strict=True))
    result = e.add(
        "ConvTranspose",
        given["x"].name,
        *(weights(given)[:1] if wide else weights(given)),
        kernel_shape=kernel_shape(given),
        strides=op.stride,
        pads=pads(tuple((b, a - back) for (b, a), back in zip(op.padding, given_back, strict=True))),
        output_padding=[0] * len(extra) if wide else extra,
        dilations=op.dilation,
        group=op.groups,
    )
    if not wide:
        return result
    result = padded(e, result, ((0, 0), (0, 0), *((0, more) for more in extra)), "constant")
    rank = given["weight"].type.rank
    return e.add("Add", result, along(e, given["bias"], 1, rank)) if "bias" in given else result


def weights(given: Mapping[str, Value]) -> list[str]:
    """Weight and, where there is one, bias."""
    return [given[name].name for name in ("weight", "bias") if name in given]


def kernel_shape(given: Mapping[str, Value]) -> tuple[int, ...]:
    """Stated although the weight shows it: some runtimes read it from the attribute alone."""
    return given["weight"].type.concrete()[2:]
