"""Matrix products."""

from __future__ import annotations

from collections.abc import Mapping

from repc.backends.onnx.emitter import Emitter, Value
from repc.ops.attention import MASKED, Attention
from repc.ops.linear import Einsum, Linear, MatMul


def linear(e: Emitter, op: Linear, given: Mapping[str, Value]) -> str:
    """Gemm takes matrices only; other ranks are MatMul and Add.

    The transposition stays in the model, where every runtime folds it when it loads: so the initializers are the
    stored tensors, bit for bit.
    """
    x, weight, bias = given["x"], given["weight"], given.get("bias")
    if x.type.rank == 2:
        return e.add("Gemm", x.name, weight.name, *([bias.name] if bias else []), transB=1)
    product = e.add("MatMul", x.name, e.add("Transpose", weight.name, perm=[1, 0]))
    return e.add("Add", product, bias.name) if bias else product


def matmul(e: Emitter, op: MatMul, given: Mapping[str, Value]) -> str:
    """MatMul broadcasts as numpy does."""
    return e.add("MatMul", given["a"].name, given["b"].name)


def einsum(e: Emitter, op: Einsum, given: Mapping[str, Value]) -> str:
    """Einsum has the same notation."""
    return e.add("Einsum", given["a"].name, given["b"].name, equation=op.equation)


def attention(e: Emitter, op: Attention, given: Mapping[str, Value]) -> str:
    """Softmax between two matrix products, the form that every opset has and runtimes fuse."""
    q, k, v = (given[name] for name in op.required)
    rank = k.type.rank
    turned = e.add("Transpose", k.name, perm=[*range(rank - 2), rank - 1, rank - 2])
    scores = e.add("Mul", e.add("MatMul", q.name, turned), e.filled(q, op.scale))
    if "mask" in given:
        scores = e.add("Add", scores, given["mask"].name)
    if op.causal:
        future = e.add("Expand", e.filled(q, MASKED), e.shape([q.type.shape[-2], k.type.shape[-2]]))
        scores = e.add("Add", scores, e.add("Trilu", future, e.ints([1]), upper=1))
    return e.add("MatMul", e.add("Softmax", scores, axis=-1), v.name)
