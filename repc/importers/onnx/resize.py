"""Resizing by whole factors."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from repc.importers.onnx.site import Site
from repc.importers.onnx.values import Misfit, Operand
from repc.ir.dims import Dim, divide
from repc.ops.shape import Upsample


def resize(site: Site) -> Operand:
    """Resize; with a whole factor the rounding of nearest neighbours makes a difference in one of the modes only."""
    if site.opset < 11:
        return upsample(site)
    site.only(antialias=0, axes=None, exclude_outside=0, keep_aspect_ratio_policy="stretch")
    mode = site.attribute("mode", "nearest")
    places = site.attribute("coordinate_transformation_mode", "half_pixel")
    if mode not in ("nearest", "linear"):
        raise Misfit(f"its mode is {mode}")
    pixels = places in ("half_pixel", "pytorch_half_pixel")
    floors = places == "asymmetric" and site.attribute("nearest_mode", "round_prefer_floor") == "floor"
    corners = mode == "linear" and places == "align_corners"
    if not (pixels or corners or (mode == "nearest" and floors)):
        raise Misfit(f"its coordinates are {places}")
    sizes = site.type(site[0]).shape
    factors = _divided(site.dims(3), sizes) if site.has(3) else _scales(site, 2)
    return _upsampled(site, factors, mode, align_corners=corners)


def upsample(site: Site) -> Operand:
    """Upsample, and Resize before opset 11, by nearest neighbours; their linear mode has coordinates of its own."""
    site.only(mode="nearest")
    if site.opset < 9:
        raise Misfit("of an opset before 9")
    return _upsampled(site, _scales(site, 1), "nearest", align_corners=False)


def _upsampled(site: Site, factors: Sequence[Fraction], mode: str, *, align_corners: bool) -> Operand:
    x = site[0]
    if all(factor == 1 for factor in factors):
        return x
    whole = tuple(int(factor) for factor in factors[2:])
    if tuple(factors) != (1, 1, *whole):
        raise Misfit(f"its factors are {[str(factor) for factor in factors]}")
    return site.add(Upsample(whole, mode, align_corners), x=x)


def _scales(site: Site, index: int) -> list[Fraction]:
    return [Fraction(float(scale)) for scale in site.constant(index).flat]


def _divided(wanted: Sequence[Dim], given: Sequence[Dim]) -> list[Fraction]:
    factors = [divide(size, before) for size, before in zip(wanted, given, strict=True)]
    if not all(isinstance(factor, int) for factor in factors):
        raise Misfit(f"it goes from {[str(size) for size in given]} to {[str(size) for size in wanted]}")
    return [Fraction(str(factor)) for factor in factors]
