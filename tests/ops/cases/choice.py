"""Functions of two operands, choices, conversions, and elements picked by position."""

from fractions import Fraction
from itertools import product

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from repc.ir.foreign import Dtype, Hole, TorchCall
from repc.ir.types import TensorType
from repc.ops import (
    Attention,
    Binary,
    Cast,
    CumSum,
    Gather,
    LogSoftmax,
    Not,
    Opaque,
    Order,
    Roll,
    Take,
    TakeAlong,
    Upsample,
    Where,
)
from repc.ops.attention import usual_scale
from repc.ops.binary import BINARY
from tests.ops.cases.case import Case, Draw, flag, fraction, integers, several, tensor, type_of

COMPARED = {
    "maximum": lambda a, b: torch.where(a > b, a, b),
    "minimum": lambda a, b: torch.where(a < b, a, b),
    "power": lambda a, b: torch.exp(b * torch.log(a)),
    "equal": lambda a, b: ~((a < b) | (a > b)),
    "not_equal": lambda a, b: (a < b) | (a > b),
    "less": lambda a, b: (b - a).sign() > 0,
    "less_equal": lambda a, b: (b - a).sign() > -1,
    "greater": lambda a, b: (a - b).sign() > 0,
    "greater_equal": lambda a, b: (a - b).sign() > -1,
    "logical_and": lambda a, b: a & b,
    "logical_or": lambda a, b: a | b,
    "logical_xor": lambda a, b: a ^ b,
}


def truth(draw: Draw, *shape: int) -> Tensor:
    return tensor(draw, *shape) > 0


def pair(draw: Draw, make) -> tuple[Tensor, Tensor]:
    """Two tensors that broadcast; some elements are equal."""
    shape = several(draw, integers(draw, 0, 3), 1, 4)
    a, b = (make(draw, *shape[integers(draw, 0, len(shape)) :]) for _ in "ab")
    return (a.round(), b.round()) if a.is_floating_point() else (a, b)


@st.composite
def binary(draw: Draw) -> Case:
    name = draw(st.sampled_from(sorted(BINARY)))
    a, b = pair(draw, truth if BINARY[name][0] == "bool" else tensor)
    if name == "power":
        a = a.abs() + 0.5
    free = {"a": range(a.ndim), "b": range(b.ndim)}
    return Case(Binary(name), {"a": a, "b": b}, COMPARED[name](a, b), free)


@st.composite
def negation(draw: Draw) -> Case:
    x = truth(draw, *several(draw, integers(draw, 0, 3), 1, 4))
    return Case(Not(), {"x": x}, x ^ True, {"x": range(x.ndim)})


@st.composite
def where(draw: Draw) -> Case:
    a, b = pair(draw, tensor)
    condition = truth(draw, *a.shape) if flag(draw) else truth(draw, 1)
    expected = a * condition + b * ~condition
    return Case(Where(), {"condition": condition, "a": a, "b": b}, expected)


@st.composite
def cast(draw: Draw) -> Case:
    x = 3 * tensor(draw, *several(draw, integers(draw, 0, 3), 1, 4))
    kind = draw(st.sampled_from(("i64", "i32", "bool", "f32")))
    given = x if flag(draw) else (x.round().to(torch.int64) if flag(draw) else x > 0)
    towards_zero = given.double().sign() * given.double().abs().floor()
    expected = {"i64": towards_zero.long(), "i32": towards_zero.int(), "bool": given != 0, "f32": given.double()}[kind]
    return Case(Cast(kind), {"x": given}, expected, {"x": range(x.ndim)})


@st.composite
def log_softmax(draw: Draw) -> Case:
    x = tensor(draw, *several(draw, integers(draw, 1, 4), 1, 4)) * draw(st.sampled_from((1.0, 1000.0)))
    axis = integers(draw, 0, x.ndim - 1)
    return Case(LogSoftmax(axis), {"x": x}, x - torch.logsumexp(x, axis, keepdim=True), {"x": range(x.ndim)})


