"""What an expression of the language can be while a spec is elaborated.

*Static* values (numbers, strings, lists, sizes) are gone afterwards.  *Tensors* are either activations, which are nodes
of the graph, or weights, which are expressions over parameters; where both meet, the operator becomes a node.  A
*layer* is a description: nothing exists until it is applied, and each application makes parameters of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias, Union

from repc.diagnostics import Span
from repc.ir.dims import Dim, Polynomial
from repc.ir.expr import Apply, Param
from repc.ir.node import NodeId
from repc.ir.target import Bound
from repc.ir.types import TensorType
from repc.syntax import tree

if TYPE_CHECKING:
    from repc.semantics.functions import Function
    from repc.semantics.modules import Module

Number: TypeAlias = int | Fraction
Static: TypeAlias = Union[int, Fraction, str, Polynomial, "tuple[Value, ...]", None]


@dataclass(frozen=True, eq=False)
class Activation:
    """A value that depends on a runtime input: a node of the graph."""

    id: NodeId
    type: TensorType


Tensor: TypeAlias = Activation | Param | Apply


@dataclass(frozen=True, eq=False)
class Along:
    """A vector that broadcasts along one axis of whatever it is combined with."""

    value: Tensor
    axis: int


@dataclass(frozen=True, eq=False)
class Initialiser:
    """An initial value that waits for its shape: zeros, kaiming_uniform(a=…), …."""

    function: str
    arguments: Mapping[str, Number]


@dataclass(frozen=True, eq=False)
class Part:
    """A labelled part of a body, seen from outside: its named weights and parts."""

    names: dict[str, Value]


class Poison:
    """Stands for a value whose error is already reported; everything made from it is poison too."""


POISON = Poison()


# ---------------------------------------------------------------- layers


@dataclass(frozen=True, eq=False)
class BlockLayer:
    """A block with its parameters given, waiting for its inputs."""

    definition: tree.Definition
    home: Module
    given: Mapping[str, Value]
    span: Span


@dataclass(frozen=True, eq=False)
class FunctionLayer:
    """A function with everything but its first operand."""

    function: Function
    positional: tuple[Value, ...]
    keywords: Mapping[str, Value]
    span: Span


@dataclass(frozen=True, eq=False)
class Step:
    """A layer and the labels that it is applied under."""

    labels: tuple[str, ...]
    layer: Value
    span: Span


@dataclass(frozen=True, eq=False)
class Chain:
    """Layers in sequence."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, eq=False)
class Repetition:
    """The rounds of a ``repeat``: an index and a step each; a label on the whole adds the index to the path."""

    rounds: tuple[tuple[str, Step], ...]


@dataclass(frozen=True, eq=False)
class MergeLayer:
    """Branches that are layers: all read the same input; `argument` is the axis or the coefficients."""

    kind: str
    argument: Value
    name: str | None
    steps: tuple[Step, ...]
    span: Span


Layer: TypeAlias = BlockLayer | FunctionLayer | Chain | Repetition | MergeLayer
Value: TypeAlias = Union[Static, Tensor, Along, Initialiser, Part, Poison, Layer, "Function", "Block", "Module"]

LAYERS = (BlockLayer, FunctionLayer, Chain, Repetition, MergeLayer)


@dataclass(frozen=True, eq=False)
class Block:
    """The name of a block or model: called with parameters, it is a layer."""

    definition: tree.Definition
    home: Module


def as_integer(value: Value) -> int | None:
    """The value as an integer, or None where it is not one; true and false are none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def as_number(value: Value) -> Number | None:
    """The value as an exact number, or None where it is not one."""
    return value if isinstance(value, Fraction) else as_integer(value)


def as_dim(value: Value) -> Dim | None:
    """The value as a size, or None where it is not one."""
    return value if isinstance(value, Polynomial) else as_integer(value)


def depends_on_tensor(value: Value) -> bool:
    """Whether a value is only known when the network runs or its weights are, entirely or in part."""
    if isinstance(value, tuple):
        return any(depends_on_tensor(item) for item in value)
    return isinstance(value, (Activation, Param, Apply, Along, Part))


def describe(value: Value) -> str:
    """The kind of a value, in the words of an error message."""
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, (int, Fraction)):
        return f"the number {show(value)}"
    if isinstance(value, str):
        return f'the string "{value}"'
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return f"{len(value)} values" if depends_on_tensor(value) else f"a list of {len(value)}"
    if isinstance(value, Polynomial):
        return f"the size {value}"
    if isinstance(value, Activation):
        return f"an activation {value.type}"
    if isinstance(value, (Param, Apply)):
        return f"a weight {value.type}"
    return _KINDS.get(type(value).__name__, "a value")


_KINDS = {
    "Along": "a vector along an axis",
    "Initialiser": "an initial value",
    "Part": "a labelled part",
    "Function": "a function",
    "Block": "a block without its parameters",
    "Module": "an imported file",
    "BlockLayer": "a layer",
    "FunctionLayer": "a layer",
    "Chain": "a layer",
    "Repetition": "a layer",
    "MergeLayer": "a layer",
}


def show(value: Number) -> str:
    """A number as a person writes it."""
    if isinstance(value, int) or value.denominator == 1:
        return str(int(value))
    return repr(float(value))


def numbers(value: Value) -> Bound | None:
    """A number or a list of numbers, None for anything else."""
    if isinstance(value, tuple):
        items = [item for item in map(numbers, value) if item is not None]
        return tuple(items) if len(items) == len(value) else None
    return as_number(value)
