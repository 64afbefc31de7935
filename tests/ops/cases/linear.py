"""Matrix products."""

import torch
from hypothesis import strategies as st
from torch.nn import functional as F

from repc.ops import Einsum, Linear, MatMul
from tests.ops.cases.case import Case, Draw, integers, optional, several, tensor


@st.composite
def linear(draw: Draw) -> Case:
    leading, (out, features) = several(draw, integers(draw, 0, 3), 1, 3), several(draw, 2, 1, 5)
    x, weight = tensor(draw, *leading, features), tensor(draw, out, features)
    bias = optional(draw, "bias", out)
    operands = {"x": x, "weight": weight, **bias}
    return Case(Linear(), operands, F.linear(x, weight, bias.get("bias")), {"x": range(len(leading))})


@st.composite
def matmul(draw: Draw) -> Case:
    rows, inner, columns = several(draw, 3, 1, 4)
    left, right = draw(st.sampled_from((((), ()), ((3,), ()), ((), (2,)), ((2, 3), (1, 3)), ((2, 1), (3,)))))
    vectors = draw(st.sampled_from(("none", "none", "a", "b", "both")))
    a = tensor(draw, inner) if vectors in ("a", "both") else tensor(draw, *left, rows, inner)
    b = tensor(draw, inner) if vectors in ("b", "both") else tensor(draw, *right, inner, columns)
    return Case(MatMul(), {"a": a, "b": b}, a @ b, {"a": range(a.ndim), "b": range(b.ndim)})


@st.composite
def einsum(draw: Draw) -> Case:
    letters = "abcdef"[: integers(draw, 1, 6)]
    places = [draw(st.sampled_from(("a", "b", "ab", "ar", "br", "abr"))) for _ in letters]
    sizes = dict(zip(letters, several(draw, len(letters), 1, 3), strict=True))
    left, right, result = (
        "".join(draw(st.permutations([x for x, place in zip(letters, places, strict=True) if where in place])))
        for where in "abr"
    )
    a, b = (tensor(draw, *(sizes[x] for x in part)) for part in (left, right))
    equation = f"{left},{right}->{result}"
    free = {"a": range(a.ndim), "b": range(b.ndim)}
    return Case(Einsum(equation), {"a": a, "b": b}, torch.einsum(equation, a, b), free)


CASES = {Linear: linear(), MatMul: matmul(), Einsum: einsum()}
