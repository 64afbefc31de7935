"""The numbers of a block: which stand in it, which follow from sizes, and which become its parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from repc.backends.spec.names import unused, variable
from repc.backends.spec.repeats import Series
from repc.backends.spec.sizes import express
from repc.backends.spec.slots import REQUIRED, Slot
from repc.backends.spec.steps import Declared, Step
from repc.backends.spec.templates import Parameter, Template, slotted
from repc.backends.spec.terms import LOOP, NOWHERE, binary, integer, is_symbolic, literal, name
from repc.ir.dims import Dim, Polynomial, divide, symbols, volume
from repc.syntax import tree

AXES = {1: ("c",), 2: ("b", "c"), 3: ("b", "n", "c"), 4: ("b", "c", "h", "w"), 5: ("b", "c", "d", "h", "w")}


def resolve(template: Template, words: set[str], *, network: bool = False) -> None:
    """Find the parameters of a block and the expression of every slot; no name may hide one of the `words`.

    The whole `network` has no parameters: it knows the free dimensions by name.
    """
    resolver = _Resolver(template, words, network)
    columns = zip(*(call.values for call in template.calls), strict=True)
    template.arguments = tuple(
        resolver.argument(next(columns), owner) for owner, slots in slotted(template.body) for _ in slots
    )
    template.axes = resolver.axes
    template.parameters = tuple(
        sorted(map(_with_default, resolver.parameters), key=lambda p: p.default is not REQUIRED)
    )


def _with_default(parameter: Parameter) -> Parameter:
    """Most calls of a block leave out what is the same in most of them; a width is always said."""
    (value, count), *_ = Counter(parameter.values).most_common(1)
    common = not parameter.width and not is_symbolic(value) and 2 * count > len(parameter.values)
    return replace(parameter, default=value) if common else parameter


class _Resolver:
    def __init__(self, template: Template, words: set[str], network: bool) -> None:
        self.count = len(template.calls)
        self.network = network
        self.known: dict[str, Sequence[Dim]] = {}
        self.taken = {*words, LOOP}
        self.parameters: list[Parameter] = []
        ranks = [type.rank for type in template.calls[0].types]
        self.axes = tuple(self._axes(template, port, rank) for port, rank in enumerate(ranks))
        if network:
            self.axes = tuple(tuple(sorted(symbols(type.shape))) for type in template.calls[0].types)
        self.taken.update(name for names in self.axes for name in names)

    def _axes(self, template: Template, port: int, rank: int) -> tuple[str, ...]:
        """Names for the sizes of an input; sizes that are equal in every call share one."""
        found: list[str] = []
        for axis, wanted in enumerate(AXES.get(rank, [f"d{axis}" for axis in range(rank)])):
            column = [call.types[port].shape[axis] for call in template.calls]
            text = wanted
            while self.known.get(text, column) != column or text in (*found, *self.taken):
                text = unused(wanted, {*self.known, *self.taken})
            self.known[text] = column
            found.append(text)
        return tuple(found)

    # ------------------------------------------------------------ arguments

    def argument(self, column: Sequence[Slot], owner: Step | Declared) -> tree.Expr | None:
        """The expression of a slot, None where it is left out in every call."""
        if any(isinstance(slot.value, Series) for slot in column):
            assert isinstance(owner, Step) and owner.loop is not None
            return self._series([cast("Series", slot.value).slots for slot in column], owner)
        if all(slot.value == slot.default for slot in column):
            return None
        return self._value([slot.value for slot in column], column, owner)

    def _series(self, rounds: Sequence[tuple[Slot, ...]], owner: Step) -> tree.Expr | None:
        """What a round of a run is given, by its number."""
        firsts, lasts = [slots[0] for slots in rounds], [slots[-1] for slots in rounds]
        if all(slot.value == slot.default for slots in rounds for slot in slots):
            return None
        if all(slot.value == slots[0].value for slots in rounds for slot in slots):
            return self._value([slot.value for slot in firsts], firsts, owner)
        assert owner.loop is not None
        if all(slot.value == slots[-1].value for slots in rounds for slot in slots[1:]):
            first = binary("==", name(LOOP), integer(owner.loop))
            values = (self._value([slot.value for slot in column], column, owner) for column in (firsts, lasts))
            return tree.If(NOWHERE, first, *values)
        values = [tuple(slot.value for slot in slots) for slots in rounds]
        index = binary("-", name(LOOP), integer(owner.loop)) if owner.loop else name(LOOP)
        return tree.Index(NOWHERE, self._value(values, firsts, owner), (index,))

    def _value(self, values: Sequence[Any], column: Sequence[Slot], owner: Step | Declared) -> tree.Expr:
        """A value that differs from call to call, or does not."""
        slot = column[0]
        lists = [cast("tuple[Dim, ...]", value) for value in values if isinstance(value, tuple)]
        if slot.width and len(lists) == len(values) and len(set(map(len, lists))) == 1:
            return self._sizes(lists, column, owner)
        if self.network or (all(value == values[0] for value in values) and not is_symbolic(values[0])):
            return literal(values[0])
        if slot.width and all(_is_size(value) for value in values):
            found = express(values, self.known)
            if found is not None:
                return found
        return self._half(values, slot) or name(self._parameter(values, slot, owner))

    def _sizes(self, values: Sequence[tuple[Dim, ...]], column: Sequence[Slot], owner: Step | Declared) -> tree.Expr:
        """A shape, size by size; one that no formula gives may be left to be found."""
        items: list[tree.Expr] = []
        left = False
        for axis, sizes in enumerate(zip(*values, strict=True)):
            simple = self.network or not any(map(is_symbolic, sizes)) or express(sizes, self.known) is not None
            if not simple and not left and all(map(_follows, column, values, [axis] * len(values))):
                left = True
                items.append(integer(-1))
            else:
                entry = [Slot("size", size, width=True) for size in sizes]
                items.append(self._value(sizes, entry, owner))
        return tree.List(NOWHERE, tuple(items))

    def _half(self, values: Sequence[Any], slot: Slot) -> tree.Expr | None:
        """Padding is often half of the kernel."""
        if slot.name != "pad":
            return None
        for parameter in self.parameters:
            kernels = [value for value in parameter.values if isinstance(value, int)]
            if parameter.name in ("k", "kernel") and [value // 2 for value in kernels] == list(values):
                return binary("//", name(parameter.name), integer(2))
        return None

    def _parameter(self, values: Sequence[Any], slot: Slot, owner: Step | Declared) -> str:
        """The parameter that has these values: a known one, where it means the same, or a new one."""
        for known in self.parameters:
            if list(known.values) == list(values) and (known.name == slot.name or known.width == slot.width is True):
                return known.name
        text = slot.name
        if text in self.taken:
            part = owner.label if isinstance(owner, Step) else owner.key
            part = part.rpartition(".")[2]
            text = f"{part}_{slot.name}" if part and not part[0].isdigit() else slot.name
        text = unused(variable(text), self.taken)
        self.taken.add(text)
        self.parameters.append(Parameter(text, tuple(values), slot.width))
        if slot.width and all(map(_is_size, values)):
            self.known[text] = list(values)
        return text


def _is_size(value: object) -> bool:
    return isinstance(value, (int, Polynomial)) and not isinstance(value, bool)


def _follows(slot: Slot, shape: tuple[Dim, ...], axis: int) -> bool:
    """Whether a size is what the others leave of all elements."""
    rest = volume([size for other, size in enumerate(shape) if other != axis])
    return slot.whole is not None and divide(slot.whole, rest) == shape[axis]
