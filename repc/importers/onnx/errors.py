"""What can keep an ONNX file from being imported (E54x)."""

from __future__ import annotations

from collections.abc import Sequence

from repc.diagnostics import Diagnostic, Label, Span, nearest


def unreadable(path: str, reason: str) -> Diagnostic:
    """The file does not exist, or the system does not let it be read."""
    return Diagnostic("E540", f"cannot read {path}: {reason}", help="check the path")


def not_onnx(path: str, reason: str) -> Diagnostic:
    """The file is not a model in ONNX's format, or only a part of one."""
    return Diagnostic("E541", f"{path} is no ONNX model: {reason}", help="export or download it again")


def data_missing(path: str, reason: str) -> Diagnostic:
    """Tensors of the model lie in a file beside it, which is not there or too short."""
    help = "put the data file beside the model, under the name that it was exported with"
    return Diagnostic("E542", f"{path} refers to tensors that cannot be read: {reason}", help=help)


def invalid(path: str, reason: str) -> Diagnostic:
    """ONNX's own checker refuses the model."""
    lines = reason.strip().splitlines()
    return Diagnostic("E543", f"{path} is not a valid ONNX model", help="export it again", notes=tuple(lines))


def no_type(value: str, reason: str, span: Span | None) -> Diagnostic:
    """A value whose element type or number of axes cannot be told, which repc needs of every value."""
    help = "run onnx.shape_inference or onnxruntime's symbolic_shape_infer on the file, or export it with types"
    place = Label(span, "this node") if span else None
    return Diagnostic("E544", f"the type of {value} is not known: {reason}", place, help=help)


def unknown_size(name: str, known: Sequence[str]) -> Diagnostic:
    """A size is pinned that no input of the model leaves free."""
    meant = nearest(name, known)
    remedy = f"did you mean {meant}?" if meant else f"the free sizes are {', '.join(known) or 'none'}"
    return Diagnostic("E545", f"no input has a free size {name}", help=remedy)
