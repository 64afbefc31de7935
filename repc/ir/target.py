"""What a target asks of a compile."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Target:
    """A named way to deploy a model.

    `keep` lists path patterns that folding leaves alone.  `objective` says what a fold may cost: "default" never makes
    multiply-adds or bytes dearer, "operators" wants few operators.  `opset` applies to ONNX, None is the default.
    """

    name: str
    backend: str
    expect: tuple[Expectation, ...] = ()
    keep: tuple[str, ...] = ()
    objective: str = "default"
    overrides: tuple[Override, ...] = ()
    opset: int | None = None
    span: Span | None = None
