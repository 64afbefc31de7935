"""What a target asks of a compile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias, Union

from repc.diagnostics import Span

BACKENDS = ("onnx", "torch", "source")
OBJECTIVES = ("default", "operators", "macs", "size")


@dataclass(frozen=True, slots=True)
class Expectation:
    """``Conv == 22``: how many operators of a kind (in ONNX's names) may remain."""

    operator: str
    comparison: str
    count: int
    span: Span


@dataclass(frozen=True, slots=True)
class Override:
    """Another objective for the sites below a path pattern."""

    pattern: str
    objective: str


Bound: TypeAlias = Union[int, Fraction, "tuple[Bound, ...]"]
"""What an input is pinned to: a number, or a list of such."""


@dataclass(frozen=True, slots=True)
class Target:
    """A named way to deploy a model.

    `keep` lists path patterns that folding leaves alone.  `objective` says what a fold may cost: "default" never makes
    multiply-adds or bytes dearer, "operators" wants few operators.  `opset` applies to ONNX, None is the default.
    `bind` pins inputs.  `facts` lets folding rely on what is true of the weights at hand, and of others perhaps not.
    `border_maps` lets it add a constant of the size of a value, where pinned sizes allow.
    """

    name: str
    backend: str
    expect: tuple[Expectation, ...] = ()
    keep: tuple[str, ...] = ()
    objective: str = "default"
    overrides: tuple[Override, ...] = ()
    opset: int | None = None
    span: Span | None = None
    bind: Mapping[str, Bound] = field(default_factory=dict[str, Bound])
    facts: bool = False
    border_maps: bool = False
