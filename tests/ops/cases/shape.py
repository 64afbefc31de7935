"""Movement, reductions and constants."""

from math import prod

import torch
from hypothesis import strategies as st
from torch.nn import functional as F

from repc.ops import Concat, Constant, Expand, Eye, Fill, Pad, Permute, Random, Reduce, Reshape, Slice
from tests.ops.cases.case import Case, Draw, flag, integers, several, tensor
from tests.ops.cases.windows import flat


@st.composite
def reshape(draw: Draw) -> Case:
    x = tensor(draw, *several(draw, integers(draw, 0, 4), 1, 4))
    rows = draw(st.sampled_from([n for n in range(1, x.numel() + 1) if x.numel() % n == 0]))
    shape = draw(st.permutations((rows, x.numel() // rows, 1)))
    return Case(Reshape(tuple(shape)), {"x": x}, x.reshape(shape))


@st.composite
def permute(draw: Draw) -> Case:
    x = tensor(draw, *several(draw, integers(draw, 1, 4), 1, 4))
    axes = tuple(draw(st.permutations(range(x.ndim))))
    return Case(Permute(axes), {"x": x}, x.permute(axes), {"x": range(x.ndim)})


@st.composite
def expand(draw: Draw) -> Case:
    shape = several(draw, integers(draw, 0, 4), 1, 4)
    kept = shape[integers(draw, 0, len(shape)) :]
    x = tensor(draw, *(size if flag(draw) else 1 for size in kept))
    return Case(Expand(shape), {"x": x}, x.expand(shape))


@st.composite
def slice_(draw: Draw) -> Case:
    x = tensor(draw, *several(draw, integers(draw, 1, 3), 1, 7))
    axis, step = integers(draw, 0, x.ndim - 1), integers(draw, 1, 3)
    start = integers(draw, 0, x.shape[axis] - 1)
    stop = integers(draw, start + 1, x.shape[axis])
    expected = torch.stack(list(x.unbind(axis))[start:stop:step], axis)
    free = [i for i in range(x.ndim) if i != axis]
    return Case(Slice(axis, start, stop, step), {"x": x}, expected, {"x": free})


@st.composite
def concat(draw: Draw) -> Case:
    shape = several(draw, integers(draw, 1, 4), 1, 4)
    axis = integers(draw, 0, len(shape) - 1)
    widths = several(draw, integers(draw, 1, 4), 1, 4)
    xs = [tensor(draw, *shape[:axis], width, *shape[axis + 1 :]) for width in widths]
    free = {str(i): range(x.ndim) for i, x in enumerate(xs)}
    return Case(Concat(axis), {str(i): x for i, x in enumerate(xs)}, torch.cat(xs, axis), free)


@st.composite
def pad(draw: Draw) -> Case:
    mode = draw(st.sampled_from(("constant", "constant", "reflect", "replicate", "circular")))
    x = tensor(draw, 2, 3, *several(draw, integers(draw, 1, 3), 3, 5))
    least = -1 if mode == "constant" else 0
    spatial = tuple(zip(several(draw, x.ndim - 2, least, 2), several(draw, x.ndim - 2, least, 2), strict=True))
    if mode != "constant":
        op = Pad(((0, 0), (0, 0), *spatial), mode)
        return Case(op, {"x": x}, F.pad(x, flat(spatial), mode), {"x": range(x.ndim)})
    kind = draw(st.sampled_from(("none", "scalar", "channels")))
    first = ((1, 2), (0, 0) if kind == "channels" else (2, 0))
    shape = {"none": None, "scalar": (), "channels": (3,)}[kind]
    value = torch.tensor(0.0) if shape is None else tensor(draw, *shape)
    shift = value.reshape(-1, *[1] * (x.ndim - 2)) if kind == "channels" else value
    inside = F.pad(torch.ones_like(x), flat((*first, *spatial))) > 0
    expected = torch.where(inside, F.pad(x, flat((*first, *spatial))), shift)
    operands = {"x": x} if shape is None else {"x": x, "value": value}
    free = [0, *range(2, x.ndim)] if kind == "channels" else range(x.ndim)
    return Case(Pad((*first, *spatial)), operands, expected, {"x": free})


@st.composite
def reduce(draw: Draw) -> Case:
    x = tensor(draw, *several(draw, integers(draw, 1, 4), 1, 4))
    axes = tuple(axis for axis in range(x.ndim) if flag(draw))
    kinds = ("sum", "mean", "norm", "max", "min", "var") if axes else ("sum", "mean", "norm", "max", "min")
    kind, keep = draw(st.sampled_from(kinds)), flag(draw)
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    rows = x.permute(*kept, *axes).reshape(*(x.shape[axis] for axis in kept), -1)
    correction = integers(draw, 0, rows.shape[-1] - 1) if kind == "var" else 0
    expected = {
        "sum": rows.sum(-1),
        "mean": rows.mean(-1),
        "norm": (rows**2).sum(-1).sqrt(),
        "max": rows.sort(-1).values[..., -1],
        "min": rows.sort(-1).values[..., 0],
        "var": ((rows - rows.mean(-1, keepdim=True)) ** 2).sum(-1) / (rows.shape[-1] - correction),
    }[kind]
    if keep:
        expected = expected.reshape([1 if axis in axes else size for axis, size in enumerate(x.shape)])
    return Case(Reduce(kind, axes, keep, correction), {"x": x}, expected, {"x": range(x.ndim)})


@st.composite
def fill(draw: Draw) -> Case:
    shape, value = several(draw, integers(draw, 0, 3), 0, 4), draw(st.fractions(-3, 3, max_denominator=10**6))
    return Case(Fill(shape, value), {}, torch.tensor([float(value)] * prod(shape), dtype=torch.float64).reshape(shape))


@st.composite
def constant(draw: Draw) -> Case:
    shape = several(draw, integers(draw, 0, 3), 1, 4)
    values = draw(st.lists(st.fractions(-3, 3, max_denominator=10**6), min_size=prod(shape), max_size=prod(shape)))
    expected = torch.tensor([float(value) for value in values], dtype=torch.float64).reshape(shape)
    return Case(Constant(shape, tuple(values)), {}, expected)


@st.composite
def random(draw: Draw) -> Case:
    shape, low = several(draw, integers(draw, 0, 3), 0, 4), float(draw(st.fractions(-2, 0)))
    made, seeded = torch.empty(shape, dtype=torch.float64), torch.Generator().manual_seed(0)
    if flag(draw):
        return Case(Random("uniform", shape, low, 1.5), {}, made.uniform_(low, 1.5, generator=seeded))
    return Case(Random("normal", shape, low, 1.5), {}, made.normal_(low, 1.5, generator=seeded))


CASES = {
    Reshape: reshape(),
    Permute: permute(),
    Expand: expand(),
    Slice: slice_(),
    Concat: concat(),
    Pad: pad(),
    Reduce: reduce(),
    Fill: fill(),
    Constant: constant(),
    Eye: st.integers(1, 6).map(lambda n: Case(Eye(n), {}, torch.eye(n, dtype=torch.float64))),
    Random: random(),
}
