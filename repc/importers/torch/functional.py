"""Calls that change tensors in place, as calls that make new ones.

An in-place call is the same as its functional form where nobody reads the old value afterwards under another name.
Which tensors share memory is seen on the example values that torch carries along.  Where a view of a changed tensor is
read later, or the other way round, torch's own functionalisation is asked, which is exact and several times dearer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, fx
from torch._ops import OpOverload

_SAME_TENSOR = ("aten.dropout.default", "aten.feature_dropout.default", "aten.alpha_dropout.default")
"""Calls that in evaluation return their argument itself, which the example values do not show."""


def changed(node: fx.Node) -> fx.Node | None:
    """The tensor that a call changes; None for a functional call."""
    found = list(_written(node))
    return found[0] if found else None


def functional_form(target: OpOverload) -> OpOverload | None:
    """The call that returns what an in-place call writes."""
    name = target.overloadpacket.__name__
    if target.namespace != "aten" or not name.endswith("_") or len(target._schema.returns) != 1:
        return None
    packet = getattr(torch.ops.aten, name[:-1], None)
    return getattr(packet, target._overloadname, None)


class Aliases:
    """Which values of a program are in the same memory."""

    def __init__(self, graph: fx.Graph) -> None:
        self._order = {node: position for position, node in enumerate(graph.nodes)}
        self._root: dict[fx.Node, object] = {}
        self._members: dict[object, list[fx.Node]] = {}
        for node in graph.nodes:
            root = self._storage(node)
            if root is not None:
                self._root[node] = root
                self._members.setdefault(root, []).append(node)

    def of(self, node: fx.Node) -> list[fx.Node]:
        """Every value in the memory of a node, itself included."""
        return self._members.get(self._root.get(node), [node])

    def renamed(self, call: fx.Node, target: fx.Node) -> list[fx.Node]:
        """The values that an in-place call gives a new value: its argument, by all its names so far."""
        return [node for node in self._before(call, target) if _geometry(node) == _geometry(target)]

    def entangled(self, call: fx.Node, target: fx.Node) -> bool:
        """Whether another view of what an in-place call changes is read after it."""
        same = set(self.renamed(call, target))
        return any(self._read_after(node, call) for node in self._before(call, target) if node not in same)

    def _before(self, call: fx.Node, target: fx.Node) -> list[fx.Node]:
        return [node for node in self.of(target) if self._order[node] < self._order[call]]

    def _read_after(self, node: fx.Node, call: fx.Node) -> bool:
        return any(self._order[user] > self._order[call] for user in node.users)

    def _storage(self, node: fx.Node) -> object:
        value = node.meta.get("val")
        if not isinstance(value, Tensor):
            return None
        if str(node.target) in _SAME_TENSOR:
            return self._root[cast("fx.Node", node.args[0])]
        return cast("Any", value.untyped_storage())._cdata


def entangled(graph: fx.Graph) -> bool:
    """Whether a program changes tensors in ways that only torch's own functionalisation resolves."""
    aliases = Aliases(graph)
    return any(_is_entangled(node, aliases) for node in graph.nodes)


def _is_entangled(node: fx.Node, aliases: Aliases) -> bool:
    written = list(_written(node))
    if not written:
        return False
    target = cast("OpOverload", node.target)
    return len(written) > 1 or functional_form(target) is None or aliases.entangled(node, written[0])


def _written(node: fx.Node) -> Iterator[fx.Node]:
    """The arguments that a call writes to."""
    if not isinstance(node.target, OpOverload) or not node.target._schema.is_mutable:
        return
    for argument, value in zip(node.target._schema.arguments, node.args, strict=False):
        if argument.alias_info is not None and argument.alias_info.is_write and isinstance(value, fx.Node):
            yield value


def _geometry(node: fx.Node) -> object:
    value = node.meta["val"]
    return tuple(value.shape), tuple(value.stride()), value.storage_offset(), value.dtype
