"""How each operator is said: which function or block of specs/std it is, and with which arguments."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from repc.backends.spec.slots import REQUIRED, Form, Slot
from repc.backends.spec.terms import Literal
from repc.ir.dims import Dim, Polynomial, Shape, volume
from repc.ir.operator import Operator
from repc.ir.types import TensorType
from repc.ops.arithmetic import Affine, Detach, Divide, Multiply, Sum
from repc.ops.attention import Attention, usual_scale
from repc.ops.binary import Binary, Not, Where
from repc.ops.constant import Constant, Eye, Fill
from repc.ops.conv import Conv, ConvTranspose
from repc.ops.function import FUNCTIONS, Cast, Dropout, Function, LogSoftmax, PRelu, Softmax
from repc.ops.linear import Einsum, Linear, MatMul
from repc.ops.norm import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from repc.ops.order import Order, TakeAlong
from repc.ops.padding import Pairs
from repc.ops.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, MaxPool
from repc.ops.reduce import Reduce
from repc.ops.resample import Upsample
from repc.ops.select import CumSum, Gather, Roll, Take
from repc.ops.shape import Concat, Expand, Pad, Permute, Reshape, Slice

Types = Mapping[str, TensorType]


def form(op: Operator, types: Types, numbers: Collection[str] = (), *, runs: bool = False, named: bool = False) -> Form:
    """An operator as a function of its operands, which have these types, and of which some are `numbers`.

    What `runs` is a node of the graph, not a weight that is computed.  Only branches can be `named`.
    """
    if isinstance(op, Sum) and not named and len(types) == 1 and runs and types["0"].dtype == "f32":
        (factor,) = op.coefficients
        if factor not in (1, -1):
            return Form("times", "*", (Slot("factor", _whole(factor)),), ("0",))
    if isinstance(op, Sum) and named:
        return _merged(op)
    if isinstance(op, Multiply | Divide) and runs and types["a"].dtype == "f32":
        with_number = "b" in numbers or ("a" in numbers and isinstance(op, Multiply))
        if with_number:  # which the sign would make a sum
            return Form("function", op.name, operands=op.required)
    return replace(_FORMS[type(op)](op, types), operands=tuple(types) if op.variadic else (*op.required, *op.optional))


def block_form(op: Operator, types: Types) -> Form | None:
    """An operator as a block of specs/std that declares all operands but the first, None where there is none."""
    make = _BLOCKS.get(type(op))
    return None if make is None else make(op, types)


# ---------------------------------------------------------------- attributes


def _compact(values: Sequence[int | Fraction]) -> Literal:
    """One number where all axes agree."""
    return values[0] if len(set(values)) == 1 else tuple(values)


def _pads(pairs: Pairs) -> Literal:
    if all(before == after for before, after in pairs):
        return _compact([before for before, _ in pairs])
    return pairs


def _whole(value: Fraction) -> int | Fraction:
    return int(value) if value.denominator == 1 else value


def _nested(shape: Sequence[int], values: Sequence[Fraction]) -> Literal:
    """The values as lists of lists."""
    if not shape:
        return _whole(values[0])
    size = len(values) // shape[0]
    return tuple(_nested(shape[1:], values[i * size : (i + 1) * size]) for i in range(shape[0]))


def _mode(mode: str) -> Slot:
    return Slot("mode", "zeros" if mode == "constant" else mode, "zeros")


def _conv(op: Conv | ConvTranspose) -> tuple[Slot, ...]:
    own = (
        _mode(op.mode) if isinstance(op, Conv) else Slot("output_pad", _compact(op.output_padding), 0),
        Slot("groups", op.groups, 1, width=True),
    )
    return (
        Slot("stride", _compact(op.stride), 1),
        Slot("pad", _pads(op.padding), 0),
        Slot("dilation", _compact(op.dilation), 1),
        *reversed(own),
    )


def _conv_block(op: Conv | ConvTranspose, types: Types) -> Form:
    first, second, *kernel = types["weight"].concrete()
    transposed = isinstance(op, ConvTranspose)
    return Form(
        "block",
        "ConvTranspose" if transposed else "Conv",
        (
            Slot("co", second * op.groups if transposed else first, by_place=True, width=True),
            Slot("k", _compact(kernel), REQUIRED if transposed else 1, by_place=True),
            *_conv(op),
            Slot("bias", "bias" in types, True),
        ),
    )


def _eps(op: BatchNorm | LayerNorm | GroupNorm | RMSNorm, default: Fraction = Fraction(1, 100_000)) -> Slot:
    return Slot("eps", op.eps, default)


def _batch_norm(op: BatchNorm) -> tuple[Slot, ...]:
    momentum = None if op.momentum is None else Fraction(repr(op.momentum))
    return (_eps(op), Slot("momentum", momentum, Fraction(1, 10)))


def _axes(op: LayerNorm | RMSNorm) -> Slot:
    return Slot("axes", op.axes, 1)


def _affine(types: Types) -> bool | None:
    """Whether a norm is affine; None where it is by half, which no block of specs/std says."""
    given = [operand in types for operand in ("weight", "bias")]
    return given[0] if len(set(given)) == 1 else None


def _batch_norm_block(op: BatchNorm, types: Types) -> Form | None:
    affine = _affine(types)
    tracked = {operand in types for operand in ("running_mean", "running_var", "num_batches_tracked")}
    if affine is None or len(tracked) == 2:
        return None
    return Form(
        "block", "BatchNorm", (*_batch_norm(op), Slot("affine", affine, True), Slot("track", tracked.pop(), True))
    )


def _norm_block(
    name: str, slots: Callable[[Any], tuple[Slot, ...]]
) -> Callable[[LayerNorm | GroupNorm, Types], Form | None]:
    def make(op: LayerNorm | GroupNorm, types: Types) -> Form | None:
        affine = _affine(types)
        return None if affine is None else Form("block", name, (*slots(op), Slot("affine", affine, True)))

    return make


def _window(op: MaxPool | AvgPool) -> tuple[Slot, ...]:
    kernel = _compact(op.kernel)
    return (
        Slot("kernel", kernel, by_place=True),
        Slot("stride", _compact(op.stride), kernel),
        Slot("pad", _pads(op.padding), 0),
    )


def _max_pool(op: MaxPool) -> tuple[Slot, ...]:
    return (*_window(op), Slot("dilation", _compact(op.dilation), 1), Slot("ceil", op.ceil, False))


def _avg_pool(op: AvgPool) -> tuple[Slot, ...]:
    return (*_window(op), Slot("ceil", op.ceil, False), Slot("count_include_pad", op.count_include_pad, True))


def _upsample(op: Upsample) -> tuple[Slot, ...]:
    size = Slot("size", op.size, width=True)
    scale = Slot("scale", _compact([_whole(factor) for factor in op.scale]) if op.scale else None, by_place=True)
    return (
        scale if op.scale else size,
        Slot("mode", op.mode, "nearest"),
        Slot("align_corners", op.align_corners, False),
    )


def _elementwise(op: Function) -> tuple[Slot, ...]:
    defaults = {("leaky_relu", "slope"): Fraction(1, 100), ("elu", "alpha"): 1, ("celu", "alpha"): 1}
    return tuple(
        Slot(attribute, value, defaults.get((op.function, attribute), REQUIRED), by_place=True)
        for attribute, value in zip(FUNCTIONS[op.function], op.attributes, strict=True)
    )


def _attention(op: Attention, types: Types) -> Form:
    length = types["q"].shape[-1]
    usual = usual_scale(length) if isinstance(length, int) else REQUIRED
    return Form("function", "attention", (Slot("scale", op.scale, usual), Slot("causal", op.causal, False)))


def _softmax(op: Softmax | LogSoftmax, types: Types) -> tuple[Slot, ...]:
    last = types["x"].rank - 1
    return (Slot("axis", -1 if op.axis == last else op.axis, -1, by_place=True),)


# ---------------------------------------------------------------- forms


def _sum(op: Sum, types: Types) -> Form:
    match tuple(map(_whole, op.coefficients)):
        case (-1,):
            return Form("minus", "-")
        case (1, -1):
            return Form("binary", "-")
        case (1, 1):
            return Form("binary", "+")
        case _:
            return _merged(op)


def _merged(op: Sum) -> Form:
    same = set(op.coefficients)
    if same == {1}:
        return Form("merge", "sum")
    if same == {Fraction(1, len(op.coefficients))}:
        return Form("merge", "mean")
    return Form("merge", "sum", (Slot("coefficients", op.coefficients),))


def along_form(op: Affine, operand: str) -> Form:
    """``x * along(v)`` and ``x + along(v)``, which only weights can be said by."""
    return Form("along", "*" if operand == "weight" else "+", (Slot("axis", op.axis, by_place=True),))


def _reshape(op: Reshape, types: Types) -> Form:
    shape = types["x"].shape
    start = len(op.shape) - 1
    if 0 <= start < len(shape) - 1 and op.shape == (*shape[:start], volume(shape[start:])):
        return Form("function", "flatten", (Slot("start", start, 1, by_place=True),))
    return Form("function", "reshape", (_sizes(op.shape, volume(shape)),))


def _sizes(shape: Shape, whole: Dim | None = None) -> Slot:
    return Slot("shape", shape, by_place=True, width=True, whole=whole)


def _slice(op: Slice, types: Types) -> Form:
    """What is left out at the end of a free size is counted from there."""
    size = types["x"].shape[op.axis]
    left = op.stop - size
    counted = not isinstance(size, int) and isinstance(left, int) and left != 0
    start, stop = Slot("start", op.start, 0, width=True), Slot("stop", left if counted else op.stop, size, width=True)
    if op.step == 1 and (op.start or op.stop != size):
        return Form("slice", str(op.axis), (start, stop))
    return Form("function", "slice", (Slot("axis", op.axis), start, stop, Slot("step", op.step, 1)))


def _roll(op: Roll) -> tuple[Slot, ...]:
    single = len(op.axes) == 1
    shift, axis = (op.shifts[0], op.axes[0]) if single else (op.shifts, op.axes)
    return (Slot("shift", shift, by_place=True), Slot("axis", axis))


def _order(op: Order) -> tuple[Slot, ...]:
    return Slot("count", op.count, by_place=True, width=True), Slot("axis", op.axis), Slot("largest", op.largest, True)


def _reduce(op: Reduce) -> Form:
    name = {"max": "amax", "min": "amin"}.get(op.kind, op.kind)
    axis = op.axes[0] if len(op.axes) == 1 else op.axes
    return Form(
        "function", name, (Slot("axis", axis), Slot("keep", op.keep, False), Slot("correction", op.correction, 0))
    )


def _pad(op: Pad, types: Types) -> Form:
    rank, front = len(op.widths), op.widths[:2]
    spatial = rank > 2 and not any(any(pair) for pair in front)
    widths = _pads(op.widths[2:] if spatial else op.widths)
    if not spatial and not isinstance(widths, tuple):
        widths = (widths,) * rank
    return Form("function", "pad", (Slot("widths", widths, by_place=True), _mode(op.mode)))


def _function(name: str, slots: Callable[[Any], tuple[Slot, ...]] = lambda op: ()) -> Callable[[Any, Types], Form]:
    return lambda op, types: Form("function", name, slots(op))


def _block(name: str, slots: Callable[[Any], tuple[Slot, ...]] = lambda op: ()) -> Callable[[Any, Types], Form | None]:
    return lambda op, types: Form("block", name, slots(op))


_FORMS: Mapping[type[Operator], Callable[[Any, Types], Form]] = {
    Conv: _function("conv", _conv),
    ConvTranspose: _function("conv_transpose", _conv),
    Linear: _function("linear"),
    MatMul: lambda op, types: Form("binary", "@"),
    Einsum: _function("einsum", lambda op: (Slot("equation", op.equation, by_place=True),)),
    BatchNorm: _function("batch_norm", _batch_norm),
    LayerNorm: _function("layer_norm", lambda op: (_axes(op), _eps(op))),
    GroupNorm: _function("group_norm", lambda op: (Slot("groups", op.groups, width=True), _eps(op))),
    RMSNorm: _function("rms_norm", lambda op: (_axes(op), _eps(op))),
    Function: lambda op, types: Form("function", op.function, _elementwise(op)),
    PRelu: _function("prelu"),
    Softmax: lambda op, types: Form("function", "softmax", _softmax(op, types)),
    Dropout: _function("dropout", lambda op: (Slot("rate", Fraction(repr(op.rate)), Fraction(1, 2), by_place=True),)),
    Sum: _sum,
    Multiply: lambda op, types: Form("binary", "*"),
    Divide: lambda op, types: Form("binary", "/"),
    Affine: _function("affine", lambda op: (Slot("axis", op.axis, 1),)),
    Detach: _function("detach"),
    Reshape: _reshape,
    Permute: _function("permute", lambda op: (Slot("axes", op.axes, by_place=True),)),
    Expand: _function("expand", lambda op: (_sizes(op.shape),)),
    Slice: _slice,
    Concat: lambda op, types: Form("merge", "concat", (Slot("axis", op.axis, 1, by_place=True),)),
    Pad: _pad,
    Upsample: _function("upsample", _upsample),
    MaxPool: _function("max_pool", _max_pool),
    AvgPool: _function("avg_pool", _avg_pool),
    AdaptiveAvgPool: _function("adaptive_avg_pool", lambda op: (Slot("size", _compact(op.output), by_place=True),)),
    Fill: _function(
        "fill",
        lambda op: (
            Slot("shape", op.shape, by_place=True, width=True),
            Slot("value", _whole(op.value), by_place=True),
            Slot("dtype", op.dtype, "f32"),
        ),
    ),
    Constant: _function("tensor", lambda op: (Slot("values", _nested(op.shape, op.values), by_place=True),)),
    Eye: _function("eye", lambda op: (Slot("size", op.size, by_place=True),)),
    AdaptiveMaxPool: _function("adaptive_max_pool", lambda op: (Slot("size", _compact(op.output), by_place=True),)),
    Reduce: lambda op, types: _reduce(op),
    CumSum: _function("cumsum", lambda op: (Slot("axis", op.axis, by_place=True),)),
    Attention: _attention,
    Binary: lambda op, types: Form("function", op.function),
    Not: _function("logical_not"),
    Where: _function("where"),
    LogSoftmax: lambda op, types: Form("function", "log_softmax", _softmax(op, types)),
    Cast: _function("cast", lambda op: (Slot("dtype", op.dtype, by_place=True),)),
    Order: _function("order", _order),
    TakeAlong: _function("take_along", lambda op: (Slot("axis", op.axis),)),
    Gather: _function("gather", lambda op: (Slot("axis", op.axis, 0),)),
    Take: _function("take", lambda op: (Slot("positions", op.positions, by_place=True), Slot("axis", op.axis))),
    Roll: _function("roll", _roll),
}

ACTIVATIONS = {"leaky_relu": "LeakyReLU"} | {
    name.lower(): name
    for name in (
        *("ReLU", "ReLU6", "ELU", "GELU", "SiLU", "Sigmoid", "Tanh", "Hardswish", "Hardsigmoid", "Softplus", "Mish"),
        *("SELU", "CELU", "Softsign", "LogSigmoid"),
    )
}


def _embedding(op: Gather, types: Types) -> Form | None:
    """Rows of a matrix that is the module's own."""
    if op.axis or types["x"].rank != 2 or isinstance(types["x"].shape[0], Polynomial):
        return None
    names = zip(("count", "width"), types["x"].shape, strict=True)
    return Form("block", "Embedding", tuple(Slot(name, size, by_place=True, width=True) for name, size in names))