@st.composite
def attention(draw: Draw) -> Case:
    """Batches that broadcast, any lengths, a mask or a causal one, the usual scale or another."""
    rows, columns, length, width = several(draw, 4, 1, 5)
    batch = draw(st.sampled_from(((), (2,), (2, 3))))
    q, k, v = (tensor(draw, *batch, *size) for size in ((rows, length), (columns, length), (columns, width)))
    masked = draw(st.sampled_from(("none", "mask", "small mask", "causal")))
    mask = {"mask": (*batch, rows, columns), "small mask": (1, columns)}.get(masked)
    operands = {"q": q, "k": k, "v": v} | ({"mask": tensor(draw, *mask)} if mask else {})
    scale = usual_scale(length) if flag(draw) else draw(fraction(0, 3))
    scores = float(scale) * torch.einsum("...le,...se->...ls", q, k) + operands.get("mask", 0)
    if masked == "causal":
        scores = scores.masked_fill(torch.ones(rows, columns).triu(1) > 0, -torch.inf)
    free = {} if "mask" in operands else {name: range(x.ndim - 1) for name, x in operands.items()}
    return Case(Attention(scale, masked == "causal"), operands, torch.softmax(scores, -1) @ v, free)


@st.composite
def gather(draw: Draw) -> Case:
    x = tensor(draw, *several(draw, integers(draw, 1, 3), 1, 4))
    axis = integers(draw, 0, x.ndim - 1)
    size, table = x.shape[axis], axis == 0 and x.ndim == 2
    shape = several(draw, integers(draw, 0, 2), 1, 3)
    generator = torch.Generator().manual_seed(integers(draw, 0, 99))
    index = torch.randint(0 if table else -size, size, shape, generator=generator)
    index = index.int() if flag(draw) else index
    picked = [x.select(axis, int(i)) for i in index.flatten()]
    expected = torch.stack(picked, axis).reshape((*x.shape[:axis], *shape, *x.shape[axis + 1 :]))
    return Case(Gather(axis), {"x": x, "index": index}, expected, {"x": [i for i in range(x.ndim) if i != axis]})


@st.composite
def order(draw: Draw) -> Case:
    """Numbers with equal ones among them, of which the first comes first."""
    x = tensor(draw, *several(draw, integers(draw, 1, 3), 1, 5))
    x = (2 * x).round() / 2 if flag(draw) else (3 * x).long() if flag(draw) else x
    axis, largest = integers(draw, 0, x.ndim - 1), flag(draw)
    rows = x.movedim(axis, -1).flatten(0, -2) if x.ndim > 1 else x[None]
    places = [sorted(range(len(row)), key=lambda i, r=row: -r[i] if largest else r[i]) for row in rows.tolist()]
    count = integers(draw, 1, x.shape[axis])
    expected = torch.tensor(places).reshape(x.movedim(axis, -1).shape).movedim(-1, axis).narrow(axis, 0, count)
    return Case(Order(axis, count, largest), {"x": x}, expected, {"x": [i for i in range(x.ndim) if i != axis]})


@st.composite
def take_along(draw: Draw) -> Case:
    x = tensor(draw, *several(draw, integers(draw, 1, 3), 1, 4))
    axis = integers(draw, 0, x.ndim - 1)
    size, shape = x.shape[axis], list(x.shape)
    shape[axis] = integers(draw, 1, 5)
    index = torch.randint(-size, size, shape, generator=torch.Generator().manual_seed(integers(draw, 0, 99)))
    index = index.int() if flag(draw) else index
    expected = torch.empty(shape, dtype=x.dtype)
    for place in product(*map(range, shape)):
        expected[place] = x[(*place[:axis], int(index[place]), *place[axis + 1 :])]
    free = [i for i in range(x.ndim) if i != axis]
    return Case(TakeAlong(axis), {"x": x, "index": index}, expected, {"x": free, "index": free})


@st.composite
def take(draw: Draw) -> Case:
    x = tensor(draw, *several(draw, integers(draw, 1, 3), 1, 5))
    axis = integers(draw, 0, x.ndim - 1)
    positions = several(draw, integers(draw, 1, 4), 0, x.shape[axis] - 1)
    expected = torch.stack([x.unbind(axis)[i] for i in positions], axis)
    return Case(Take(axis, positions), {"x": x}, expected, {"x": [i for i in range(x.ndim) if i != axis]})


