"""Resizing.  Where ONNX and its runtimes do not agree about rounding, elements are gathered instead."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from repc.backends.onnx.emitter import ELEMENTS, Emitter, Value
from repc.ir.dims import Dim
from repc.ops.resample import CUBIC, Upsample, nearest


def upsample(e: Emitter, op: Upsample, given: Mapping[str, Value]) -> str:
    """Resize; repetition to a size that is no whole multiple is a Gather along each axis."""
    x = given["x"]
    spatial = x.type.shape[2:]
    factors = op.whole_factors(spatial)
    if op.mode == "nearest" and not (factors or op.scale):
        return _repeated(e, op, x)
    how: dict[str, str | float] = {"mode": op.mode}
    if op.mode == "nearest":
        how |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        how["coordinate_transformation_mode"] = "align_corners" if op.align_corners else "half_pixel"
    if op.mode == "cubic":
        how["cubic_coeff_a"] = float(CUBIC)
    if factors or op.scale:
        scales = e.array(np.array([1, 1, *map(float, factors or op.scale)], np.float32))
        return e.add("Resize", x.name, "", scales, **how)
    return e.add("Resize", x.name, "", "", e.shape([*x.type.shape[:2], *op.size]), **how)


def _repeated(e: Emitter, op: Upsample, x: Value) -> str:
    result, spatial = x.name, x.type.shape[2:]
    for axis, (size, count) in enumerate(zip(spatial, op.size, strict=True), start=2):
        result = e.add("Gather", result, _places(e, size, count), axis=axis)
    return result


def _places(e: Emitter, size: Dim, count: Dim) -> str:
    """What each element repeats; for a free size the computation of `nearest`, in float32 too."""
    if isinstance(size, int) and isinstance(count, int):
        return e.ints(nearest(size, count))
    whole, real = ELEMENTS["i64"], ELEMENTS["f32"]
    old, new = e.shape([size]), e.shape([count])
    step = e.add("Div", e.add("Cast", old, to=real), e.add("Cast", new, to=real))
    numbers = e.add("Range", *(e.array(np.array(0)), e.add("Squeeze", new), e.array(np.array(1))))
    places = e.add("Floor", e.add("Mul", e.add("Cast", numbers, to=real), step))
    return e.add("Min", e.add("Cast", places, to=whole), e.add("Sub", old, e.ints([1])))
