"""Convolutions, linear layers, products and attention."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from repc.importers.torch.site import Number, Site, Unknown, Value, exact
from repc.importers.torch.table.reduce import quantified
from repc.importers.torch.table.shape import repeat_interleave
from repc.ir.dims import divide
from repc.ops import Attention, Binary, Conv, ConvTranspose, Einsum, Linear, MatMul, Where
from repc.ops.attention import usual_scale
from repc.ops.padding import Pairs
from repc.ops.windows import Ints


def every(values: Sequence[int], rank: int) -> Ints:
    """One number for each axis, where torch lets one stand for all."""
    return tuple(values) * rank if len(values) == 1 else tuple(values)


def equal_sides(padding: Sequence[int]) -> Pairs:
    """The same padding before and after."""
    return tuple((width, width) for width in padding)


def conv(
    at: Site,
    x: Value,
    weight: Value,
    bias: Value | None,
    stride: Sequence[int],
    padding: Sequence[int] | str,
    dilation: Sequence[int],
    groups: int,
) -> Value:
    """``conv1d`` to ``conv3d``; padding may be ``"same"`` or ``"valid"``."""
    rank = weight.type.rank - 2
    steps = every(dilation, rank)
    if isinstance(padding, str):
        pairs = _same(weight, steps) if padding == "same" else ((0, 0),) * rank
    else:
        pairs = equal_sides(every(padding, rank))
    op = Conv(every(stride, rank), pairs, steps, groups)
    return _batched(at, op, x, weight, bias)


def conv_transpose(
    at: Site,
    x: Value,
    weight: Value,
    bias: Value | None,
    stride: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
    groups: int,
    dilation: Sequence[int],
) -> Value:
    """``conv_transpose1d`` to ``conv_transpose3d``."""
    rank = weight.type.rank - 2
    sides = equal_sides(every(padding, rank))
    op = ConvTranspose(every(stride, rank), sides, every(dilation, rank), groups, every(output_padding, rank))
    return _batched(at, op, x, weight, bias)


def convolution(
    at: Site,
    x: Value,
    weight: Value,
    bias: Value | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    *rest: object,
) -> Value:
    """The form that all convolutions have in a decomposed program."""
    if transposed:
        return conv_transpose(at, x, weight, bias, stride, padding, output_padding, groups, dilation)
    return conv(at, x, weight, bias, stride, padding, dilation, groups)


def linear(at: Site, x: Value, weight: Value, bias: Value | None) -> Value:
    """``F.linear``; a weight that is one vector gives one number."""
    return at.add(Linear(), x=x, weight=weight, bias=bias)


def bilinear(at: Site, a: Value, b: Value, weight: Value, bias: Value | None) -> Value:
    """``F.bilinear``: for each result a matrix, between the two."""
    results, one, two = weight.type.concrete()
    rows = at.reshape(at.permute(weight, (0, 2, 1)), (results * two, one))
    matrices = at.reshape(linear(at, a, rows, None), (*a.type.shape[:-1], results, two))
    y = at.reshape(matmul(at, matrices, at.reshape(b, (*b.type.shape, 1))), at.result.shape)
    return y if bias is None else at.combine((1, y), (1, bias))


def matmul(at: Site, a: Value, b: Value) -> Value:
    """``a @ b``, by all its names."""
    return at.add(MatMul(), a=a, b=b)


def addmm(at: Site, bias: Value, a: Value, b: Value, beta: Number, alpha: Number) -> Value:
    """``beta·bias + alpha·(a @ b)``: a linear layer whose weight lies transposed."""
    if (beta, alpha) == (1, 1) and b.type.rank == 2 and bias.type.shape == b.type.shape[1:]:
        return linear(at, a, at.permute(b, (1, 0)), bias)
    return at.combine((beta, bias), (alpha, matmul(at, a, b)))


def einsum(at: Site, equation: str, operands: Sequence[Value], path: object) -> Value:
    """Over two operands; over more of them, two at a time from the left."""
    if len(operands) < 2 or path is not None or (len(operands) > 2 and ("." in equation or "->" not in equation)):
        raise Unknown(f"einsum {equation!r} over {len(operands)} operands")
    a, b, *others = operands
    if not others:
        return at.add(Einsum(equation), a=a, b=b)
    terms, result = equation.replace(" ", "").split("->")
    one, two, *rest = terms.split(",")
    both = "".join(label for label in dict.fromkeys(one + two) if label in "".join([result, *rest]))
    product = at.add(Einsum(f"{one},{two}->{both}"), a=a, b=b)
    return einsum(at, f"{','.join([both, *rest])}->{result}", [product, *others], path)


def attention(
    at: Site,
    q: Value,
    k: Value,
    v: Value,
    mask: Value | None,
    dropout: float,
    causal: bool,
    scale: float | None,
    grouped: bool,
) -> Value:
    """``scaled_dot_product_attention``, in evaluation.

    A mask is added; one of true and false is zero where it is true, and takes away all else, as minus infinity does.
    A row of which it takes away everything is zero in torch, where a softmax of nothing is no number.
    """
    width = q.type.shape[-1]
    if dropout or not isinstance(width, int):
        raise Unknown("attention with dropout")
    if grouped:
        k, v = _ungrouped(at, q, k), _ungrouped(at, q, v)
    op = Attention(usual_scale(width) if scale is None else exact(scale), causal)
    if mask is None:
        return at.add(op, q=q, k=k, v=v)
    zero, nothing = at.number(0), at.number(-inf)
    if mask.type.dtype == "bool":
        kept, added = mask, at.add(Where(), condition=mask, a=zero, b=nothing)
    else:
        kept, added = at.add(Binary("greater"), a=mask, b=nothing), mask
    attends = quantified("max", at, kept, -1, keep=True)
    if at.is_true(attends):
        return at.add(op, q=q, k=k, v=v, mask=added)
    added = at.add(Where(), condition=attends, a=added, b=zero)
    return at.add(Where(), condition=attends, a=at.add(op, q=q, k=k, v=v, mask=added), b=zero)


def _ungrouped(at: Site, q: Value, x: Value) -> Value:
    """Keys or values with a head for each head of q, where several of these share one."""
    heads = divide(q.type.shape[-3], x.type.shape[-3])
    if heads is None:
        raise Unknown(f"heads of {x.type} for those of {q.type}")
    return x if heads == 1 else repeat_interleave(at, x, heads, -3)


def _same(weight: Value, dilation: Ints) -> Pairs:
    """The padding that keeps sizes; the odd one is at the end."""
    reach = [step * (size - 1) for step, size in zip(dilation, weight.type.concrete()[2:], strict=True)]
    return tuple((total // 2, total - total // 2) for total in reach)


def _batched(at: Site, op: Conv | ConvTranspose, x: Value, weight: Value, bias: Value | None) -> Value:
    """torch also takes one sample without a batch axis."""
    if x.type.rank != weight.type.rank - 1:
        return at.add(op, x=x, weight=weight, bias=bias)
    y = at.add(op, x=at.reshape(x, (1, *x.type.shape)), weight=weight, bias=bias)
    return at.reshape(y, y.type.shape[1:])
