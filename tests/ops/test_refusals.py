"""What operators do not accept: the reason, and the operand at fault."""

from fractions import Fraction

import pytest

from repc.ir.dims import Dim, symbol
from repc.ir.foreign import Hole, TorchCall
from repc.ir.operator import Operator
from repc.ir.types import ShapeError, TensorType
from repc.ops import (
    OPERATORS,
    AdaptiveAvgPool,
    AdaptiveMaxPool,
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
    Divide,
    Dropout,
    Einsum,
    Expand,
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
    Opaque,
    Order,
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
    TakeAlong,
    Upsample,
    Where,
)

EPS, ONE, NONE2 = Fraction(1, 10), Fraction(1), ((0, 0), (0, 0))
B, H = symbol("b"), symbol("h")


def t(*shape: Dim, dtype: str = "f32") -> TensorType:
    return TensorType(shape, dtype)


IMAGE, KERNEL = t(B, 4, 8, 8), t(6, 4, 3, 3)
CONV, TRANSPOSE = Conv((1, 1), NONE2, (1, 1)), ConvTranspose((2, 2), NONE2, (1, 1), 1, (0, 0))

TWO, TRUE, ATTENTION = Fraction(2), t(3, dtype="bool"), Attention(ONE)
TOPK = TorchCall("aten.topk.default", (Hole(0), 2), ("f32",), (t(2), t(2, dtype="i64")))

