"""The closed set of primitives: what each accepts, the type of its result, and its meaning over an abstract field.

One file per family.  Sizes follow the operator's own formula, with symbols where sizes are free.  Axes are counted
from zero, padding is (before, after) for each axis, constants are exact rationals.  A meaning uses nothing but
`repc.ir.field`: the same lines are the float64 reference, a gradient, and a computation in a finite field.
"""

from repc.ir.operator import Operator
from repc.ops.arithmetic import Affine, Detach, Divide, Multiply, Sum
from repc.ops.attention import Attention
from repc.ops.binary import Binary, Not, Where
from repc.ops.constant import Constant, Eye, Fill, Input, Random
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

OPERATORS: tuple[type[Operator], ...] = (
    Conv,
    ConvTranspose,
    Linear,
    MatMul,
    Einsum,
    Attention,
    BatchNorm,
    LayerNorm,
    GroupNorm,
    RMSNorm,
    Function,
    Binary,
    Not,
    Where,
    PRelu,
    Softmax,
    LogSoftmax,
    Cast,
    Dropout,
    Sum,
    Multiply,
    Divide,
    Affine,
    Detach,
    Reshape,
    Permute,
    Expand,
    Slice,
    Take,
    Gather,
    Order,
    TakeAlong,
    Roll,
    Concat,
    Pad,
    Upsample,
    MaxPool,
    AvgPool,
    AdaptiveAvgPool,
    AdaptiveMaxPool,
    Reduce,
    CumSum,
    Fill,
    Constant,
    Eye,
    Random,
    Input,
    Opaque,
)
