"""What the operators that repc's writer uses mean, in repc's own.

Source: the operator specification of ONNX, opsets 17 to 24.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

import onnx

from repc.checker.computed import COMPUTED, Computed
from repc.checker.site import Site
from repc.ir.operator import Operator
from repc.ops import (
    AvgPool,
    BatchNorm,
    Binary,
    Cast,
    Concat,
    Conv,
    ConvTranspose,
    Detach,
    Divide,
    Einsum,
    Function,
    Gather,
    GroupNorm,
    LayerNorm,
    Linear,
    LogSoftmax,
    MatMul,
    MaxPool,
    Multiply,
    Not,
    Permute,
    RMSNorm,
    Sum,
    TakeAlong,
    Where,
)

REAL = ("FLOAT16", "BFLOAT16", "FLOAT", "DOUBLE")
ELEMENTS = {**dict.fromkeys(REAL, "f32"), "INT64": "i64", "INT32": "i32", "BOOL": "bool"}

FUNCTIONS = (
    *("Relu", "Sigmoid", "HardSwish", "Tanh", "Softplus", "Softsign", "Mish", "Selu", "Exp", "Log", "Sqrt", "Abs"),
    *("Sign", "Sin", "Cos", "Atan", "Erf", "Floor", "Ceil", "Round"),
)
BINARY = {
    "Max": "maximum",
    "Min": "minimum",
    "Equal": "equal",
    "Less": "less",
    "LessOrEqual": "less_equal",
    "Greater": "greater",
    "GreaterOrEqual": "greater_equal",
    "And": "logical_and",
    "Or": "logical_or",
    "Xor": "logical_xor",
}

ATTRIBUTES = frozenset((
    "alpha", "approximate", "axes", "axis", "beta", "ceil_mode", "coordinate_transformation_mode", "count_include_pad",
    "cubic_coeff_a", "dilations", "end", "epsilon", "equation", "group", "keepdims", "kernel_shape", "largest", "mode",
    "nearest_mode", "num_groups", "output_padding", "pads", "perm", "start", "strides", "to", "transB", "upper",
))  # fmt: skip
"""Those that are read below.  Any other may change what a node computes, as ``reverse`` of CumSum does."""


def operator(site: Site) -> Operator:
    """The meaning of a node, its last result; raises `Failure` E932 where it is none that repc's writer writes."""
    kind = site.proto.op_type
    if site.proto.domain or len(site.proto.output) != 1 + (kind == "TopK") or not site.proto.output[-1]:
        raise site.unknown("it is not of ONNX's own domain, or has other results than repc reads")
    strange = sorted({attribute.name for attribute in site.proto.attribute} - ATTRIBUTES)
    if strange:
        raise site.unknown(f"repc does not write {', '.join(strange)}")
    if kind in COMPUTED:
        return Computed(COMPUTED[kind], site)
    if kind in FUNCTIONS:
        return Function(kind.lower())
    if kind in BINARY:
        return Binary(BINARY[kind]) if len(site.proto.input) == 2 else Detach()
    if kind not in OPERATORS:
        raise site.unknown("it is not among those that repc writes")
    return OPERATORS[kind](site)


def _conv(site: Site) -> Operator:
    stride = site.ints("strides")
    return Conv(stride, site.padding(len(stride)), site.ints("dilations"), site.int("group", 1))


def _conv_transpose(site: Site) -> Operator:
    stride = site.ints("strides")
    extra = site.ints("output_padding", (0,) * len(stride))
    return ConvTranspose(stride, site.padding(len(stride)), site.ints("dilations"), site.int("group", 1), extra)


def _max_pool(site: Site) -> Operator:
    kernel = site.ints("kernel_shape")
    ones, ceil = (1,) * len(kernel), bool(site.int("ceil_mode", 0))
    return MaxPool(kernel, site.ints("strides", ones), site.padding(len(kernel)), site.ints("dilations", ones), ceil)


def _avg_pool(site: Site) -> Operator:
    kernel = site.ints("kernel_shape")
    ceil, counted = bool(site.int("ceil_mode", 0)), bool(site.int("count_include_pad", 0))
    return AvgPool(kernel, site.ints("strides", (1,) * len(kernel)), site.padding(len(kernel)), ceil, counted)


def _gemm(site: Site) -> Operator:
    if {a.name for a in site.proto.attribute} != {"transB"} or site.int("transB", 0) != 1:
        raise site.unknown("only x times the transposed weight is written")
    return Linear()


def _hard_sigmoid(site: Site) -> Operator:
    if (site.rational("alpha"), site.rational("beta")) != (Fraction(1, 6), Fraction(1, 2)):
        raise site.unknown("only x/6 + 1/2 is written")
    return Function("hardsigmoid")


OPERATORS: Mapping[str, Callable[[Site], Operator]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": lambda site: MatMul(),
    "Einsum": lambda site: Einsum(site.text("equation", "")),
    "BatchNormalization": lambda site: BatchNorm(site.rational("epsilon")),
    "LayerNormalization": lambda site: LayerNorm(-site.int("axis", -1), site.rational("epsilon")),
    "RMSNormalization": lambda site: RMSNorm(-site.int("axis", -1), site.rational("epsilon")),
    "GroupNormalization": lambda site: GroupNorm(site.int("num_groups", 0), site.rational("epsilon")),
    "Add": lambda site: Sum((Fraction(1), Fraction(1))),
    "Sub": lambda site: Sum((Fraction(1), Fraction(-1))),
    "Neg": lambda site: Sum((Fraction(-1),)),
    "Mul": lambda site: Multiply(),
    "Div": lambda site: Divide(),
    "LeakyRelu": lambda site: Function("leaky_relu", (site.rational("alpha"),)),
    "Elu": lambda site: Function("elu", (site.rational("alpha"),)),
    "HardSigmoid": _hard_sigmoid,
    "Gelu": lambda site: Function("gelu_tanh" if site.text("approximate", "none") == "tanh" else "gelu"),
    "Not": lambda site: Not(),
    "Where": lambda site: Where(),
    "LogSoftmax": lambda site: LogSoftmax(site.int("axis", 0)),
    "MaxPool": _max_pool,
    "AveragePool": _avg_pool,
    "Identity": lambda site: Detach(),
    "Cast": lambda site: Cast(ELEMENTS[onnx.TensorProto.DataType.Name(site.int("to", 0))]),
    "Transpose": lambda site: Permute(site.ints("perm")),
    "Concat": lambda site: Concat(site.int("axis", 0)),
    "GatherElements": lambda site: TakeAlong(site.int("axis", 0)),
    "Gather": lambda site: Gather(site.int("axis", 0)),
}
