"""Values of the graph and the parameters of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from repc.diagnostics import Span
from repc.ir.expr import Expr
from repc.ir.operator import Operator
from repc.ir.types import TensorType

NodeId: TypeAlias = int


@dataclass(frozen=True, eq=False)
class Node:
    """One operator and the value that it makes.

    Operands are taken in the operator's order, each from `weights` if it is named there, else from the next of
    `inputs`.  `path` is where the spec put the operator: it names the stored tensors.  `named` is true where the spec
    itself says what a folded operator is to be called (``sum as name``).  `origin` lists every place that led here.
    """

    op: Operator
    inputs: tuple[NodeId, ...]
    weights: Mapping[str, Expr]
    type: TensorType
    path: str
    origin: tuple[Span, ...]
    named: bool = False

    def operands(self) -> dict[str, NodeId | Expr]:
        """Every operand by name, in the operator's order: a node id, or a weight expression."""
        if self.op.variadic:
            names = tuple(str(i) for i in range(len(self.inputs) + len(self.weights)))
        else:
            names = tuple(n for n in (*self.op.required, *self.op.optional))
        activations = iter(self.inputs)
        found: dict[str, NodeId | Expr] = {}
        for name in names:
            if name in self.weights:
                found[name] = self.weights[name]
            else:
                source = next(activations, None)
                if source is not None:
                    found[name] = source
        return found


@dataclass(frozen=True, eq=False)
class Parameter:
    """A declared weight or buffer: its key, type, initial value and further keys of the same tensor.

    `trainable` is false for buffers and for weights that an adapter froze.
    """

    path: str
    type: TensorType
    init: Expr
    buffer: bool
    trainable: bool
    span: Span
    aliases: tuple[str, ...] = ()
