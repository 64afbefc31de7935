"""A block for all modules that differ in numbers only.

Two modules are calls of one block if they say the same but for the numbers in it.  A number that is the same in every
call stands in the block.  One that differs is a size of an input, or follows from such sizes; else it becomes a
parameter, which numbers that differ in the same way share.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from repc.backends.spec.forms import REQUIRED, Form, Slot
from repc.backends.spec.steps import Body, Declared, Ref, Step, Value
from repc.ir.types import TensorType
from repc.syntax import tree


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a block, with its value in each call; one with a default is given by name."""

    name: str
    values: tuple[Any, ...]
    width: bool
    default: Any = REQUIRED


@dataclass(eq=False)
class Template:
    """A block: one of its bodies, the class of its modules, its calls, and its parameters once these are known.

    `axes` names the sizes of each input, `arguments` has an expression for each slot of the body, None for those that
    are left out.
    """

    body: Body
    kind: str
    calls: list[Instance] = field(default_factory=list["Instance"])
    name: str = ""
    axes: tuple[tuple[str, ...], ...] = ()
    parameters: tuple[Parameter, ...] = ()
    arguments: tuple[tree.Expr | None, ...] = ()


@dataclass(frozen=True, eq=False)
class Instance:
    """A call of a block: the values of all slots in its body, and the types of its inputs."""

    template: Template
    number: int
    values: tuple[Slot, ...]
    types: tuple[TensorType, ...]

    def slots(self) -> tuple[Slot, ...]:
        """The arguments of this call."""
        return tuple(
            Slot(p.name, p.values[self.number], p.default, by_place=p.default is REQUIRED, width=p.width)
            for p in self.template.parameters
        )


# ---------------------------------------------------------------- which are the same


def skeleton(body: Body, types: Sequence[TensorType]) -> Hashable:
    """A body without its numbers."""
    place = {step: number for number, step in enumerate(body.steps)}

    def ref(found: Ref) -> Hashable:
        if not isinstance(found, Value):
            return found
        return (place[found.step], found.number) if found.step in place else (step_of(found.step), found.number)

    def step_of(step: Step) -> Hashable:
        return step.callee, step.label, tuple((name, ref(operand)) for name, operand in step.operands.items())

    def declared(item: Declared) -> Hashable:
        said = item.initial
        initial = (said.kind, said.name) if isinstance(said, Form) else ref(said)
        type = item.parameter.type
        return item.key, item.parameter.buffer, type.dtype, type.rank, initial

    return (
        tuple(type.rank for type in types),
        tuple(map(declared, body.declared)),
        tuple(map(step_of, body.steps)),
        tuple(map(ref, body.results)),
        tuple(body.aliases),
    )


def slotted(body: Body) -> list[tuple[Step | Declared, tuple[Slot, ...]]]:
    """Everything in a body that has slots, in a fixed order: steps, those of initial values too, and declarations."""
    steps = dict.fromkeys(body.steps)
    for declared in body.declared:
        if isinstance(declared.initial, Value):
            steps.update(_inner(declared.initial.step))
    return [*((step, step.form.slots) for step in steps), *((item, item.slots) for item in body.declared)]


def _inner(step: Step) -> dict[Step, None]:
    """A step and those that it reads."""
    found: dict[Step, None] = {}
    for operand in step.operands.values():
        if isinstance(operand, Value):
            found.update(_inner(operand.step))
    return {**found, step: None}
