"""Matrix products."""

from __future__ import annotations

from fractions import Fraction

from repc.importers.onnx.site import Site
from repc.importers.onnx.values import Operand
from repc.ir.node import NodeId
from repc.ops.arithmetic import Sum
from repc.ops.linear import Einsum, Linear, MatMul
from repc.ops.shape import Expand, Permute, Reshape


def gemm(site: Site) -> Operand:
    """Gemm: a linear layer where the right matrix is a weight and what is added a vector, else a product and a sum."""
    a = _turned(site, site[0]) if site.attribute("transA", 0) else site[0]
    alpha, beta = site.number("alpha", "1"), site.number("beta", "1")
    right, added, flipped = site[1], site.optional(2), site.attribute("transB", 0)
    if not isinstance(right, NodeId):
        weight = _scaled(site, right if flipped else _turned(site, right), alpha)
        bias = None if added is None else _vector(site, _scaled(site, added, beta), site.type(weight).shape[0])
        if added is None or bias is not None:
            return site.add(Linear(), x=a, weight=weight, bias=bias)
    product = site.add(MatMul(), a=a, b=_turned(site, right) if flipped else right)
    if added is None:
        return _scaled(site, product, alpha)
    return site.add_all(Sum((alpha, beta)), [product, added])


def matmul(site: Site) -> Operand:
    """MatMul."""
    return site.add(MatMul(), a=site[0], b=site[1])


def einsum(site: Site) -> Operand:
    """Einsum over two operands."""
    left, right = site.all()
    return site.add(Einsum(site.attribute("equation")), a=left, b=right)


def _turned(site: Site, x: Operand) -> Operand:
    return site.add(Permute((1, 0)), x=x)


def _scaled(site: Site, x: Operand, factor: Fraction) -> Operand:
    return x if factor == 1 else site.add_all(Sum((factor,)), [x])


def _vector(site: Site, added: Operand, size: object) -> Operand | None:
    """A weight that is added to each row of a matrix, as a vector; None where it is none."""
    shape = site.type(added).shape
    if isinstance(added, NodeId) or any(extent != 1 for extent in shape[:-1]) or not isinstance(size, int):
        return None
    if shape == (size,):
        return added
    flat = site.add(Reshape(shape[-1:]), x=added)
    return flat if shape[-1:] == (size,) else site.add(Expand((size,)), x=flat)