REFUSALS: list[tuple[Operator, dict[str, TensorType], str | None, str]] = [
    (CONV, {"x": t(B, 4, 8), "weight": KERNEL}, "x", "takes x with 4 axes"),
    (CONV, {"x": IMAGE, "weight": t(6, 4, 3)}, "weight", "takes weight with 4 axes"),
    (CONV, {"x": t(B, 3, 8, 8), "weight": KERNEL}, "x", "x has 3 channels, and the weight is for 4"),
    (CONV, {"x": t(B, H, 8, 8), "weight": KERNEL}, "x", "x has h channels"),
    (CONV, {"x": IMAGE, "weight": KERNEL, "bias": t(4)}, "bias", r"bias is f32\[4\], and there are 6 output"),
    (CONV, {"x": IMAGE, "weight": t(6, 4, 9, 3)}, "x", "a window of 9 does not fit into 8"),
    (CONV, {"x": t(B, 4, 8, 8, dtype="f16"), "weight": KERNEL}, "weight", "x is f16 and weight is f32"),
    (CONV, {"x": IMAGE, "weight": t(H, 4, 3, 3)}, None, "not known when weights are computed"),
    (Conv((1, 1), NONE2, (1, 1), 4), {"x": IMAGE, "weight": t(6, 1, 3, 3)}, "weight", "6 output channels do not"),
    (Conv((1, 1), NONE2, (1, 1), 0), {"x": IMAGE, "weight": KERNEL}, "weight", "into 0 groups"),
    (Conv((0, 1), NONE2, (1, 1)), {"x": IMAGE, "weight": KERNEL}, "x", "stride .* must be at least 1"),
    (Conv((1, 1), NONE2, (1, -1)), {"x": IMAGE, "weight": KERNEL}, "x", "dilation .* must be at least 1"),
    (Conv((1, 1), NONE2, (1,)), {"x": IMAGE, "weight": KERNEL}, "x", "dilation has 1 entries for 2"),
    (Conv((1, 1), ((0, -1), (0, 0)), (1, 1)), {"x": IMAGE, "weight": KERNEL}, "x", "must not be negative"),
    (Conv((1,) * 4, ((0, 0),) * 4, (1,) * 4), {"x": IMAGE, "weight": KERNEL}, "x", "1 to 3 spatial axes"),
    (Conv((1, 1), ((8, 0), (0, 0)), (1, 1), 1, "reflect"), {"x": IMAGE, "weight": KERNEL}, "x", "reflect padding of 8"),
    (Conv((1, 1), ((9, 0), (0, 0)), (1, 1), 1, "circular"), {"x": IMAGE, "weight": KERNEL}, "x", "circular padding of"),
    (Conv((1, 1), NONE2, (1, 1), 1, "mirror"), {"x": IMAGE, "weight": KERNEL}, "x", "no padding mode 'mirror'"),
    (TRANSPOSE, {"x": IMAGE, "weight": t(3, 4, 3, 3)}, "x", "x has 4 channels, and the weight is for 3"),
    (TRANSPOSE, {"x": IMAGE, "weight": t(4, 2, 3, 3), "bias": t(4)}, "bias", "there are 2 output channels"),
    (ConvTranspose((2,), ((0, 0),), (1,), 3, (0,)), {"x": t(1, 4, 8), "weight": t(4, 2, 3)}, "weight", "4 input"),
    (ConvTranspose((2,), ((0, 0),), (1,), 1, (2,)), {"x": t(1, 4, 8), "weight": t(4, 2, 3)}, "x", "output_padding 2"),
    (ConvTranspose((2,), ((0, 0),), (1,), 1, ()), {"x": t(1, 4, 8), "weight": t(4, 2, 3)}, "x", "has 0 entries"),
    (ConvTranspose((1,), ((2, 2),), (1,), 1, (0,)), {"x": t(1, 4, 2), "weight": t(4, 2, 3)}, "x", "leaves nothing"),
    (Linear(), {"x": t(B, 5), "weight": t(3, 4)}, "x", "does not have the 4 features"),
    (Linear(), {"x": t(), "weight": t(3, 4)}, "x", "does not have the 4 features"),
    (Linear(), {"x": t(B, 4), "weight": t(3, 4, 1)}, "weight", "takes weight with 2 axes"),
    (Linear(), {"x": t(B, 4), "weight": t(3, 4), "bias": t(1, 3)}, "bias", "there are 3 output features"),
    (MatMul(), {"a": t(2, 3), "b": t(4, 5)}, "b", "the last axis of a has 3 elements, b takes 4"),
    (MatMul(), {"a": t(), "b": t(4, 5)}, "a", "vectors and matrices"),
    (MatMul(), {"a": t(2, 1, 3), "b": t(3, 3, 3)}, None, "do not broadcast"),
    (Einsum("ij,jk->ik"), {"a": t(2, 3), "b": t(4, 5)}, "b", "'j' of einsum 'ij,jk->ik' is 3 in a and 4 in b"),
    (Einsum("ij,jk->ik"), {"a": t(2, 3, 1), "b": t(4, 5)}, "a", "takes a with 2 axes"),
    (Einsum("ii,ij->j"), {"a": t(2, 2), "b": t(2, 5)}, None, "is no product of two operands"),
    (Einsum("ij->ji"), {"a": t(2, 2), "b": t(2, 5)}, None, "is no product of two operands"),
    (Einsum("ij,jk"), {"a": t(2, 2), "b": t(2, 5)}, None, "is no product of two operands"),
    (Einsum("ij,jk->il"), {"a": t(2, 2), "b": t(2, 5)}, None, "is no product of two operands"),
    (BatchNorm(EPS), {"x": t(4)}, "x", "a batch axis and a channel axis"),
    (BatchNorm(EPS), {"x": IMAGE, "weight": t(5)}, "weight", "there are 4 channels"),
    (BatchNorm(EPS), {"x": IMAGE, "running_var": t(4)}, "running_mean", "one running statistic of two"),
    (BatchNorm(EPS), {"x": IMAGE, "num_batches_tracked": t()}, "num_batches_tracked", r"make|is f32\[\]"),
    (LayerNorm(1, EPS), {"x": t(B, 8), "weight": t(4)}, "weight", r"weight is f32\[4\], not f32\[8\]"),
    (LayerNorm(3, EPS), {"x": t(B, 8)}, "x", "does not have 3 axes"),
    (GroupNorm(3, EPS), {"x": IMAGE}, "x", "4 channels do not divide into 3 groups"),
    (GroupNorm(2, EPS), {"x": t(B, H, 3)}, "x", "h channels do not divide"),
    (GroupNorm(2, EPS), {"x": IMAGE, "bias": t(2)}, "bias", "there are 4 channels"),
    (RMSNorm(1, EPS), {"x": t(B, 8), "weight": t(8, 1)}, "weight", "not f32"),
    (Function("relo"), {"x": IMAGE}, "x", "no function 'relo'"),
    (Function("elu"), {"x": IMAGE}, "x", "elu has 1 constants, not 0"),
    (Function("relu"), {"x": t(3, dtype="i64")}, "x", "takes real numbers"),
    (PRelu(), {"x": IMAGE, "weight": t(5)}, "weight", r"the weight is f32\[5\]"),
    (PRelu(), {"x": t(4), "weight": t(4)}, "weight", r"the weight is f32\[4\]"),
    (Softmax(4), {"x": IMAGE}, "x", "no axis 4"),
    (Softmax(-1), {"x": IMAGE}, "x", "no axis -1"),
    (Dropout(1.0), {"x": IMAGE}, "x", "no probability below 1"),
    (Sum((ONE,)), {"0": IMAGE, "1": IMAGE}, None, "1 coefficients has 2 operands"),
    (Sum(()), {}, None, "0 coefficients has 0 operands"),
    (Sum((ONE, ONE)), {"0": t(B, 3), "1": t(H, 3)}, None, "do not broadcast: b against h"),
    (Multiply(), {"a": t(3), "b": t(4)}, None, "do not broadcast"),
    (Divide(), {"a": t(3), "b": t(3, dtype="i64")}, "b", "a is f32 and b is i64"),
    (Affine(1), {"x": IMAGE, "weight": t(8)}, "weight", "there are 4 elements along axis 1"),
    (Affine(4), {"x": IMAGE}, "x", "no axis 4"),
    (Reshape((B, 5)), {"x": t(B, 4)}, "x", r"has 4\*b elements and f32\[b, 5\] has 5\*b"),
    (Permute((0, 0)), {"x": t(B, 4)}, "x", "no order of the axes"),
    (Expand((3, 4)), {"x": t(2, 4)}, None, "do not broadcast"),
    (Expand((4,)), {"x": t(2, 4)}, "x", "does not expand"),
    (Slice(0, 0, 2), {"x": t(B, 4)}, "x", "0:2 of axis 0 of .* is not known to be there"),
    (Slice(0, 0, B + 1), {"x": t(B, 4)}, "x", "is not known to be there"),
    (Slice(0, 3, B), {"x": t(B, 4)}, "x", "is not known to be there"),
    (Slice(0, 0, H), {"x": t(H * 2, 4)}, "x", "is not known to be there"),
    (Slice(0, -1, B), {"x": t(B, 4)}, "x", "takes no valid part of b"),
    (Slice(1, 0, B), {"x": t(B, 4)}, "x", "takes no valid part of 4"),
    (Slice(1, 0, 5), {"x": t(B, 4)}, "x", "takes no valid part of 4"),
    (Slice(1, 2, 2), {"x": t(B, 4)}, "x", "takes no valid part of 4"),
    (Slice(1, 0, 4, 0), {"x": t(B, 4)}, "x", "takes no valid part of 4"),
    (Concat(1), {}, None, "nothing to concatenate"),
    (Concat(1), {"0": t(B, 4), "1": t(H, 4)}, "1", "differ beside axis 1"),
    (Concat(2), {"0": t(B, 4)}, "x", "no axis 2"),
    (Pad(((0, 0),)), {"x": t(B, 4)}, "x", "1 pairs of widths"),
    (Pad(((0, 0), (-1, 0)), "reflect"), {"x": t(B, 4)}, "x", "is negative"),
    (Pad(((0, 0), (-1, -3))), {"x": t(B, 4)}, "x", "leaves nothing"),
    (Pad(((0, 0), (4, 0)), "reflect"), {"x": t(B, 4)}, "x", "reflect padding of 4"),
    (Pad(((0, 0), (1, 0)), "reflect"), {"x": t(B, 4), "value": t()}, "value", "has no value"),
    (Pad(((0, 0), (1, 0))), {"x": t(B, 4), "value": t(4)}, "value", "no padding there|the value is"),
    (Pad(((0, 1), (0, 0))), {"x": t(B, 4), "value": t(3)}, "value", "the value is"),
    (Upsample((TWO,)), {"x": IMAGE}, "x", "1 spatial axes"),
    (Upsample((TWO,) * 2, size=(8, 8)), {"x": IMAGE}, "x", "2 spatial axes"),
    (Upsample((TWO, Fraction(0))), {"x": IMAGE}, "x", "leaves nothing"),
    (Upsample((), size=(8, 0)), {"x": IMAGE}, "x", "nothing left"),
    (Upsample((TWO, TWO), "area"), {"x": IMAGE}, "x", "no upsampling 'area'"),
    (Upsample((TWO,), "cubic"), {"x": t(B, 4, 8)}, "x", "no upsampling 'cubic' of 1 axes"),
    (Upsample((TWO, TWO), "nearest", True), {"x": IMAGE}, "x", "'nearest' of 2 axes with align_corners=True"),
    (Upsample((TWO, Fraction(5, 3))), {"x": IMAGE}, "x", "depends on how a runtime rounds"),
    (Upsample((TWO, Fraction(5, 4)), "linear"), {"x": IMAGE}, "x", "depends on how a runtime rounds"),
    (MaxPool((2,), (2,), ((0, 0),), (1,)), {"x": IMAGE}, "x", "a 1-d pool takes x with 3 axes"),
    (MaxPool((2,), (2,), ((0, 2),), (1,)), {"x": t(B, 4, 8)}, "x", "more than half of the kernel of 2"),
    (MaxPool((2,), (1,), ((1, 1),), (2,)), {"x": t(B, 4, 1)}, "x", "nothing but padding"),
    (MaxPool((9,), (1,), ((0, 0),), (1,)), {"x": t(B, 4, 8)}, "x", "a window of 9 does not fit"),
    (AvgPool((0,), (1,), ((0, 0),)), {"x": t(B, 4, 8)}, "x", "kernel .* must be at least 1"),
    (AdaptiveAvgPool((2, 1)), {"x": t(B, 4, H, 8)}, "x", "windows of h elements for 2 results"),
    (AdaptiveAvgPool((0, 1)), {"x": IMAGE}, "x", "output .* must be at least 1"),
    (AdaptiveAvgPool((1, 1)), {"x": t(B, 4, H, 0)}, "x", "axis 3 of f32.* has nothing in it"),
    (Reduce("mean", (2, 3), False), {"x": t(B, 4, H, 0)}, "x", "no mean of nothing, as in f32"),
    (Reduce("min", (0, 2), True), {"x": t(B, 4, 0)}, "x", "no min of nothing, as in f32"),
    (AdaptiveMaxPool((2, 1)), {"x": t(B, 4, H, 8)}, "x", "windows of h elements for 2 results"),
    (Reduce("median", (0,), False), {"x": IMAGE}, "x", "no reduction 'median'"),
    (Reduce("var", (), False), {"x": IMAGE}, "x", "a variance of 1 elements"),
    (Reduce("var", (1,), False, 4), {"x": IMAGE}, "x", "does not divide by 4 less"),
    (Order(4, 1), {"x": IMAGE}, "x", "no axis 4"),
    (Order(1, 1), {"x": t(B, 3, dtype="bool")}, "x", "takes real numbers"),
    (Order(1, 4), {"x": t(B, 3)}, "x", "is not known to have 4 elements"),
    (Order(1, 0), {"x": t(B, 3)}, "x", "is not known to have 0 elements"),
    (Order(0, 2), {"x": t(B, 3)}, "x", "is not known to have 2 elements"),
    (TakeAlong(1), {"x": t(B, 3), "index": t(B, 2)}, "index", "positions are whole numbers"),
    (TakeAlong(1), {"x": t(B, 3, 4), "index": t(B, 2, 5, dtype="i64")}, "index", "differ in more than axis 1"),
    (TakeAlong(2), {"x": t(B, 3), "index": t(B, 3, dtype="i64")}, "x", "no axis 2"),
    (CumSum(4), {"x": IMAGE}, "x", "no axis 4"),
    (CumSum(0), {"x": t(B, dtype="bool")}, "x", "takes real numbers"),
    (LogSoftmax(4), {"x": IMAGE}, "x", "no axis 4"),
    (Cast("f31"), {"x": IMAGE}, "x", "no element type 'f31'"),
    (Binary("less_than"), {"a": IMAGE, "b": IMAGE}, "a", "no function 'less_than'"),
    (Binary("less"), {"a": IMAGE, "b": t(B, 4, 8, 8, dtype="i64")}, "b", "a is f32 and b is i64"),
    (Binary("less"), {"a": t(3, dtype="bool"), "b": t(3, dtype="bool")}, "a", "less takes numbers, not bool"),
    (Binary("logical_or"), {"a": IMAGE, "b": IMAGE}, "a", "logical_or takes true and false, not f32"),
    (Not(), {"x": IMAGE}, "x", "takes true and false, not f32"),
    (Where(), {"condition": IMAGE, "a": IMAGE, "b": IMAGE}, "condition", "takes true and false, not f32"),
    (Where(), {"condition": TRUE, "a": t(3), "b": t(3, dtype="i64")}, "b", "a is f32 and b is i64"),
    (Where(), {"condition": TRUE, "a": t(3), "b": t(4)}, None, "do not broadcast"),
    (ATTENTION, {"q": t(4), "k": t(6, 4), "v": t(6, 5)}, "q", "takes rows of vectors"),
    (ATTENTION, {"q": t(3, 4), "k": t(6, 5), "v": t(6, 5)}, "k", "their vectors differ in length"),
    (ATTENTION, {"q": t(3, 4), "k": t(6, 4), "v": t(5, 5)}, "v", "other numbers of rows"),
    (ATTENTION, {"q": t(3, 4), "k": t(6, 4), "v": t(6, 5), "mask": t(6, 3)}, None, "do not broadcast"),
    (ATTENTION, {"q": t(3, 4), "k": t(6, 4), "v": t(6, 5), "mask": t(2, 3, 6)}, "mask", "the scores are"),
    (ATTENTION, {"q": t(3, 4), "k": t(6, 4), "v": t(6, 5), "mask": t(6, dtype="bool")}, "mask", "mask is bool"),
    (Attention(ONE, True), {"q": t(3, 4), "k": t(6, 4), "v": t(6, 5), "mask": t(6)}, "mask", "causal and has a mask"),
    (Gather(1), {"x": t(3), "index": t(dtype="i64")}, "x", "no axis 1"),
    (Gather(0), {"x": t(3), "index": t(2)}, "index", r"whole numbers, not f32\[2\]"),
    (Take(0, (0,)), {"x": t(B)}, "x", "no known size to take from"),
    (Take(0, (0, 3)), {"x": t(3)}, "x", "no position 3"),
    (Roll((1,), (1,)), {"x": t(3)}, "x", "no axis 1"),
    (Roll((1, 2), (0,)), {"x": t(3)}, "x", "2 shifts for 1 axes"),
    (Opaque(TOPK), {"0": t(3, dtype="i64")}, None, "aten.topk.default takes f32, not i64"),
    (Opaque(TOPK), {}, None, "aten.topk.default takes f32, not nothing"),
    (Opaque(TOPK, 2), {"0": t(3)}, None, "has 2 results, no number 2"),
    (Reduce("sum", (1, 1), False), {"x": IMAGE}, "x", "an axis occurs twice"),
    (Random("beta", (1,), 0, 1), {}, None, "no distribution 'beta'"),
]


