"""Names that cannot be right, whatever the parameters: found in every definition, used or not.

Elaboration meets only what some model uses.  This pass looks at the text of every block, so that a library of blocks is
checked too, and so that all misspelled names of a file are reported at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from repc.diagnostics import Diagnostic
from repc.semantics import errors
from repc.semantics.expressions import CONSTANTS
from repc.semantics.functions import FUNCTIONS
from repc.semantics.initial import INITIALISERS
from repc.semantics.modules import Module
from repc.semantics.opaque import NAME as OPAQUE
from repc.semantics.statics import STATIC_FUNCTIONS
from repc.syntax import tree

BUILTIN = frozenset((*FUNCTIONS, *STATIC_FUNCTIONS, *INITIALISERS, *CONSTANTS, OPAQUE))


def check_names(module: Module) -> list[Diagnostic]:
    """An error for every name that nothing defines, and every keyword that its block does not take."""
    found: list[Diagnostic] = []
    for item in module.file.items:
        if isinstance(item, tree.Definition):
            found.extend(_Checker(module, _bound(item)).expressions(item))
        elif isinstance(item, tree.Adapt):
            checker = _Checker(module, {named.name for named in (*item.parameters, *item.weights)})
            for weight in item.weights:
                found.extend(checker.expressions(weight))
            for attachment in item.attachments:
                found.extend(checker.expressions(attachment.layer))
    return found


def _bound(item: tree.Definition) -> set[str]:
    """Every name that a definition binds anywhere: a name used too early is left to elaboration."""
    names = {parameter.name for parameter in item.parameters} | {port.name for port in item.ports}
    names.update(dim.name for port in item.ports for dim in port.type.dims if isinstance(dim, tree.Name))
    for part in _walk(item):
        if isinstance(part, tree.Let):
            names.update(part.names)
        elif isinstance(part, (tree.Weight, tree.Loop, tree.Repeat, tree.Rest)) and part.name:
            names.add(part.name)
    return names


class _Checker:
    def __init__(self, module: Module, bound: set[str]) -> None:
        self.module = module
        self.bound = bound

    def expressions(self, root: tree.Tree) -> Iterator[Diagnostic]:
        parts = list(_walk(root))
        dotted = {id(part.value) for part in parts if isinstance(part, tree.Attribute)}  # these may be labels
        for part in parts:
            if isinstance(part, tree.Name) and id(part) not in dotted and not self.known(part.name):
                candidates = [*self.bound, *self.module.visible(), *sorted(BUILTIN)]
                yield errors.unknown_name(part.span, part.name, candidates)
            elif isinstance(part, tree.Call) and isinstance(part.function, tree.Name):
                yield from self.keywords(part, part.function.name)

    def known(self, name: str) -> bool:
        module = self.module
        return name in self.bound or name in BUILTIN or module.find(name) is not None or name in module.qualified

    def keywords(self, call: tree.Call, name: str) -> Iterator[Diagnostic]:
        found = None if name in self.bound else self.module.find(name)
        if found is None or not isinstance(found[0], tree.Definition):
            return
        parameters = [parameter.name for parameter in found[0].parameters]
        for argument in call.arguments:
            if argument.name is not None and argument.name not in parameters:
                yield errors.unknown_keyword(argument.span, name, argument.name, parameters)


def _walk(root: tree.Tree) -> Iterator[tree.Tree]:
    """A tree and everything below it, in the order of the text."""
    stack: list[tree.Tree] = [root]
    while stack:
        part = stack.pop()
        yield part
        stack.extend(reversed(list(_children(part))))


def _children(part: tree.Tree) -> Iterable[tree.Tree]:
    for value in part.parts():
        if isinstance(value, tree.Tree):
            yield value
        elif isinstance(value, tuple):
            yield from (item for item in cast("tuple[object, ...]", value) if isinstance(item, tree.Tree))
