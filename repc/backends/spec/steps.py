"""What a block says, with every number in place: calls of functions and blocks, and where their operands are from.

Several nodes can be one step: an entry of a tensor, its parts, the parts of a `repeat`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

from repc.backends.spec.forms import along_form, form
from repc.backends.spec.initial import initial_form
from repc.backends.spec.opaque import opaque_form
from repc.backends.spec.regions import Cell, Key, Region, Regions, is_constant, key
from repc.backends.spec.slots import Form, Slot
from repc.backends.spec.standard import place
from repc.backends.spec.terms import Literal
from repc.ir.expr import Apply
from repc.ir.foreign import Call
from repc.ir.graph import Graph
from repc.ir.node import NodeId, Parameter
from repc.ir.types import WHOLE, TensorType
from repc.ops.arithmetic import Affine
from repc.ops.constant import Fill
from repc.ops.opaque import Opaque
from repc.ops.pool import AdaptiveAvgPool
from repc.ops.shape import Reshape, Slice

if TYPE_CHECKING:
    from repc.backends.spec.templates import Instance, Template


@dataclass(frozen=True, slots=True)
class Port:
    """An input of the block."""

    number: int


@dataclass(frozen=True, slots=True)
class Weight:
    """A parameter that the block declares, by its key there."""

    key: str


@dataclass(frozen=True, slots=True)
class Value:
    """A result of a step."""

    step: Step
    number: int = 0


@dataclass(frozen=True, slots=True)
class Number:
    """A constant, which is an argument of the step that reads it."""

    slot: int


Ref: TypeAlias = Port | Weight | Value | Number


@dataclass(eq=False)
class Step:
    """One call: its form, its operands by name, the label around it and what the operator itself is called.

    `block` is what is called where that is a block of the spec.  With a `loop` it stands for several, one after another
    or `parallel`: the number that its labels begin with; the first slot is how many they are.
    """

    form: Form
    operands: Mapping[str, Ref]
    label: str = ""
    named: str | None = None
    results: int = 1
    block: Template | None = None
    loop: int | None = None
    parallel: bool = False

    @property
    def callee(self) -> Hashable:
        """What is called, whatever its arguments."""
        names = tuple(slot.name for slot in self.form.slots)
        return (
            self.form.kind,
            self.form.name,
            self.form.detail,
            names,
            self.named,
            self.results,
            self.block,
            self.loop,
            self.parallel,
        )


@dataclass(frozen=True, eq=False)
class Declared:
    """A weight or buffer: its key in the block, and its initial value as a step or a constant with its slots."""

    key: str
    parameter: Parameter
    initial: Form | Ref
    slots: tuple[Slot, ...]


@dataclass(eq=False)
class Body:
    """All that a block says; `aliases` are further keys with the keys that they are of."""

    region: Region
    declared: list[Declared]
    steps: list[Step]
    results: list[Ref]
    aliases: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


class Builder:
    """Makes the bodies of regions; those of the regions inside must be known as instances of blocks."""

    def __init__(
        self, graph: Graph, regions: Regions, standards: Mapping[NodeId, Form], calls: Mapping[Region, Instance]
    ) -> None:
        self.graph = graph
        self.standards = standards
        self.regions = regions
        self.calls = calls

    def body(self, region: Region) -> Body:
        return _Body(self, region).build()

    def type(self, cell: Cell) -> TensorType:
        return self.graph[cell].type if isinstance(cell, int) else cell.type


class _Body:
    def __init__(self, builder: Builder, region: Region) -> None:
        self.builder = builder
        self.graph = builder.graph
        self.region = region
        self.known: dict[Key, Ref] = {key(cell): Port(number) for number, cell in enumerate(region.reads)}
        self.known.update((p.path, Weight(region.local(p.path))) for p in region.parameters)
        self.steps: list[Step] = []
        self.calls: dict[Call, Step] = {}
        self.own = {id for id in region.steps if isinstance(id, int)}

    def build(self) -> Body:
        declared = [self._declared(parameter) for parameter in self.region.parameters]
        aliases = [
            (self.region.local(alias), self.region.local(parameter.path))
            for parameter in self.region.parameters
            for alias in parameter.aliases
        ]
        for step in self.region.steps:
            if isinstance(step, Region):
                self._call(step)
            elif step not in self.known:
                self._node(step)
        results = [self.known[id] for id in self.region.results]
        return Body(self.region, declared, self.steps, results, aliases)

    # ------------------------------------------------------------ operands

    def _ref(self, cell: Cell) -> Ref:
        """Where a value is found; a weight that is computed here becomes a step."""
        if key(cell) not in self.known:
            assert isinstance(cell, Apply), cell
            found = self._computed(cell)
            if is_constant(cell):  # written wherever it is read
                return found
            self.known[cell] = found
        return self.known[key(cell)]

    def _computed(self, expr: Apply) -> Value:
        """A weight that is computed from others, by a step of its own or one with several results."""
        if not isinstance(expr.op, Opaque):
            step = self._step(form(expr.op, *_facts(self.builder, expr.args)), expr.args)
            self.steps.append(step)
            return Value(step)
        call = expr.op.call
        if call not in self.calls:
            step = replace(self._step(opaque_form(call), expr.args), results=len(call.types))
            self.calls[call] = step
            self.steps.append(step)
        return Value(self.calls[call], expr.op.result)

    def _step(self, said: Form, operands: Mapping[str, Cell], label: str = "") -> Step:
        """A step; the numbers among its operands become slots where the language makes the same of a number."""
        slots = list(said.slots)
        refs: dict[str, Ref] = {}
        for name, cell in operands.items():
            others = [self.builder.type(other).dtype for other in operands.values() if other is not cell]
            value = number(cell, said, others)
            if value is None:
                refs[name] = self._ref(cell)
            else:
                slots.append(Slot("factor", value))
                refs[name] = Number(len(slots) - 1)
        return Step(replace(said, slots=tuple(slots)), refs, label)

    # ------------------------------------------------------------ steps

    def _add(self, step: Step, results: Sequence[NodeId]) -> None:
        self.steps.append(step)
        self.known.update((id, Value(step, number)) for number, id in enumerate(results))

    def _call(self, inner: Region) -> None:
        """A module inside."""
        instance = self.builder.calls[inner]
        operands = {str(number): cell for number, cell in enumerate(inner.reads)}
        step = self._step(Form("block", "", instance.slots()), operands, self.region.local(inner.path))
        self._add(replace(step, results=len(inner.results), block=instance.template), inner.results)

    def _node(self, id: NodeId) -> None:
        node = self.graph[id]
        for pattern in (self._opaque, self._entry, self._parts, self._global_pool):
            if pattern(id):
                return
        operands = node.operands()
        said = self.builder.standards.get(id)
        if said is not None:
            operands = {"x": node.inputs[0]}
        elif isinstance(node.op, Affine) and len(node.inputs) == len(node.weights) == 1 and "x" not in node.weights:
            said = along_form(node.op, *node.weights)
        else:
            said = form(node.op, *_facts(self.builder, operands), runs=True, named=node.named)
        step = self._step(said, operands, self.region.local(place(node)))
        self._add(replace(step, named=node.path.rpartition(".")[2] if node.named else None), [id])

    # ------------------------------------------------------------ several nodes as one step

    def _here(self, id: NodeId, like: NodeId) -> bool:
        """Whether a node is a step of this body, not yet said, at the same place."""
        return id in self.own and id not in self.known and place(self.graph[id]) == place(self.graph[like])

    def _opaque(self, id: NodeId) -> bool:
        """All results of an opaque call."""
        node = self.graph[id]
        if not isinstance(node.op, Opaque):
            return False
        call = node.op.call
        step = self._step(opaque_form(call), node.operands(), self.region.local(place(node)))
        step = replace(step, results=len(call.types))
        self.steps.append(step)
        for other in self.builder.regions.calls[id]:
            op = self.graph[other].op
            assert isinstance(op, Opaque)
            self.known[other] = Value(step, op.result)
        return True

    def _entry(self, id: NodeId) -> bool:
        """``x[i]``: one entry of an axis, which disappears."""
        node, user = self.graph[id], self.graph.sole_user(id)
        if not isinstance(node.op, Slice) or user is None or not self._here(user, id):
            return False
        axis, after = node.op.axis, self.graph[user]
        shape = node.type.shape
        if node.op.stop != node.op.start + 1 or after.op != Reshape((*shape[:axis], *shape[axis + 1 :])):
            return False
        said = Form("entry", str(axis), (Slot("index", node.op.start),))
        self._add(self._step(said, node.operands(), self.region.local(place(node))), [user])
        return True

    def _parts(self, id: NodeId) -> bool:
        """``split(x, …)``: parts that together are all of an axis."""
        node = self.graph[id]
        if not isinstance(node.op, Slice) or node.op.start or node.op.step != 1 or not node.inputs:
            return False
        axis, (source,) = node.op.axis, node.inputs
        size, end, parts = self.graph[source].type.shape[axis], node.op.stop, [id]
        for other in dict.fromkeys(self.graph.users(source)):
            op = self.graph[other].op
            if isinstance(op, Slice) and (op.axis, op.start, op.step) == (axis, end, 1) and self._here(other, id):
                parts.append(other)
                end = op.stop
        if end != size or len(parts) < 2:
            return False
        sizes: list[Literal] = [self.graph[part].type.shape[axis] for part in parts]
        slots = (
            Slot("sizes", len(sizes) if len(set(sizes)) == 1 else tuple(sizes), by_place=True),
            Slot("axis", axis, 1),
        )
        step = self._step(Form("function", "split", slots), node.operands(), self.region.local(place(node)))
        self._add(replace(step, results=len(parts)), parts)
        return True

    def _global_pool(self, id: NodeId) -> bool:
        """``GlobalAvgPool()``: the mean over all spatial axes, which disappear."""
        node, user = self.graph[id], self.graph.sole_user(id)
        if not isinstance(node.op, AdaptiveAvgPool) or user is None or not self._here(user, id):
            return False
        if set(node.op.output) != {1} or self.graph[user].op != Reshape(node.type.shape[:2]):
            return False
        self._add(self._step(Form("block", "GlobalAvgPool"), node.operands(), self.region.local(place(node))), [user])
        return True

    # ------------------------------------------------------------ parameters

    def _declared(self, parameter: Parameter) -> Declared:
        local = self.region.local(parameter.path)
        sizes = tuple(Slot("size", size, width=True) for size in parameter.type.shape)
        said = initial_form(parameter)
        if said is not None:
            return Declared(local, parameter, said, (*sizes, *said.slots))
        before = self.steps, self.known, self.calls
        self.steps, self.known, self.calls = [], dict(self.known), {}
        ref = self._ref(parameter.init)
        self.steps, self.known, self.calls = before
        return Declared(local, parameter, ref, sizes)


def _facts(builder: Builder, operands: Mapping[str, Cell]) -> tuple[dict[str, TensorType], set[str]]:
    """The types of operands, and which of them are numbers."""
    types = {name: builder.type(cell) for name, cell in operands.items()}
    return types, {name for name, cell in operands.items() if is_constant(cell) and not types[name].rank}


def number(cell: Cell, said: Form, others: Sequence[str]) -> int | Fraction | None:
    """The value of a constant that can be written as a number, where the other operands have these element types."""
    if not isinstance(cell, Apply) or not isinstance(cell.op, Fill) or cell.op.shape or said.kind == "opaque":
        return None
    value, dtype = cell.op.value, "f32"
    if said.kind == "binary":
        if not others or said.name == "@":
            return None
        dtype = "f32" if others[0] in (*WHOLE, "bool") and value.denominator > 1 else others[0]
    if cell.op.dtype != dtype:
        return None
    return int(value) if value.denominator == 1 else value
