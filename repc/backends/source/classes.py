"""Modules as classes, one class for all modules that differ in numbers only.

Two modules share a class if their forward passes read the same and they are made of the same parts, whatever the
arguments of these parts.  An argument that is the same in all modules of a class stands in the class; one that differs
becomes a parameter of its constructor, and arguments that differ in the same way share one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, takewhile

from repc.backends.source.parts import DictPart, LayerPart, ListPart, ModulePart, Part, TensorPart
from repc.backends.source.regions import Regions
from repc.backends.torch.text import Literal, literal
from repc.backends.torch.tree import Branch, Stored
from repc.evaluate.dtypes import DTYPES

BY_PLACE = 2  # so many arguments of an emitted class are given by place


@dataclass(frozen=True, slots=True)
class Slot:
    """An argument of a part somewhere inside a module: the member it belongs to, its name and its value."""

    member: str
    name: str
    value: Literal


class ModuleClass:
    """A class and all modules that are of it: their paths, and the arguments of their parts."""

    def __init__(self, members: Sequence[tuple[str, Part]], forward: Sequence[str]) -> None:
        self.members = members
        self.forward = forward
        self.name = ""
        self.paths: list[str] = []
        self.instances: list[Sequence[Slot]] = []

    @property
    def width(self) -> int:
        """How many arguments the parts take together."""
        return len(self.instances[0])

    def construct(self, arguments: Sequence[str]) -> str:
        """A call of the constructor, given the arguments of all parts: two leading numbers by place, others by name."""
        numbers = takewhile(lambda name: self.annotations[name] == "int", self.parameters)
        by_place = list(islice(numbers, BY_PLACE))
        values = {name: arguments[columns[0]] for name, columns in self.parameters.items()}
        given = [value if name in by_place else f"{name}={value}" for name, value in values.items()]
        return f"{self.name}({', '.join(given)})"

    @cached_property
    def parameters(self) -> dict[str, list[int]]:
        """The parameters of the constructor, and which arguments of the parts each stands for."""
        shared: dict[tuple[str, ...], list[int]] = {}
        for column in range(self.width):
            texts = tuple(literal(slots[column].value) for slots in self.instances)
            if len(set(texts)) > 1:
                shared.setdefault(texts, []).append(column)
        slots = self.instances[0]
        names = _distinct([[slots[column] for column in columns] for columns in shared.values()])
        return dict(zip(names, shared.values(), strict=True))

    def arguments(self) -> Iterator[str]:
        """The arguments of all parts as they stand in the class."""
        texts = [literal(slot.value) for slot in self.instances[0]]
        for name, columns in self.parameters.items():
            for column in columns:
                texts[column] = name
        return iter(texts)

    @cached_property
    def annotations(self) -> dict[str, str]:
        """The types of the parameters of the constructor."""
        return {
            name: " | ".join(sorted({_type_name(slots[columns[0]].value) for slots in self.instances}))
            for name, columns in self.parameters.items()
        }


class Classes:
    """The classes of a network, those of inner modules first."""

    def __init__(self, regions: Regions, forward: Callable[[Branch], Sequence[str]]) -> None:
        self.found: dict[Hashable, ModuleClass] = {}
        self._regions = regions
        self._forward = forward

    def module(self, branch: Branch) -> ModulePart:
        """The class of a module, which it joins."""
        members: list[tuple[str, Part]] = []
        slots: list[Slot] = []
        for name, tensor in branch.tensors.items():
            members.append((name, _tensor(tensor)))
            slots.append(Slot(name, "shape", tensor.type.concrete()))
        for name, child in branch.children.items():
            part, inside = self._part(child)
            members.append((name, part))
            slots += [Slot(name, slot.name, slot.value) for slot in inside]
        forward = self._forward(branch)
        found = self.found.setdefault((*members, *forward), ModuleClass(members, forward))
        found.paths.append(branch.path)
        found.instances.append(slots)
        return ModulePart(found)

    def _part(self, branch: Branch) -> tuple[Part, Sequence[Slot]]:
        if branch.layer:
            arguments = branch.layer.arguments
            return LayerPart(branch.layer.kind, tuple(arguments)), [Slot("", *pair) for pair in arguments.items()]
        if branch.kind == "module":
            part = self.module(branch)
            return part, part.module.instances[-1]
        items = [self._part(child) for child in branch.children.values()]
        parts, slots = tuple(part for part, _ in items), [slot for _, some in items for slot in some]
        if branch.kind == "dict":
            return DictPart(tuple(branch.children), parts), slots
        kind = "nn.Sequential" if branch.path in self._regions.chains else "nn.ModuleList"
        return ListPart(kind, parts), slots


def unused(name: str, taken: Container[str]) -> str:
    """A name that is not taken: itself, or with a number."""
    count, found = 1, name
    while found in taken:
        count += 1
        found = f"{name}{count}"
    return found


def _tensor(tensor: Stored) -> TensorPart:
    dtype = "" if tensor.type.dtype == "f32" else f", dtype={DTYPES[tensor.type.dtype]}"
    return TensorPart(dtype, tensor.buffer)


def _distinct(groups: Sequence[Sequence[Slot]]) -> list[str]:
    """A name for each group of arguments that are always equal, the shortest that says which it is."""
    options = [(_common_name(slots), slots[0].name, f"{slots[0].member}_{slots[0].name}") for slots in groups]
    counts = [Counter(names) for names in zip(*options, strict=True)]
    found: list[str] = []
    for names in options:
        clear = (name for name, count in zip(names, counts, strict=True) if count[name] == 1)
        found.append(unused(next(clear, names[-1]), found))
    return found


def _common_name(slots: Sequence[Slot]) -> str:
    """`channels` where `in_channels` and `out_channels` are one; else the first name."""
    names = dict.fromkeys(slot.name for slot in slots)
    endings = Counter(name.rpartition("_")[2] for name in names)
    ending, count = endings.most_common(1)[0]
    return ending if count > 1 else slots[0].name


def _type_name(value: Literal) -> str:
    return "tuple[int, ...]" if isinstance(value, tuple) else type(value).__name__
