"""Normalisations, with weights present and missing."""

from fractions import Fraction

import torch
from hypothesis import strategies as st
from torch.nn import functional as F

from repc.ops import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from tests.ops.cases.case import Case, Draw, flag, integers, optional, several, tensor

EPS = st.sampled_from((Fraction(1, 100000), Fraction(1, 1000), Fraction(1, 10)))


@st.composite
def batch_norm(draw: Draw) -> Case:
    eps, channels = draw(EPS), integers(draw, 1, 4)
    x = tensor(draw, 2, channels, *several(draw, integers(draw, 0, 3), 1, 4))
    operands = {"x": x, **optional(draw, "weight", channels), **optional(draw, "bias", channels)}
    if flag(draw):
        operands["running_mean"] = tensor(draw, channels)
        operands["running_var"] = tensor(draw, channels).abs()
        if flag(draw):
            operands["num_batches_tracked"] = torch.tensor(7)
    mean, var, weight, bias = (operands.get(name) for name in ("running_mean", "running_var", "weight", "bias"))
    expected = F.batch_norm(x, mean, var, weight, bias, training=mean is None, eps=float(eps))
    return Case(BatchNorm(eps), operands, expected, {"x": (0, *range(2, x.ndim))})


@st.composite
def layer_norm(draw: Draw) -> Case:
    eps, axes = draw(EPS), integers(draw, 1, 3)
    leading, shape = several(draw, integers(draw, 0, 2), 1, 3), several(draw, axes, 1, 4)
    x = tensor(draw, *leading, *shape)
    weights = {**optional(draw, "weight", *shape), **optional(draw, "bias", *shape)}
    expected = F.layer_norm(x, shape, weights.get("weight"), weights.get("bias"), float(eps))
    return Case(LayerNorm(axes, eps), {"x": x, **weights}, expected, {"x": range(len(leading))})


@st.composite
def group_norm(draw: Draw) -> Case:
    eps, groups, each = draw(EPS), integers(draw, 1, 3), integers(draw, 1, 3)
    channels = groups * each
    x = tensor(draw, 2, channels, *several(draw, integers(draw, 0, 3), 1, 4))
    weights = {**optional(draw, "weight", channels), **optional(draw, "bias", channels)}
    shape = (2, groups, -1)
    grouped = x.reshape(shape)
    variance = grouped.var(2, unbiased=False, keepdim=True)
    expected = ((grouped - grouped.mean(2, keepdim=True)) / (variance + float(eps)).sqrt()).reshape(x.shape)
    along = (channels, *[1] * (x.ndim - 2))
    expected = expected * weights.get("weight", torch.ones(channels)).reshape(along)
    expected = expected + weights.get("bias", torch.zeros(channels)).reshape(along)
    return Case(GroupNorm(groups, eps), {"x": x, **weights}, expected, {"x": (0, *range(2, x.ndim))})


@st.composite
def rms_norm(draw: Draw) -> Case:
    eps, axes = draw(EPS), integers(draw, 1, 3)
    leading, shape = several(draw, integers(draw, 0, 2), 1, 3), several(draw, axes, 1, 4)
    x, weights = tensor(draw, *leading, *shape), optional(draw, "weight", *shape)
    expected = F.rms_norm(x, shape, weights.get("weight"), float(eps))
    return Case(RMSNorm(axes, eps), {"x": x, **weights}, expected, {"x": range(len(leading))})


CASES = {BatchNorm: batch_norm(), LayerNorm: layer_norm(), GroupNorm: group_norm(), RMSNorm: rms_norm()}
