"""Resizing of the spatial axes."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from repc.importers.onnx.site import Site
from repc.importers.onnx.values import Misfit, Operand
from repc.ir.dims import Dim, divide, least
from repc.ops.resample import Upsample

PIXELS = ("half_pixel", "pytorch_half_pixel")


def resize(site: Site) -> Operand:
    """Resize by scales, or to sizes."""
    if site.opset < 11:
        return upsample(site)
    site.only(antialias=0, axes=None, exclude_outside=0, keep_aspect_ratio_policy="stretch", cubic_coeff_a=-0.75)
    mode, places = site.attribute("mode", "nearest"), site.attribute("coordinate_transformation_mode", "half_pixel")
    factors = _divided(site.dims(3), site.shape(0)) if site.has(3) else _scales(site, 2)
    if mode == "nearest":
        return _nearest(site, factors, places)
    if places not in (*PIXELS, "align_corners"):
        raise Misfit(f"its coordinates are {places}")
    corners = places == "align_corners"
    if None not in factors and (not site.has(3) or _whole(factors)):
        result = _upsampled(site, [factor or Fraction(0) for factor in factors], mode, align_corners=corners)
    elif site.dims(3)[:2] == site.shape(0)[:2]:
        result = site.add(Upsample((), mode, corners, site.dims(3)[2:]), x=site[0])
    else:
        raise Misfit("it changes more than spatial axes")
    # The two modes of half pixels differ where a single element is left, which torch takes from the middle.
    if places == "pytorch_half_pixel" and any((least(size) or 0) < 2 for size in site.type(result).shape[2:]):
        raise Misfit("it may leave a single element, which its coordinates take from the edge")
    return result


def upsample(site: Site) -> Operand:
    """Upsample, and Resize before opset 11, by nearest neighbours; their linear mode has coordinates of its own."""
    site.only(mode="nearest")
    if site.opset < 9:
        raise Misfit("of an opset before 9")
    return _nearest(site, _scales(site, 1), "asymmetric", floors=True)


def _nearest(site: Site, factors: Sequence[Fraction | None], places: str, *, floors: bool = False) -> Operand:
    """By whole factors, where all roundings but one agree; other factors depend on how a runtime rounds."""
    floors = floors or site.attribute("nearest_mode", "round_prefer_floor") == "floor"
    if places not in PIXELS and not (places == "asymmetric" and floors):
        raise Misfit(f"its coordinates are {places}")
    if not _whole(factors):
        raise Misfit("its factors are not whole")
    return _upsampled(site, [factor or Fraction(0) for factor in factors], "nearest", align_corners=False)


def _upsampled(site: Site, factors: Sequence[Fraction], mode: str, *, align_corners: bool) -> Operand:
    if list(factors[:2]) != [1, 1]:
        raise Misfit("it changes more than spatial axes")
    if all(factor == 1 for factor in factors):
        return site[0]
    return site.add(Upsample(tuple(factors[2:]), mode, align_corners), x=site[0])


def _whole(factors: Sequence[Fraction | None]) -> bool:
    return all(factor is not None and factor >= 1 and factor.denominator == 1 for factor in factors)


def _scales(site: Site, index: int) -> list[Fraction | None]:
    return [Fraction(float(scale)) for scale in site.constant(index).flat]


def _divided(wanted: Sequence[Dim], given: Sequence[Dim]) -> list[Fraction | None]:
    """By how much each axis grows, where that is a whole number whatever the free sizes are."""
    factors = [divide(size, before) for size, before in zip(wanted, given, strict=True)]
    return [Fraction(factor) if isinstance(factor, int) else None for factor in factors]