@pytest.mark.parametrize(
    ("op", "given", "operand", "reason"), REFUSALS, ids=[f"{row[0].name}-{i}" for i, row in enumerate(REFUSALS)]
)
def test_a_refusal_names_reason_operand_and_remedy(
    op: Operator, given: dict[str, TensorType], operand: str | None, reason: str
) -> None:
    with pytest.raises(ShapeError, match=reason) as error:
        op.infer(given)
    assert error.value.operand == operand
    assert error.value.remedy


def test_every_operator_that_can_refuse_does() -> None:
    accepting = {"detach", "fill", "constant", "eye", "input"}
    assert {op.name for op, *_ in REFUSALS} | accepting == {op.name for op in OPERATORS}


def test_symbolic_sizes_come_out_by_the_real_formula() -> None:
    x = t(B, 4, H, H)
    strided = Conv((2, 2), ((1, 1), (0, 0)), (1, 1)).infer({"x": x, "weight": KERNEL})
    assert str(strided) == "f32[b, 6, ((h + 1)//2), ((h + 1)//2) - 1]"
    pooled = MaxPool((3, 3), (2, 2), ((1, 1), (0, 0)), (1, 1), True).infer({"x": x})
    assert str(pooled) == "f32[b, 4, (h//2) + 1, (h//2)]"
    assert str(TRANSPOSE.infer({"x": x, "weight": t(4, 2, 3, 3)})) == "f32[b, 2, 2*h + 1, 2*h + 1]"
    halved = Upsample((Fraction(1, 2), Fraction(3, 2)), "linear").infer({"x": x})
    assert str(halved) == "f32[b, 4, (h//2), (h//2) + h]"
    assert str(Slice(2, 1, H * 2 - 1, 2).infer({"x": t(B, 4, H * 2)})) == "f32[b, 4, h - 1]"
    assert str(Slice(2, 0, 3).infer({"x": t(B, 4, H // 2 + 3)})) == "f32[b, 4, 3]"
    assert str(Reshape((B, 4 * H * H)).infer({"x": x})) == "f32[b, 4*h*h]"


def test_an_operator_with_sizes_inside_gets_integers() -> None:
    assert Reshape((B, 4 * H)).at({"b": 2, "h": 3}) == Reshape((2, 12))
    assert Expand((B, 4)).at({"b": 2}) == Expand((2, 4))
    assert Slice(0, 1, B - 1).at({"b": 5}) == Slice(0, 1, 4)
    assert Upsample((), size=(H, 3)).at({"h": 5}) == Upsample((), size=(5, 3))
    assert CONV.at({"b": 2}) is CONV
