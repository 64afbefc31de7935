"""Normalizations and dropout."""

from __future__ import annotations

from repc.importers.onnx.site import Site
from repc.importers.onnx.values import Misfit, Operand
from repc.ops.norm import BatchNorm, GroupNorm, LayerNorm, RMSNorm


def batch_norm(site: Site) -> Operand:
    """BatchNormalization in inference; ONNX's momentum is what the running statistics keep."""
    if site.opset < 7:
        raise Misfit("of an opset before 7, whose mode depends on is_test")
    site.only(training_mode=0, spatial=1)
    names = ("weight", "bias", "running_mean", "running_var")
    weights = {name: site[index] for index, name in enumerate(names, start=1)}
    op = BatchNorm(site.number("epsilon", "1e-5"), float(1 - site.number("momentum", "0.9")))
    return site.add(op, x=site[0], **weights)


def layer_norm(site: Site) -> Operand:
    """LayerNormalization over the axes from `axis` on."""
    x = site[0]
    rank = site.type(x).rank
    op = LayerNorm(rank - site.axis(-1, rank), site.number("epsilon", "1e-5"))
    return site.add(op, x=x, weight=site[1], bias=site.optional(2))


def rms_norm(site: Site) -> Operand:
    """RMSNormalization over the axes from `axis` on."""
    x = site[0]
    rank = site.type(x).rank
    return site.add(RMSNorm(rank - site.axis(-1, rank), site.number("epsilon", "1e-5")), x=x, weight=site[1])


def instance_norm(site: Site) -> Operand:
    """InstanceNormalization: every channel is a group."""
    (channels,) = site.type(site[1]).concrete()
    op = GroupNorm(channels, site.number("epsilon", "1e-5"))
    return site.add(op, x=site[0], weight=site[1], bias=site[2])


def group_norm(site: Site) -> Operand:
    """GroupNormalization; its form before opset 21 was taken back."""
    op = GroupNorm(site.attribute("num_groups"), site.number("epsilon", "1e-5"))
    return site.add(op, x=site[0], weight=site[1], bias=site[2])


def dropout(site: Site) -> Operand:
    """Dropout in inference, which is the identity."""
    if site.has(2) and bool(site.constant(2)):
        raise Misfit("it is in training mode")
    return site[0]
