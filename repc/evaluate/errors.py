"""What can be wrong with the values that a graph is run with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from repc.diagnostics import Diagnostic, Label, nearest
from repc.ir.node import Node
from repc.ir.types import ShapeError, TensorType


def input_misfit(name: str, shape: Sequence[int], type: TensorType, reason: str) -> Diagnostic:
    """The shape of an input contradicts its declared type or another input."""
    return Diagnostic(
        "E801", f"input {name} has the shape {list(shape)}, not {type}: {reason}", help="give an input that fits"
    )


def input_missing(name: str, type: TensorType) -> Diagnostic:
    """An input of the graph has no value."""
    return Diagnostic("E802", f"input {name} is missing", help=f"give a tensor {type}")


def input_unknown(name: str, known: Sequence[str]) -> Diagnostic:
    """A value was given for an input that the graph does not have."""
    close = nearest(name, known)
    remedy = f"did you mean {close}?" if close else f"the inputs are {', '.join(known)}"
    return Diagnostic("E803", f"there is no input {name}", help=remedy)


def parameter_missing(path: str, type: TensorType, known: Iterable[str]) -> Diagnostic:
    """A weight expression reads a parameter that was not given."""
    close = nearest(path, known)
    return Diagnostic(
        "E804", f"parameter {path} is missing", help=f"give a tensor {type}" + (f"; {close} is there" if close else "")
    )


def parameter_misfit(path: str, shape: Sequence[int], type: TensorType) -> Diagnostic:
    """A parameter was given with another shape than it is declared with."""
    return Diagnostic(
        "E805", f"parameter {path} has the shape {list(shape)}, not {type}", help="use weights made for this network"
    )


def size_misfit(node: Node, sizes: Mapping[str, int], fault: ShapeError) -> Diagnostic:
    """The free dimensions have sizes with which an operator cannot do."""
    given = " and ".join(f"{name} is {size}" for name, size in sorted(sizes.items()))
    where = Label(node.origin[0], "this operator") if node.origin else None
    title = f"{node.op.title} at {node.path or 'the top'}: {fault.reason}, where {given}"
    return Diagnostic("E806", title, where, help=fault.remedy or "give inputs of other sizes")