@st.composite
def roll(draw: Draw) -> Case:
    x = tensor(draw, *several(draw, integers(draw, 1, 4), 1, 5))
    axes = tuple(axis for axis in draw(st.permutations(range(x.ndim))) if flag(draw)) or (0,)
    shifts = several(draw, len(axes), -7, 7)
    return Case(Roll(shifts, axes), {"x": x}, torch.roll(x, shifts, axes), {"x": range(x.ndim)})


@st.composite
def cumsum(draw: Draw) -> Case:
    x = tensor(draw, *several(draw, integers(draw, 1, 3), 1, 5))
    axis = integers(draw, 0, x.ndim - 1)
    rows = [x.narrow(axis, 0, i + 1).sum(axis) for i in range(x.shape[axis])]
    return Case(CumSum(axis), {"x": x}, torch.stack(rows, axis), {"x": range(x.ndim)})


@st.composite
def upsample(draw: Draw) -> Case:
    """Larger and smaller, by factors or to sizes, whole multiples and others."""
    rank = integers(draw, 1, 3)
    x = tensor(draw, 2, 2, *several(draw, rank, 1, 6))
    mode = draw(st.sampled_from(("nearest", "linear", "cubic") if rank == 2 else ("nearest", "linear")))
    align = mode != "nearest" and flag(draw)
    name = {"linear": ("linear", "bilinear", "trilinear")[rank - 1], "cubic": "bicubic"}.get(mode, mode)
    settings = {"mode": name, "align_corners": align if mode != "nearest" else None}
    free = {"x": range(rank + 2)}
    if flag(draw):
        size = several(draw, rank, 1, 11)
        return Case(Upsample((), mode, align, size), {"x": x}, F.interpolate(x, size, **settings), free)
    small = [Fraction(1, n) for n in range(1, 1 + min(x.shape[2:]))]
    whole = st.sampled_from([*small, Fraction(2), Fraction(3)])
    smooth = whole if mode == "nearest" else fraction(1, 4).filter(lambda factor: not 1 < factor < Fraction(3, 2))
    scale = tuple(draw(smooth) for _ in range(rank))
    expected = F.interpolate(x, scale_factor=tuple(map(float, scale)), **settings)
    return Case(Upsample(scale, mode, align), {"x": x}, expected, free)


@st.composite
def opaque(draw: Draw) -> Case:
    """Calls with several results, with tensors in lists, with names of torch, and without operands."""
    x, y = tensor(draw, 3, 5), tensor(draw, 3, 5)
    values, places = x.topk(2, -1)
    several_types = (type_of(values), type_of(places))
    ones = torch.ones(2, 3, dtype=torch.float64)
    cases = [
        (TorchCall("aten.topk.default", (Hole(0), 2, -1), ("f32",), several_types), 0, (x,), values),
        (TorchCall("aten.topk.default", (Hole(0), 2), ("f32",), several_types, {"largest": True}), 1, (x,), places),
        (TorchCall("torch.hstack", ((Hole(1), Hole(0)),), ("f32", "f32"), (TensorType((3, 10)),)), 0, (x, y), [y, x]),
        (TorchCall("torch.nn.functional.pdist", (Hole(0),), ("f32",), (TensorType((3,)),)), 0, (x,), F.pdist(x)),
        (TorchCall("aten.ones.default", ((2, 3),), (), (TensorType((2, 3)),), {"dtype": Dtype("f32")}), 0, (), ones),
    ]
    call, result, operands, expected = draw(st.sampled_from(cases))
    expected = torch.cat(expected, 1) if isinstance(expected, list) else expected
    return Case(Opaque(call, result), {str(i): x for i, x in enumerate(operands)}, expected)


CASES = {
    Binary: binary(),
    Not: negation(),
    Where: where(),
    Cast: cast(),
    LogSoftmax: log_softmax(),
    Attention: attention(),
    Gather: gather(),
    Take: take(),
    Roll: roll(),
    CumSum: cumsum(),
    Order: order(),
    TakeAlong: take_along(),
    Upsample: upsample(),
    Opaque: opaque(),
}
