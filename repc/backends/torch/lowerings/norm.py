"""Normalisations: those over statistics of the data, and batch norm in its two modes."""

from __future__ import annotations

from repc.backends.torch.text import Given, Value, call, literal, texts
from repc.ops.norm import BatchNorm, GroupNorm, LayerNorm, RMSNorm


def batch_norm(op: BatchNorm, given: Given) -> str:
    """In evaluation; without running statistics those of the batch are used in evaluation too."""
    if "running_mean" in given:
        operands = texts(given, "x", "running_mean", "running_var", "weight", "bias")
        return call("F.batch_norm", *operands, eps=float(op.eps))
    operands = (given["x"].text, "None", "None", *texts(given, "weight", "bias"))
    return call("F.batch_norm", *operands, training=True, eps=float(op.eps))


def batch_norm_training(op: BatchNorm, given: Given, training: str) -> str:
    """With updates of the running statistics, by a function that the training module provides."""
    if "running_mean" not in given:
        return batch_norm(op, given)
    operands = texts(given, "x", "running_mean", "running_var", "num_batches_tracked", "weight", "bias")
    attributes = (training, literal(op.momentum), literal(float(op.eps)))
    return call("batch_norm", *attributes, *operands)


def layer_norm(op: LayerNorm, given: Given) -> str:
    """Over the sizes of the last axes, known or not."""
    weights = texts(given, "weight", "bias")
    return call("F.layer_norm", given["x"].text, _trailing(given["x"], op.axes), *weights, eps=float(op.eps))


def group_norm(op: GroupNorm, given: Given) -> str:
    """``F.group_norm(x, groups, weight, bias)``"""
    return call("F.group_norm", given["x"].text, str(op.groups), *texts(given, "weight", "bias"), eps=float(op.eps))


def rms_norm(op: RMSNorm, given: Given) -> str:
    """Over the sizes of the last axes, known or not."""
    shape = _trailing(given["x"], op.axes)
    return call("F.rms_norm", given["x"].text, shape, *texts(given, "weight"), eps=float(op.eps))


def _trailing(x: Value, axes: int) -> str:
    sizes = x.type.shape[-axes:]
    known = tuple(size for size in sizes if isinstance(size, int))
    return literal(known) if len(known) == axes else f"{x.text}.shape[-{axes}:]"
