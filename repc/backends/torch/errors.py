"""What cannot be a torch module, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from repc.diagnostics import Diagnostic, Label, Span
from repc.ir.types import TensorType


def taken_name(path: str, name: str, span: Span | None) -> Diagnostic:
    """E721: a label that is an attribute of every torch module."""
    return Diagnostic(
        "E721",
        f"{path} cannot be stored in a torch module: {name!r} is an attribute that every module has",
        Label(span, "the name comes from here") if span else None,
        f"rename the label, for example to {name}_",
    )


def tensor_and_module(path: str, span: Span | None) -> Diagnostic:
    """E722: one path for a tensor and for what contains tensors."""
    return Diagnostic(
        "E722",
        f"{path} is a tensor and also contains tensors",
        Label(span, "declared here") if span else None,
        "give one of the two another name; a torch module keeps both under one attribute",
    )


def free_padding(mode: str, axis: int, x: TensorType) -> Diagnostic:
    """E723: padding that torch has no function for and that needs a known size otherwise."""
    return Diagnostic(
        "E723", f"torch cannot pad axis {axis} of {x} by mode {mode} while its size is free", help="pin that size"
    )


def onnx_only(nodes: Sequence[tuple[str, str, Span | None]]) -> Diagnostic:
    """E724: opaque operators that came from an ONNX file: all of them, with name, path and place."""
    return Diagnostic(
        "E724",
        f"torch has no form of the opaque operators {', '.join(dict.fromkeys(name for name, *_ in nodes))}",
        next((Label(span, "the first of them") for _, _, span in nodes if span), None),
        "deploy ONNX, which takes them as they are",
        notes=tuple(f"opaque operator {name} at {path or 'the top'}" for name, path, _ in nodes),
    )
