"""The table of contents: how every operator is written in ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from repc.backends.onnx import arithmetic, constant, conv, function, linear, norm, opaque, pool, reduce, shape
from repc.backends.onnx.emitter import Emitter, Value
from repc.ir.operator import Operator
from repc.ops import (
    AdaptiveAvgPool,
    Affine,
    Attention,
    AvgPool,
    BatchNorm,
    Binary,
    Cast,
    Concat,
    Conv,
    ConvTranspose,
    CumSum,
    Detach,
    Divide,
    Dropout,
    Einsum,
    Expand,
    Eye,
    Fill,
    Function,
    Gather,
    GroupNorm,
    Input,
    LayerNorm,
    Linear,
    LogSoftmax,
    MatMul,
    MaxPool,
    Multiply,
    Opaque,
    Pad,
    Permute,
    PRelu,
    Random,
    Reduce,
    Reshape,
    RMSNorm,
    Roll,
    Slice,
    Softmax,
    Sum,
    Take,
    Upsample,
    Where,
)

# Writes nodes to the emitter and returns the name of the result. Each takes its own class of operator.
Lowering: TypeAlias = Callable[[Emitter, Any, Mapping[str, Value]], str]

LOWERINGS: dict[type[Operator], Lowering] = {
    Conv: conv.conv,
    ConvTranspose: conv.conv_transpose,
    Linear: linear.linear,
    MatMul: linear.matmul,
    Einsum: linear.einsum,
    Attention: linear.attention,
    BatchNorm: norm.batch_norm,
    LayerNorm: norm.layer_norm,
    GroupNorm: norm.group_norm,
    RMSNorm: norm.rms_norm,
    Function: function.function,
    Binary: function.binary,
    Where: function.where,
    PRelu: function.prelu,
    Softmax: function.softmax,
    LogSoftmax: function.log_softmax,
    Cast: function.cast,
    Dropout: function.dropout,
    Sum: arithmetic.sum_of,
    Multiply: arithmetic.multiply,
    Divide: arithmetic.divide,
    Affine: arithmetic.scaled,
    Detach: arithmetic.detach,
    Reshape: shape.reshape,
    Permute: shape.permute,
    Expand: shape.expand,
    Slice: shape.slice_of,
    Take: shape.take,
    Gather: shape.gather,
    Roll: shape.roll,
    Concat: shape.concat,
    Pad: shape.pad,
    Upsample: shape.upsample,
    MaxPool: pool.max_pool,
    AvgPool: pool.avg_pool,
    AdaptiveAvgPool: pool.adaptive_avg_pool,
    Reduce: reduce.reduce,
    CumSum: reduce.cumsum,
    Fill: constant.fill,
    Eye: constant.eye,
    Opaque: opaque.opaque,
}

WITHOUT: tuple[tuple[type[Operator], str], ...] = (
    (Input, "an input of the model, which no node computes"),
    (Random, "draws initial values; a deployed network has none"),
)
