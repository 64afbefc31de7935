"""Each operator as text of torch calls, one file per family.

A lowering takes the operator and its operands as text and returns an expression.  It states the meaning in evaluation;
`TRAINING` overrides it for the few operators that do something else in training, given the text that says whether the
module trains at the moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from repc.backends.torch.lowerings import linear, norm, opaque, pool, shape, values
from repc.backends.torch.text import Given
from repc.ir.operator import Operator
from repc.ir.types import TensorType
from repc.ops.arithmetic import Affine, Detach, Divide, Multiply, Sum
from repc.ops.attention import Attention
from repc.ops.binary import Binary, Not, Where
from repc.ops.constant import Constant, Eye, Fill
from repc.ops.conv import Conv, ConvTranspose
from repc.ops.function import Cast, Dropout, Function, LogSoftmax, PRelu, Softmax
from repc.ops.linear import Einsum, Linear, MatMul
from repc.ops.norm import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from repc.ops.opaque import Opaque
from repc.ops.order import Order, TakeAlong
from repc.ops.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, MaxPool
from repc.ops.reduce import Reduce
from repc.ops.resample import Upsample
from repc.ops.select import CumSum, Gather, Roll, Take
from repc.ops.shape import Concat, Expand, Pad, Permute, Reshape, Slice

LOWERINGS: dict[type[Operator], Callable[[Any, Given], str]] = {
    Conv: linear.conv,
    ConvTranspose: linear.conv_transpose,
    Linear: linear.linear,
    MatMul: linear.matmul,
    Einsum: linear.einsum,
    Attention: linear.attention,
    BatchNorm: norm.batch_norm,
    LayerNorm: norm.layer_norm,
    GroupNorm: norm.group_norm,
    RMSNorm: norm.rms_norm,
    Function: values.function,
    Binary: values.binary,
    Not: values.logical_not,
    Where: values.where,
    PRelu: values.prelu,
    Softmax: values.softmax,
    LogSoftmax: values.log_softmax,
    Cast: values.cast,
    Dropout: values.unchanged,
    Sum: values.total,
    Multiply: values.multiply,
    Divide: values.divide,
    Affine: values.affine,
    Detach: values.unchanged,
    Reduce: values.reduce,
    CumSum: values.cumsum,
    Order: values.order,
    Fill: values.fill,
    Constant: values.constant,
    Eye: values.eye,
    Reshape: shape.reshape,
    Permute: shape.permute,
    Expand: shape.expand,
    Slice: shape.take_slice,
    Take: shape.take,
    Gather: shape.gather,
    TakeAlong: shape.take_along,
    Roll: shape.roll,
    Concat: shape.concat,
    Pad: shape.pad,
    Upsample: shape.upsample,
    MaxPool: pool.max_pool,
    AvgPool: pool.avg_pool,
    AdaptiveAvgPool: pool.adaptive_avg_pool,
    AdaptiveMaxPool: pool.adaptive_max_pool,
    Opaque: opaque.opaque,
}

TRAINING: dict[type[Operator], Callable[[Any, Given, str], str]] = {
    BatchNorm: norm.batch_norm_training,
    Dropout: values.dropout_training,
    Detach: values.detach_training,
}


def lower(op: Operator, given: Given, training: str | None = None) -> str:
    """The expression for an operator in evaluation, or in training where `training` says when that is."""
    if training is not None and type(op) in TRAINING:
        return TRAINING[type(op)](op, given, training)
    return LOWERINGS[type(op)](op, given)


def sizes_read(op: Operator, types: Mapping[str, TensorType]) -> frozenset[str]:
    """The free dimensions that the text of an operator needs as variables."""
    if isinstance(op, Opaque):
        return op.call.symbols
    return frozenset(shape.free_sizes(op, types["x"])) if isinstance(op, Reshape | Expand | Upsample) else frozenset()
