"""The functions of the language over tensors: what they are called, what they take, which operator they are.

Each entry of `FUNCTIONS` is the signature of a lower-case name.  Operands come first and may be given by name; of the
attributes only the obvious first ones may be positional.  A function without its first operand is a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from repc.ir.types import DTYPES
from repc.ops.arithmetic import Affine, Detach, Divide, Multiply
from repc.ops.attention import Attention, usual_scale
from repc.ops.binary import BINARY, Binary, Not, Where
from repc.ops.constant import Eye
from repc.ops.conv import Conv, ConvTranspose
from repc.ops.function import FUNCTIONS as ELEMENTWISE
from repc.ops.function import Cast, Dropout, LogSoftmax, PRelu, Softmax
from repc.ops.function import Function as Elementwise
from repc.ops.linear import Einsum, Linear, MatMul
from repc.ops.norm import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from repc.ops.order import TakeAlong
from repc.ops.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, MaxPool
from repc.ops.reduce import Reduce
from repc.ops.select import CumSum, Gather
from repc.semantics import constants, errors, matrices, movement
from repc.semantics.call import REQUIRED, Call
from repc.semantics.errors import Rejected
from repc.semantics.values import LAYERS, Along, Block, Value

MODES = ("zeros", "reflect", "replicate", "circular")


@dataclass(frozen=True, eq=False)
class Function:
    """A signature and the builder behind it; a trailing ``?`` marks an operand that may be missing or none."""

    name: str
    operands: tuple[str, ...]
    build: Callable[[Call], Value]
    attributes: Mapping[str, Value] = field(default_factory=dict[str, Value])
    positional: int = 0
    open_keywords: bool = False


APPLICABLE = (*LAYERS, Function, Block)
"""What can stand behind ``>>``; a block without its parentheses cannot, and is told so there."""


def _conv(c: Call) -> Value:
    n = c.spatial("weight")
    mode = c.choice("mode", MODES)
    op = Conv(
        stride=c.integers("stride", n),
        padding=c.pairs("pad", n),
        dilation=c.integers("dilation", n),
        groups=c.integer("groups", least=1),
        mode="constant" if mode == "zeros" else mode,
    )
    return c.emit(op)


def _conv_transpose(c: Call) -> Value:
    n = c.spatial("weight")
    op = ConvTranspose(
        stride=c.integers("stride", n),
        padding=c.pairs("pad", n),
        dilation=c.integers("dilation", n),
        groups=c.integer("groups", least=1),
        output_padding=c.integers("output_pad", n, least=0),
    )
    return c.emit(op)


def _batch_norm(c: Call) -> Value:
    momentum = c.attributes["momentum"]
    return c.emit(BatchNorm(c.fraction("eps", least=0), None if momentum is None else float(c.fraction("momentum"))))


def _max_pool(c: Call) -> Value:
    n = c.spatial()
    kernel = c.integers("kernel", n)
    op = MaxPool(
        kernel, c.integers("stride", n, default=kernel), c.pairs("pad", n), c.integers("dilation", n), c.flag("ceil")
    )
    return c.emit(op)


def _avg_pool(c: Call) -> Value:
    n = c.spatial()
    kernel = c.integers("kernel", n)
    op = AvgPool(
        kernel, c.integers("stride", n, default=kernel), c.pairs("pad", n), c.flag("ceil"), c.flag("count_include_pad")
    )
    return c.emit(op)


def _attention(c: Call) -> Value:
    """By default the scale is one over the root of the length of the vectors, which must be known then."""
    scale = c.attributes["scale"]
    length = c.type("q").shape[-1] if c.type("q").rank else 0
    if scale is not None:
        return c.emit(Attention(c.fraction("scale"), c.flag("causal")))
    if not isinstance(length, int):
        raise c.wrong("scale", "a number, since the length of the vectors is not known")
    return c.emit(Attention(usual_scale(max(length, 1)), c.flag("causal")))


def _reduce(kind: str) -> Callable[[Call], Value]:
    def build(c: Call) -> Value:
        correction = c.integer("correction", least=0) if "correction" in c.attributes else 0
        return c.emit(Reduce(kind, tuple(sorted(c.axes("axis"))), c.flag("keep"), correction))

    return build


def _binary(name: str) -> Function:
    return Function(name, ("a", "b"), lambda c: c.emit(Binary(name)))


def _along(c: Call) -> Value:
    if c.type("x").rank != 1:
        raise Rejected(errors.not_a_vector(c.span, c.type("x")))
    return Along(c.tensor("x"), c.integer("axis"))


def _elementwise(name: str, attributes: tuple[str, ...]) -> Function:
    def build(c: Call) -> Value:
        return c.emit(Elementwise(name, tuple(c.fraction(a) for a in attributes)))

    defaults: dict[str, Value] = {a: _ATTRIBUTE_DEFAULTS.get((name, a), REQUIRED) for a in attributes}
    return Function(name, ("x",), build, defaults, positional=len(attributes))


_ATTRIBUTE_DEFAULTS: Mapping[tuple[str, str], Value] = {
    ("leaky_relu", "slope"): Fraction(1, 100),
    ("elu", "alpha"): 1,
    ("celu", "alpha"): 1,
}
_CONV: Mapping[str, Value] = {"stride": 1, "pad": 0, "dilation": 1, "groups": 1}
_POOL: Mapping[str, Value] = {"kernel": REQUIRED, "stride": None, "pad": 0, "ceil": False}
_REDUCE: Mapping[str, Value] = {"axis": REQUIRED, "keep": False}
_EPS = Fraction(1, 100_000)

_TABLE = (
    Function("tensor", (), constants.tensor, {"values": REQUIRED}, positional=1),
    Function("fill", (), constants.fill, {"shape": REQUIRED, "value": REQUIRED, "dtype": "f32"}, positional=2),
    Function("eye", (), lambda c: c.emit(Eye(c.integer("size", least=1))), {"size": REQUIRED}, positional=1),
    Function("arange", (), constants.arange, {"size": REQUIRED}, positional=1),
    Function("randn", (), matrices.randn, {"shape": REQUIRED, "seed": REQUIRED}, positional=2),
    Function("rand", (), matrices.rand, {"shape": REQUIRED, "seed": REQUIRED}, positional=2),
    Function("randperm", (), matrices.randperm, {"n": REQUIRED, "seed": REQUIRED}, positional=2),
    Function(
        "kaiming_uniform", (), matrices.kaiming_uniform, {"shape": REQUIRED, "seed": REQUIRED, "a": 0}, positional=1
    ),
    Function("triu_indices", (), matrices.triangle(upper=True), {"size": REQUIRED, "offset": 0}, positional=2),
    Function("tril_indices", (), matrices.triangle(upper=False), {"size": REQUIRED, "offset": 0}, positional=2),
    Function("diag", ("x",), matrices.diag),
    Function("fft", ("x",), matrices.fft, {"axis": -1}, positional=1),
    Function("ifft", ("x",), matrices.ifft, {"axis": -1}, positional=1),
    Function("real", ("x",), matrices.real),
    Function("solve", ("a", "b"), matrices.solve),
    Function("qr", ("x",), matrices.qr),
    Function("svd", ("x",), matrices.svd),
    Function("topk", ("x",), matrices.topk, {"k": REQUIRED}, positional=1),
    Function("index_add", ("x", "index", "values"), matrices.index_add),
    Function("index_copy", ("x", "index", "values"), matrices.index_copy),
    Function("conv", ("x", "weight", "bias?"), _conv, {**_CONV, "mode": "zeros"}),
    Function("conv_transpose", ("x", "weight", "bias?"), _conv_transpose, {**_CONV, "output_pad": 0}),
    Function("linear", ("x", "weight", "bias?"), lambda c: c.emit(Linear())),
    Function("matmul", ("a", "b"), lambda c: c.emit(MatMul())),
    Function("multiply", ("a", "b"), lambda c: c.emit(Multiply())),
    Function("divide", ("a", "b"), lambda c: c.emit(Divide())),
    Function("einsum", ("a", "b"), lambda c: c.emit(Einsum(c.text("equation"))), {"equation": REQUIRED}, positional=1),
    Function("attention", ("q", "k", "v", "mask?"), _attention, {"scale": None, "causal": False}),
    Function(
        "batch_norm",
        ("x", "weight?", "bias?", "running_mean?", "running_var?", "num_batches_tracked?"),
        _batch_norm,
        {"eps": _EPS, "momentum": Fraction(1, 10)},
    ),
    Function(
        "layer_norm",
        ("x", "weight?", "bias?"),
        lambda c: c.emit(LayerNorm(c.integer("axes", least=1), c.fraction("eps", least=0))),
        {"axes": 1, "eps": _EPS},
    ),
    Function(
        "group_norm",
        ("x", "weight?", "bias?"),
        lambda c: c.emit(GroupNorm(c.integer("groups", least=1), c.fraction("eps", least=0))),
        {"groups": REQUIRED, "eps": _EPS},
    ),
    Function(
        "rms_norm",
        ("x", "weight?"),
        lambda c: c.emit(RMSNorm(c.integer("axes", least=1), c.fraction("eps", least=0))),
        {"axes": 1, "eps": _EPS},
    ),
    Function("prelu", ("x", "weight"), lambda c: c.emit(PRelu())),
    Function("softmax", ("x",), lambda c: c.emit(Softmax(c.axis("axis"))), {"axis": -1}, positional=1),
    Function("log_softmax", ("x",), lambda c: c.emit(LogSoftmax(c.axis("axis"))), {"axis": -1}, positional=1),
    Function("cast", ("x",), lambda c: c.emit(Cast(c.choice("dtype", DTYPES))), {"dtype": REQUIRED}, positional=1),
    Function("logical_not", ("x",), lambda c: c.emit(Not())),
    Function("where", ("condition", "a", "b"), lambda c: c.emit(Where())),
    Function(
        "dropout", ("x",), lambda c: c.emit(Dropout(float(c.fraction("rate")))), {"rate": Fraction(1, 2)}, positional=1
    ),
    Function("max_pool", ("x",), _max_pool, {**_POOL, "dilation": 1}, positional=1),
    Function("avg_pool", ("x",), _avg_pool, {**_POOL, "count_include_pad": True}, positional=1),
    Function(
        "adaptive_avg_pool",
        ("x",),
        lambda c: c.emit(AdaptiveAvgPool(c.integers("size", c.spatial()))),
        {"size": REQUIRED},
        positional=1,
    ),
    Function(
        "adaptive_max_pool",
        ("x",),
        lambda c: c.emit(AdaptiveMaxPool(c.integers("size", c.spatial()))),
        {"size": REQUIRED},
        positional=1,
    ),
    Function(
        "upsample",
        ("x",),
        movement.upsample,
        {"scale": None, "size": None, "mode": "nearest", "align_corners": False},
        positional=1,
    ),
    Function("flatten", ("x",), movement.flatten, {"start": 1}, positional=1),
    Function("reshape", ("x",), movement.reshape, {"shape": REQUIRED}, positional=1),
    Function("rearrange", ("x",), movement.rearrange, {"pattern": REQUIRED}, positional=1, open_keywords=True),
    Function("permute", ("x",), movement.permute, {"axes": REQUIRED}, positional=1),
    Function("expand", ("x",), movement.expand, {"shape": REQUIRED}, positional=1),
    Function("tile", ("x",), movement.tile, {"counts": REQUIRED}, positional=1),
    Function("split", ("x",), movement.split, {"sizes": REQUIRED, "axis": 1}, positional=1),
    Function("slice", ("x",), movement.part, {"axis": REQUIRED, "start": 0, "stop": None, "step": 1}),
    Function("take", ("x",), movement.take, {"positions": REQUIRED, "axis": REQUIRED}, positional=1),
    Function("roll", ("x",), movement.roll, {"shift": REQUIRED, "axis": REQUIRED}, positional=1),
    Function("gather", ("x", "index"), lambda c: c.emit(Gather(c.axis("axis"))), {"axis": 0}),
    Function("take_along", ("x", "index"), lambda c: c.emit(TakeAlong(c.axis("axis"))), {"axis": REQUIRED}),
    Function("order", ("x",), movement.order, {"count": REQUIRED, "axis": -1, "largest": True}, positional=1),
    Function("embedding", ("index", "weight"), movement.embedding),
    Function("pad", ("x", "value?"), movement.pad, {"widths": REQUIRED, "mode": "zeros"}, positional=1),
    Function("sum", ("x",), _reduce("sum"), _REDUCE),
    Function("mean", ("x",), _reduce("mean"), _REDUCE),
    Function("norm", ("x",), _reduce("norm"), _REDUCE),
    Function("amax", ("x",), _reduce("max"), _REDUCE),
    Function("amin", ("x",), _reduce("min"), _REDUCE),
    Function("var", ("x",), _reduce("var"), {**_REDUCE, "correction": 0}),
    Function("cumsum", ("x",), lambda c: c.emit(CumSum(c.axis("axis"))), {"axis": REQUIRED}, positional=1),
    Function("affine", ("x", "weight?", "bias?"), lambda c: c.emit(Affine(c.axis("axis"))), {"axis": 1}),
    Function("along", ("x",), _along, {"axis": REQUIRED}, positional=1),
    Function("detach", ("x",), lambda c: c.emit(Detach())),
)

FUNCTIONS: Mapping[str, Function] = {
    **{f.name: f for f in _TABLE},
    **{name: _elementwise(name, attributes) for name, attributes in ELEMENTWISE.items()},
    **{name: _binary(name) for name in BINARY},
}
