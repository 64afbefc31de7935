"""Operators whose weights a class of `torch.nn` can hold.

A real `nn.Conv2d` prints, converts, quantises and takes hooks as people expect; a bare tensor does not.  So every
operator whose weights stand alone under one path, with PyTorch's names, gets its class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, TypeAlias

from torch import nn

from repc.backends.torch.lowerings.linear import conv_input, conv_padding
from repc.backends.torch.text import Literal, compact, literal
from repc.ir.operator import Operator
from repc.ir.types import TensorType
from repc.ops.conv import Conv, ConvTranspose
from repc.ops.function import PRelu
from repc.ops.linear import Linear
from repc.ops.norm import BatchNorm, GroupNorm, LayerNorm, RMSNorm

Types: TypeAlias = Mapping[str, TensorType]


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """``nn.kind(arguments)``, the arguments by name in the order of its constructor."""

    kind: str
    arguments: Mapping[str, Literal]

    def make(self) -> nn.Module:
        return getattr(nn, self.kind)(**self.arguments)


def layer_of(op: Operator, types: Types) -> Layer | None:
    """The class for an operator with operands of these types, or None where none fits."""
    make = LAYERS.get(type(op))
    return make(op, types) if make else None


def layer_call(op: Operator, layer: str, x: str) -> str:
    """The call of the layer that holds the operator's weights."""
    return f"{layer}({conv_input(op, x) if isinstance(op, Conv) else x})"


def constructor(kind: str, arguments: Mapping[str, str]) -> list[str]:
    """Arguments of a layer's constructor as a person writes them: the obvious ones by place, no defaults."""
    shown: list[str] = []
    for name, parameter in signature(getattr(nn, kind)).parameters.items():
        if parameter.default is Parameter.empty:
            shown.append(arguments[name])
        elif name in arguments and arguments[name] != literal(parameter.default):
            shown.append(f"{name}={arguments[name]}")
    return shown


def _conv(op: Conv, types: Types) -> Layer:
    out, per_group, *kernel = types["weight"].concrete()
    arguments = {
        "in_channels": per_group * op.groups,
        "out_channels": out,
        "kernel_size": compact(kernel),
        "stride": compact(op.stride),
        "padding": compact(conv_padding(op)),
        "dilation": compact(op.dilation),
        "groups": op.groups,
        "bias": "bias" in types,
    }
    return Layer(f"Conv{len(kernel)}d", arguments)


def _conv_transpose(op: ConvTranspose, types: Types) -> Layer | None:
    if any(before != after for before, after in op.padding):
        return None
    channels, per_group, *kernel = types["weight"].concrete()
    arguments = {
        "in_channels": channels,
        "out_channels": per_group * op.groups,
        "kernel_size": compact(kernel),
        "stride": compact(op.stride),
        "padding": compact([before for before, _ in op.padding]),
        "output_padding": compact(op.output_padding),
        "groups": op.groups,
        "bias": "bias" in types,
        "dilation": compact(op.dilation),
    }
    return Layer(f"ConvTranspose{len(kernel)}d", arguments)


def _linear(op: Linear, types: Types) -> Layer:
    out, features = types["weight"].concrete()
    return Layer("Linear", {"in_features": features, "out_features": out, "bias": "bias" in types})


def _batch_norm(op: BatchNorm, types: Types) -> Layer | None:
    """All of an affine pair or nothing of it, and so the statistics: the class knows no other combination."""
    affine = {"weight", "bias"} & set(types)
    statistics = {"running_mean", "running_var", "num_batches_tracked"} & set(types)
    rank = types["x"].rank
    channels = types["x"].shape[1]
    if len(affine) == 1 or len(statistics) in (1, 2) or rank > 5 or not isinstance(channels, int):
        return None
    arguments = {
        "num_features": channels,
        "eps": float(op.eps),
        "momentum": op.momentum,
        "affine": bool(affine),
        "track_running_stats": bool(statistics),
    }
    return Layer(f"BatchNorm{max(rank - 2, 1)}d", arguments)


def _layer_norm(op: LayerNorm, types: Types) -> Layer | None:
    if "weight" not in types:
        return None
    shape = types["weight"].concrete()
    arguments = {"normalized_shape": _shape(shape), "eps": float(op.eps), "bias": "bias" in types}
    return Layer("LayerNorm", arguments)


def _group_norm(op: GroupNorm, types: Types) -> Layer | None:
    if not {"weight", "bias"} <= set(types):
        return None
    (channels,) = types["weight"].concrete()
    return Layer("GroupNorm", {"num_groups": op.groups, "num_channels": channels, "eps": float(op.eps)})


def _rms_norm(op: RMSNorm, types: Types) -> Layer | None:
    if "weight" not in types:
        return None
    return Layer("RMSNorm", {"normalized_shape": _shape(types["weight"].concrete()), "eps": float(op.eps)})


def _prelu(op: PRelu, types: Types) -> Layer:
    return Layer("PReLU", {"num_parameters": types["weight"].concrete()[0]})


def _shape(shape: tuple[int, ...]) -> Literal:
    return shape[0] if len(shape) == 1 else shape


LAYERS: dict[type[Operator], Callable[[Any, Types], Layer | None]] = {
    Conv: _conv,
    ConvTranspose: _conv_transpose,
    Linear: _linear,
    BatchNorm: _batch_norm,
    LayerNorm: _layer_norm,
    GroupNorm: _group_norm,
    RMSNorm: _rms_norm,
    PRelu: _prelu,
}
