"""Steps of a computation, and their text with variables that are few and speak for themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TypeAlias

from repc.backends.torch.layers import layer_call
from repc.backends.torch.lowerings import lower, sizes_read
from repc.backends.torch.lowerings.opaque import opaque_call
from repc.backends.torch.plan import Key, Plan
from repc.backends.torch.text import Value, variable
from repc.ir.expr import Apply, Param, walk
from repc.ir.node import NodeId
from repc.ir.operator import Operator
from repc.ops.constant import Input
from repc.ops.opaque import Opaque

Names: TypeAlias = Callable[[Key], str]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One line: `text` gives its right-hand side once the values that it reads have names.

    `label` names the result where x is taken; `sizes` are the free dimensions that the text needs as variables.  A
    result that nobody wants is None.
    """

    results: tuple[Key | None, ...]
    reads: tuple[Key, ...]
    label: str
    text: Callable[[Names], str]
    sizes: frozenset[str] = frozenset()


def steps(plan: Plan, training: bool) -> Iterator[Step]:
    """The steps of a whole graph, weight expressions before the nodes that read them first; numbers need none."""
    done: set[Apply] = set()
    for id in plan.order:
        node = plan.graph[id]
        for expr in walk(key for key in plan.operands(id).values() if isinstance(key, Apply)):
            if isinstance(expr, Apply) and expr not in done and not is_number(expr):
                done.add(expr)
                operands = {name: arg.path if isinstance(arg, Param) else arg for name, arg in expr.args.items()}
                yield _function_step(plan, expr, expr.op, operands, node.path, training)
        if not isinstance(node.op, Input) and plan.first(id) == id:
            yield node_step(plan, id, training)


def node_step(plan: Plan, id: NodeId, training: bool = False) -> Step:
    """The step of one node: the call of its layer, or of a function; or of all nodes of an opaque call."""
    node, operands = plan.graph[id], plan.operands(id)
    if len(plan.calls.get(id, ())) > 1:
        return _call_step(plan, id)
    if id not in plan.layers:
        return _function_step(plan, id, node.op, operands, node.path, training)
    layer, x = plan.layers[id], operands["x"]
    return Step((id,), (x,), label_of(layer), lambda names: layer_call(node.op, names(layer), names(x)))


def _call_step(plan: Plan, id: NodeId) -> Step:
    """The step of an opaque call of which several results are wanted."""
    op, operands = plan.graph[id].op, plan.operands(id)
    assert isinstance(op, Opaque)

    def text(names: Names) -> str:
        return opaque_call(op, {name: Value(_operand(key, names), plan.type_of(key)) for name, key in operands.items()})

    results = tuple(plan.calls[id].get(number) for number in range(len(op.call.types)))
    label = label_of(plan.graph[id].path) or op.title
    reads = tuple(key for key in operands.values() if not is_number(key))
    return Step(results, reads, label, text, op.call.symbols)


def label_of(path: str) -> str:
    """The last label of a path that is a name."""
    return next((name for name in reversed(path.split(".")) if not name.isdigit()), "")


def _function_step(
    plan: Plan, result: Key, op: Operator, operands: Mapping[str, Key], path: str, training: bool
) -> Step:
    types = {name: plan.type_of(key) for name, key in operands.items()}
    owner = plan.root.nearest(path).path

    def text(names: Names) -> str:
        given = {name: Value(_operand(key, names), types[name]) for name, key in operands.items()}
        return lower(op, given, f"{names(owner)}.training" if training else None)

    label = f"{label_of(path)}_weight" if isinstance(result, Apply) else label_of(path) or op.name
    reads = tuple(key for key in operands.values() if not is_number(key))
    return Step((result,), reads, label, text, sizes_read(op, types))


def is_number(key: Key) -> bool:
    """Whether a weight is one number, which is written where it is used."""
    return isinstance(key, Apply) and not key.args and not key.type.shape


def _operand(key: Key, names: Names) -> str:
    return lower(key.op, {}) if isinstance(key, Apply) and is_number(key) else names(key)


def write(
    steps: Sequence[Step], given: Mapping[Key, str], outputs: Sequence[Key], reference: Callable[[str], str], free: bool
) -> tuple[list[str], list[str]]:
    """Lines of Python for the steps, and the names that the outputs have after them.

    `given` are the values that have names and keep them; `reference` is the text for a path, of a tensor or of a
    module.  A result is called x where nothing else is, else like an operand that is not needed any more, else by its
    label.  With `free`, every value is deleted after its last use, so that no memory is held longer than by hand.
    """
    last: dict[Key | None, float] = {key: i for i, step in enumerate(steps) for key in (*step.reads, *step.results)}
    last.update(dict.fromkeys(outputs, inf))
    names: dict[Key, str] = dict(given)
    kept, reserved = set(given.values()), {variable(size) for step in steps for size in step.sizes}

    def name_of(key: Key) -> str:
        return reference(key) if isinstance(key, str) and key not in names else names[key]

    lines: list[str] = []
    for i, step in enumerate(steps):
        text = step.text(name_of)
        dying = [names.pop(key) for key in dict.fromkeys(step.reads) if key in names and last[key] == i]
        targets: list[str] = []
        for key in step.results:
            if key is None:
                targets.append("_")
                continue
            short = () if isinstance(key, Apply) else ("x",)
            spare = [name for name in dying if name not in kept]
            names[key] = _name(step.label, (*short, *spare), {*names.values(), *reserved})
            targets.append(names[key])
        if targets != [text]:
            lines.append(f"{', '.join(targets)} = {text}")
        unread = ["_" if key is None else names.pop(key) for key in step.results if key is None or last[key] == i]
        dead = [name for name in dict.fromkeys((*dying, *unread)) if name not in names.values()]
        if free and dead:
            lines.append(f"del {', '.join(dead)}")
    return lines, [name_of(key) for key in outputs]


def _name(label: str, preferred: Sequence[str], taken: set[str]) -> str:
    base = variable(label)
    for name in (*preferred, base):
        if name not in taken:
            return name
    count = 1
    while f"{base}_{count}" in taken:
        count += 1
    return f"{base}_{count}"
