"""Nonlinearities."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from repc.importers.onnx.site import Site
from repc.importers.onnx.values import Misfit, Operand
from repc.ir.types import ShapeError
from repc.ops.binary import Binary
from repc.ops.function import Function, LogSoftmax, PRelu, Softmax
from repc.ops.shape import Reshape


def function(name: str, **attributes: str) -> Callable[[Site], Operand]:
    """A function that repc has under another name; `attributes` are ONNX's names of its constants, with defaults."""

    def meaning(site: Site) -> Operand:
        values = tuple(site.number(attribute, default) for attribute, default in attributes.items())
        return site.add(Function(name, values), x=site[0])

    return meaning


def selu(site: Site) -> Operand:
    """Selu with the constants that give it its name."""
    if np.float32(site.number("alpha", "1.6732632")) != np.float32(1.6732632) or np.float32(
        site.number("gamma", "1.050701")
    ) != np.float32(1.050701):
        raise Misfit("alpha and gamma are not those of a self-normalizing network")
    return site.add(Function("selu"), x=site[0])


def hard_sigmoid(site: Site) -> Operand:
    """HardSigmoid with a slope of 1/6, as torch has it."""
    slope, middle = site.number("alpha", "0.2"), site.number("beta", "0.5")
    if np.float32(slope) != np.float32(1 / 6) or middle != Fraction(1, 2):
        raise Misfit(f"alpha is {float(slope)} and beta is {float(middle)}, not 1/6 and 1/2")
    return site.add(Function("hardsigmoid"), x=site[0])


def gelu(site: Site) -> Operand:
    """Gelu, exact or by tanh."""
    return site.add(Function("gelu_tanh" if site.attribute("approximate", "none") == "tanh" else "gelu"), x=site[0])


def swish(site: Site) -> Operand:
    """Swish with a slope of one."""
    site.only(alpha=1.0)
    return site.add(Function("silu"), x=site[0])


def clip(site: Site) -> Operand:
    """Clip, of which either bound may be missing."""
    x, low, high = site[0], _bound(site, 1, "min"), _bound(site, 2, "max")
    if low is not None and high is not None:
        six = (low, high) == (0, 6)
        return site.add(Function("relu6") if six else Function("clip", (low, high)), x=x)
    if low == 0:
        return site.add(Function("relu"), x=x)
    if low is not None:
        return site.add(Binary("maximum"), a=x, b=site.fill(low, x))
    return x if high is None else site.add(Binary("minimum"), a=x, b=site.fill(high, x))


def _bound(site: Site, index: int, name: str) -> Fraction | None:
    """A bound: an input, or before opset 11 an attribute."""
    if site.has(index):
        (value,) = site.constant(index).flat
    else:
        value = site.attribute(name)
    return None if value is None or not np.isfinite(value) else Fraction(float(value))


def softmax(site: Site) -> Operand:
    """Softmax along one axis."""
    return site.add(Softmax(_softmax_axis(site)), x=site[0])


def log_softmax(site: Site) -> Operand:
    """LogSoftmax along one axis."""
    return site.add(LogSoftmax(_softmax_axis(site)), x=site[0])


def _softmax_axis(site: Site) -> int:
    """Before opset 13 it is over all axes from `axis` on, which is the same for the last one."""
    rank = site.type(site[0]).rank
    axis = site.axis(-1 if site.opset >= 13 else 1, rank)
    if site.opset < 13 and axis != rank - 1:
        raise Misfit("of an opset before 13, over several axes at once")
    return axis


def prelu(site: Site) -> Operand:
    """PRelu with one slope, or one for each channel."""
    x, slope = site[0], site[1]
    shape = site.type(slope).shape
    wide = [axis - len(shape) for axis, size in enumerate(shape) if size != 1]
    if len(wide) > 1 or (wide and site.type(x).rank + wide[0] != 1):
        raise ShapeError(f"the slopes are {site.type(slope)}", "weight")
    flat = (shape[wide[0]],) if wide else (1,)
    return site.add(PRelu(), x=x, weight=slope if shape == flat else site.add(Reshape(flat), x=slope))
