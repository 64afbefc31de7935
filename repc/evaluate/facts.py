"""Facts about weights, made true of random ones.

A fact speaks of a value that is computed from parameters.  Which parameter to change, and where, is found by changing
all elements of one differently and looking at what that does: the smallest parameters first, since a vector is what a
person would have set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

import torch
from torch import Tensor

from repc.evaluate.expressions import evaluate
from repc.evaluate.prime import P, PrimeField
from repc.ir.expr import parameters
from repc.ir.trace import Fact

TRIES = 40  # of steps, every second of which a relu hides


def impose(fact: Fact, field: PrimeField, drawn: dict[str, Tensor]) -> None:
    """Change what was drawn so that a fact holds, if one parameter can do that."""
    value = _value(fact, field, drawn)
    for path in _smallest_first(fact, drawn):
        changed = _rescaled(fact, field, drawn, path, value)
        if changed is None and fact.kind == "zero":
            changed = _shifted(fact, field, drawn, path, value)
        if changed is not None:
            drawn[path] = changed
            return


def _rescaled(fact: Fact, field: PrimeField, drawn: Mapping[str, Tensor], path: str, value: Tensor) -> Tensor | None:
    """The parameter, where each element that matters is a factor of one of the value, with zeros or other signs."""
    scale = field.mul(*[_steps(drawn[path])] * 2)
    scale = field.mul(scale, field.draw_positive((), f"scale {path}"))
    scaled = _value(fact, field, {**drawn, path: field.mul(drawn[path], scale)})
    factors = _places(scale)
    # An element that is zero however its factors are drawn has none to find.
    signs = [(ratio, sign) for ratio, sign in _pairs(field.div(scaled, value), field.sign(value)) if sign]
    changed = drawn[path].flatten().clone()
    for ratio, sign in signs:
        if ratio not in factors:
            return None
        if fact.kind == "zero" or sign < 0:
            changed[factors[ratio]] *= 0 if fact.kind == "zero" else -1
    return changed.reshape(drawn[path].shape)


def _shifted(fact: Fact, field: PrimeField, drawn: Mapping[str, Tensor], path: str, value: Tensor) -> Tensor | None:
    """The parameter, where each element that matters is in a term of one of the value, with as much less of it.

    Steps and their squares tell the element, by their ratio, and its coefficient.  The value may be the positive part
    of such a sum, which hides every second step.
    """
    steps, flat = _steps(drawn[path]), drawn[path].flatten()
    known, changed = _places(steps), flat.clone()
    left = {i for i, part in enumerate(value) if part != 0}
    for factor in range(1, TRIES + 1):
        small = field.mul(steps, field.fill((), Fraction(factor)))
        moved = [
            field.sub(_value(fact, field, {**drawn, path: field.add(drawn[path], step)}), value)
            for step in (small, field.mul(small, steps))
        ]
        ratios = field.div(moved[1], moved[0])
        for i in sorted(left):
            place = known.get(float(ratios[i]))
            if place is not None and float(field.add(moved[0][i], value[i])) != 0:
                excess = field.div(field.mul(value[i], small.flatten()[place]), moved[0][i])
                changed[place] = field.sub(flat[place], excess)
                left.remove(i)
        if not left:
            break
    made = changed.reshape(drawn[path].shape)
    return None if _value(fact, field, {**drawn, path: made}).any() else made


def _value(fact: Fact, field: PrimeField, drawn: Mapping[str, Tensor]) -> Tensor:
    return evaluate({"": fact.expr}, field, drawn)[""].flatten()


def _smallest_first(fact: Fact, drawn: Mapping[str, Tensor]) -> list[str]:
    """The parameters whose elements can be told apart."""
    paths = [path for path in parameters([fact.expr]) if drawn[path].numel() < P // 2]
    return sorted(paths, key=lambda path: drawn[path].numel())


def _steps(like: Tensor) -> Tensor:
    return torch.arange(1, like.numel() + 1, dtype=torch.float64).reshape(like.shape)


def _places(values: Tensor) -> dict[float, int]:
    return {value: i for i, value in enumerate(map(float, values.flatten()))}


def _pairs(a: Tensor, b: Tensor) -> Iterator[tuple[float, float]]:
    return zip(map(float, a), map(float, b), strict=True)
