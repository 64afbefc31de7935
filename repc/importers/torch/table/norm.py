"""Normalisations."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from repc.importers.torch.site import Site, Unknown, Value, exact
from repc.ir.dims import Dim
from repc.ops import BatchNorm, GroupNorm, LayerNorm, RMSNorm


def batch_norm(
    at: Site,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    mean: Value | None,
    var: Value | None,
    training: bool,
    momentum: float,
    eps: float,
    *rest: object,
) -> Value:
    """By running statistics, or without them by those of the batch."""
    op = BatchNorm(exact(eps), momentum)
    if training:
        if mean is not None:
            raise Unknown("batch norm that updates its running statistics")
        return at.add(op, x=x, weight=weight, bias=bias)
    if mean is None or var is None:
        raise Unknown("batch norm without statistics")
    return at.add(op, x=x, weight=weight, bias=bias, running_mean=mean, running_var=var)


def native_batch_norm(
    at: Site,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    mean: Value,
    var: Value,
    momentum: float,
    eps: float,
) -> list[Value]:
    """The form of a decomposed program, in evaluation; nobody reads its further results."""
    return [batch_norm(at, x, weight, bias, mean, var, False, momentum, eps)]


def layer_norm(
    at: Site, x: Value, shape: Sequence[Dim], weight: Value | None, bias: Value | None, eps: float, *rest: object
) -> Value:
    """``F.layer_norm``"""
    return at.add(LayerNorm(len(shape), exact(eps)), x=x, weight=weight, bias=bias)


def rms_norm(at: Site, x: Value, shape: Sequence[Dim], weight: Value | None, eps: float | None) -> Value:
    """``F.rms_norm``; an eps that is not given is that of the element type, of which halves have none of their own."""
    if eps is None:
        if x.type.dtype != "f32" or at.compute not in (torch.float32, torch.float64):
            raise Unknown("rms_norm whose eps depends on the element type")
        eps = torch.finfo(at.compute).eps
    return at.add(RMSNorm(len(shape), exact(eps)), x=x, weight=weight)


def group_norm(
    at: Site, x: Value, groups: int, weight: Value | None, bias: Value | None, eps: float, *rest: object
) -> Value:
    """``F.group_norm``"""
    return at.add(GroupNorm(groups, exact(eps)), x=x, weight=weight, bias=bias)


def instance_norm(
    at: Site,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    mean: Value | None,
    var: Value | None,
    by_input: bool,
    momentum: float,
    eps: float,
    *rest: object,
) -> Value:
    """By the statistics of each channel: a group norm with one channel in each group; else a batch norm."""
    channels = x.type.shape[1]
    if not by_input:
        return batch_norm(at, x, weight, bias, mean, var, False, momentum, eps)
    if not isinstance(channels, int):
        raise Unknown("a free number of channels")
    return at.add(GroupNorm(channels, exact(eps)), x=x, weight=weight, bias=bias)
