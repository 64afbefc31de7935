"""What can keep a graph from being an ONNX model."""

from __future__ import annotations

from collections.abc import Sequence

from repc.diagnostics import Diagnostic, Failure, Label, Span


def unknown_opset(opset: int, oldest: int, newest: int) -> Failure:
    """E710: the installed onnx does not define this opset, or repc does not emit it."""
    help = f"choose an opset from {oldest} to {newest}"
    return Failure(Diagnostic("E710", f"no ONNX opset {opset} here", help=help))


def untypable(dtype: str, opset: int, reason: str) -> Failure:
    """E711: an operator of the model does not take the compute type at this opset."""
    title = f"opset {opset} cannot express this model in {dtype}"
    help = "choose a newer opset, or f32"
    return Failure(Diagnostic("E711", title, help=help, notes=tuple(reason.strip().splitlines())))


def no_form(what: str, origin: Sequence[Span], remedy: str) -> Failure:
    """E712: an operator with attributes that no combination of ONNX operators expresses."""
    primary = Label(origin[0], "this operator") if origin else None
    return Failure(Diagnostic("E712", f"{what} has no ONNX form", primary, help=remedy))


def unknown_size(size: str, origin: Sequence[Span]) -> Failure:
    """E713: a symbolic size that no value of the model shows at run time."""
    primary = Label(origin[0], "needed here") if origin else None
    help = "let a runtime input have this size as one of its dimensions, or pin it"
    return Failure(Diagnostic("E713", f"the size {size} cannot be computed at run time", primary, help=help))


def not_onnx(nodes: Sequence[tuple[str, str, Sequence[Span]]]) -> Diagnostic:
    """E714: opaque operators without an ONNX form: all of them, with name, path and origin."""
    primary = next((Label(origin[0], "the first of them") for _, _, origin in nodes if origin), None)
    title = f"ONNX has no form of the opaque operators {', '.join(dict.fromkeys(name for name, *_ in nodes))}"
    help = "deploy a torch module or torch source, which call them as they are"
    notes = tuple(f"opaque operator {name} at {path or 'the top'}" for name, path, _ in nodes)
    return Diagnostic("E714", title, primary, help, notes=notes)


def other_opset(name: str, opset: int, wanted: int, origin: Sequence[Span]) -> Diagnostic:
    """E715: an opaque operator of an ONNX file means something else in the opset that is written."""
    primary = Label(origin[0], "this operator") if origin else None
    title = f"the opaque operator {name} is of opset {opset}, and opset {wanted} has another one of that name"
    return Diagnostic("E715", title, primary, f"choose opset {opset}, or convert the file first")
