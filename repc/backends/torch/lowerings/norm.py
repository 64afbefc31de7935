"""Normalisations: those over statistics of the data, and batch norm in its two modes."""

from __future__ import annotations

from repc.backends.torch.text import Given, Value, call, literal, text_of
from repc.ops.norm import BatchNorm, GroupNorm, LayerNorm, RMSNorm


def batch_norm(op: BatchNorm, given: Given) -> str:
    """In evaluation; without running statistics those of the batch are used in evaluation too."""
    return call(
        "F.batch_norm",
        given["x"].text,
        text_of(given, "running_mean"),
        text_of(given, "running_var"),
        text_of(given, "weight"),
        text_of(given, "bias"),
        training=None if "running_mean" in given else True,
        eps=float(op.eps),
    )


def batch_norm_training(op: BatchNorm, given: Given, training: str) -> str:
    """With updates of the running statistics, by a function that the training module provides."""
    if "running_mean" not in given:
        return batch_norm(op, given)
    return call(
        "batch_norm",
        given["x"].text,
        given["running_mean"].text,
        given["running_var"].text,
        text_of(given, "num_batches_tracked"),
        text_of(given, "weight"),
        text_of(given, "bias"),
        training,
        literal(op.momentum),
        literal(float(op.eps)),
    )


def layer_norm(op: LayerNorm, given: Given) -> str:
    shape = _trailing(given["x"], op.axes)
    return call(
        "F.layer_norm", given["x"].text, shape, text_of(given, "weight"), text_of(given, "bias"), eps=float(op.eps)
    )


def group_norm(op: GroupNorm, given: Given) -> str:
    groups = str(op.groups)
    return call(
        "F.group_norm", given["x"].text, groups, text_of(given, "weight"), text_of(given, "bias"), eps=float(op.eps)
    )


def rms_norm(op: RMSNorm, given: Given) -> str:
    shape = _trailing(given["x"], op.axes)
    return call("F.rms_norm", given["x"].text, shape, text_of(given, "weight"), eps=float(op.eps))


def _trailing(x: Value, axes: int) -> str:
    sizes = x.type.shape[-axes:]
    known = tuple(size for size in sizes if isinstance(size, int))
    return literal(known) if len(known) == axes else f"{x.text}.shape[-{axes}:]"
