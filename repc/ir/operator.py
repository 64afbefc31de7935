"""The abstract operator: what every primitive must say about itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from repc.ir.field import Field, T
from repc.ir.notation import Term, attributes, call
from repc.ir.types import TensorType


class Operator(ABC):
    """A primitive with its attributes; a frozen value that compares by content.

    Operands are named.  Those that are parameters carry PyTorch's names (weight, bias, running_mean, …), so that the
    stored tensors of an emitted network are called ``path.operand``.  A variadic operator numbers its operands
    "0", "1", ….  Which operands are activations and which are weights is decided where the operator is used.
    """

    name: ClassVar[str]
    required: ClassVar[tuple[str, ...]] = ()
    optional: ClassVar[tuple[str, ...]] = ()
    variadic: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What a person calls it: the name of the function in the language."""
        return self.name

    @abstractmethod
    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        """The type of the result; raises `ShapeError` where the operands do not fit."""

    @abstractmethod
    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        """The meaning, in evaluation mode."""

    def at(self, sizes: Mapping[str, int]) -> Operator:
        """This operator where the free dimensions have these sizes; only operators with sizes inside differ."""
        return self

    def notation(self, operands: Mapping[str, Term]) -> Term:
        """This operator applied, as mathematics; a call unless it has a sign of its own."""
        return call(self.name, operands.values(), attributes(self, vars(self)))