def _activation(op: Function, types: Types) -> Form | None:
    name = ACTIVATIONS.get(op.function)
    return Form("block", name, _elementwise(op)) if name else None


_BLOCKS: Mapping[type[Operator], Callable[[Any, Types], Form | None]] = {
    Conv: _conv_block,
    ConvTranspose: _conv_block,
    Linear: lambda op, types: Form(
        "block",
        "Linear",
        (Slot("co", types["weight"].shape[0], by_place=True, width=True), Slot("bias", "bias" in types, True)),
    ),
    BatchNorm: _batch_norm_block,
    LayerNorm: _norm_block("LayerNorm", lambda op: (_axes(op), _eps(op))),
    GroupNorm: _norm_block("GroupNorm", lambda op: (Slot("groups", op.groups, by_place=True, width=True), _eps(op))),
    RMSNorm: lambda op, types: Form(
        "block",
        "RMSNorm",
        (_axes(op), _eps(op, Fraction(1, 1_000_000)), Slot("affine", "weight" in types, True)),
    ),
    PRelu: lambda op, types: Form(
        "block", "PReLU", (Slot("channels", types["weight"].shape[0], 1, by_place=True, width=True),)
    ),
    Function: _activation,
    Softmax: lambda op, types: Form("block", "Softmax", _softmax(op, types)),
    LogSoftmax: lambda op, types: Form("block", "LogSoftmax", _softmax(op, types)),
    Gather: _embedding,
    AdaptiveMaxPool: _block("AdaptiveMaxPool", lambda op: (Slot("size", _compact(op.output), by_place=True),)),
    Dropout: _block("Dropout", lambda op: (Slot("rate", Fraction(repr(op.rate)), Fraction(1, 2), by_place=True),)),
    MaxPool: _block("MaxPool", _max_pool),
    AvgPool: _block("AvgPool", _avg_pool),
    AdaptiveAvgPool: _block("AdaptiveAvgPool", lambda op: (Slot("size", _compact(op.output), by_place=True),)),
    Upsample: _block("Upsample", _upsample),
}
