"""Calls that change tensors in place, as calls that make new ones.

An in-place call is the same as its functional form where nobody reads the old value afterwards under another name.
Which tensors share memory is seen on the example values that torch carries along.  Where a view of a changed tensor is
read later, or the other way round, torch's own functionalisation is asked, which is exact and several times dearer.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

Call: TypeAlias = "OpOverload[..., Any]"

_PASSING = tuple(getattr(torch.ops.aten, name).default for name in ("dropout", "feature_dropout", "alpha_dropout"))
"""Calls that in evaluation return their argument itself, of which torch's example values and tables know nothing."""


def changed(node: fx.Node) -> fx.Node | None:
    """The tensor that a call changes; None for a functional call."""
    found = list(_written(node))
    return found[0] if found else None


def functional_form(target: Call) -> Call | None:
    """The call that returns what an in-place call writes."""
    namespace, name, form = str(target).split(".")
    if namespace != "aten" or not name.endswith("_") or len(schema(target).returns) != 1:
        return None
    packet: Any = getattr(torch.ops.aten, name[:-1], None)
    forms = sorted(packet.overloads(), key=lambda other: other != form) if packet is not None else []
    return next((same for same in (getattr(packet, name) for name in forms) if _takes(same) == _takes(target)), None)


def _takes(target: Call) -> list[str]:
    """The types of what a call takes: a form of the same name may take it in another order, as ``pow`` does."""
    return [str(argument.type) for argument in schema(target).arguments]


def overload(node: fx.Node) -> Call | None:
    """What a node calls, where it is an operator of torch."""
    target: object = cast("object", node.target)
    return cast("Call", target) if isinstance(target, OpOverload) else None


def schema(target: Call) -> Any:
    """What torch declares about a call, for which it has no public name."""
    return cast("Any", target)._schema


def functional(program: ExportedProgram) -> ExportedProgram:
    """The program, by torch's own functionalisation if it changes tensors that are read under several names.

    So is one with calls inside a transform of `torch.func`, which then are calls on whole tensors.
    """
    if not _is_transformed(program):
        aliases = Aliases(program.graph)
        if not any(_is_entangled(node, aliases) for node in program.graph.nodes):
            return program
    program = deepcopy(program, {id(tensor): tensor for tensor in program.state_dict.values()})
    for node in [node for node in program.graph.nodes if node.target in _PASSING and not node.args[2]]:
        node.replace_all_uses_with(node.args[0])
        program.graph.erase_node(node)
    return cast("Any", program).run_decompositions({})


class Aliases:
    """Which values of a program are in the same memory."""

    def __init__(self, graph: fx.Graph) -> None:
        self._order = {node: position for position, node in enumerate(graph.nodes)}
        self._root: dict[fx.Node, object] = {}
        self._members: dict[object, list[fx.Node]] = {}
        passed: dict[object, object] = {}
        for node in graph.nodes:
            value = node.meta.get("val")
            if not isinstance(value, Tensor):
                continue
            storage = cast("Any", value.untyped_storage())._cdata
            if node.target in _PASSING and not node.args[2]:
                passed[storage] = self._root[cast("fx.Node", node.args[0])]
            root = self._root[node] = passed.get(storage, storage)
            self._members.setdefault(root, []).append(node)

    def of(self, node: fx.Node) -> list[fx.Node]:
        """Every value in the memory of a node, itself included."""
        return self._members.get(self._root.get(node), [node])

    def renamed(self, call: fx.Node, target: fx.Node) -> list[fx.Node]:
        """The values that an in-place call gives a new value: its argument, by all its names so far."""
        return [
            node for node in self._before(call, target) if geometry(node.meta["val"]) == geometry(target.meta["val"])
        ]

    def entangled(self, call: fx.Node, target: fx.Node) -> bool:
        """Whether another view of what an in-place call changes is read after it."""
        same = set(self.renamed(call, target))
        return any(self._read_after(node, call) for node in self._before(call, target) if node not in same)

    def _before(self, call: fx.Node, target: fx.Node) -> list[fx.Node]:
        return [node for node in self.of(target) if self._order[node] < self._order[call]]

    def _read_after(self, node: fx.Node, call: fx.Node) -> bool:
        return any(self._order[user] > self._order[call] for user in node.users)


def _is_transformed(program: ExportedProgram) -> bool:
    """Whether there are values inside a transform of `torch.func`."""
    examples = [node.meta.get("val") for node in program.graph.nodes]
    values = pytree.tree_leaves((examples, program.constants))
    inside = cast("Any", torch)._C._functorch.is_functorch_wrapped_tensor
    return any(isinstance(value, Tensor) and inside(value) for value in values)


def _is_entangled(node: fx.Node, aliases: Aliases) -> bool:
    written = list(_written(node))
    if not written:
        return False
    target = cast("Call", node.target)
    return len(written) > 1 or functional_form(target) is None or aliases.entangled(node, written[0])


def _written(node: fx.Node) -> Iterator[fx.Node]:
    """The arguments that a call writes to."""
    target = overload(node)
    if target is None or not schema(target).is_mutable:
        return
    for position, argument in enumerate(schema(target).arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = node.args[position] if position < len(node.args) else node.kwargs.get(argument.name)
            yield from (part for part in pytree.tree_leaves(value) if isinstance(part, fx.Node))


def geometry(value: Tensor) -> object:
    """Which elements of its memory a tensor is."""
    return tuple(value.shape), tuple(value.stride()), value.storage_offset(), value.dtype
