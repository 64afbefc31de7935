"""Files and their imports: which names a file can see.

Reading is the caller's: a `Library` turns the text of an import into a source.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from repc.diagnostics import Diagnostic, Failure, Source, Span
from repc.semantics import errors
from repc.syntax import parse, tree

MAX_IMPORTS = 100

Named = tree.Definition | tree.Adapt


class Library(Protocol):
    """Finds the sources that imports name."""

    def find(self, statement: tree.Import) -> Source | None:
        """The source that an import names, or None where there is none; raises `Failure` for an unreadable one."""
        ...

    def names(self) -> list[str]:
        """The dotted names of every shipped file, for suggestions."""
        ...


@dataclass(eq=False)
class Module:
    """A parsed file: what it defines, and where every name that it sees is defined.

    An import brings what the other file defines and what that file imports in turn, so that ``std.conv`` is all that a
    convolutional network needs.
    """

    source: Source
    file: tree.File
    definitions: dict[str, Named] = field(default_factory=dict[str, Named])
    imported: dict[str, Module] = field(default_factory=dict[str, "Module"])
    qualified: dict[str, Module] = field(default_factory=dict[str, "Module"])

    def find(self, name: str) -> tuple[Named, Module] | None:
        """The definition of a name and the module that it stands in."""
        if name in self.definitions:
            return self.definitions[name], self
        if name in self.imported:
            home = self.imported[name]
            return home.definitions[name], home
        return None

    def visible(self) -> list[str]:
        """Every name that can be used in this file."""
        return [*self.definitions, *self.imported, *self.qualified]

    def models(self) -> dict[str, Named]:
        """What can be compiled: models and adapted models, in the order of the file."""
        return {
            name: item
            for name, item in self.definitions.items()
            if isinstance(item, tree.Adapt) or item.kind == "model"
        }


def load(source: Source, library: Library) -> Module:
    """Parse a file and everything that it imports; raises `Failure` with all errors found on the way."""
    loader = _Loader(library)
    module = loader.load(source)
    if loader.errors:
        raise Failure(loader.errors)
    assert module is not None
    return module


_parsed = lru_cache(maxsize=64)(parse)
"""Trees never change, so that shipped sources, each of them one object, need not be parsed again."""


class _Loader:
    def __init__(self, library: Library) -> None:
        self.library = library
        self.errors: list[Diagnostic] = []
        self.done: dict[str, Module | None] = {}
        self.open: list[str] = []

    def load(self, source: Source) -> Module | None:
        """The module of a source; each is parsed once, however often it is imported."""
        if source.name in self.done:
            return self.done[source.name]
        self.open.append(source.name)
        try:
            module = Module(source, _parsed(source))
        except Failure as failure:
            self.errors.extend(failure.diagnostics)
            module = None
        if module is not None:
            self._fill(module)
        self.open.pop()
        self.done[source.name] = module
        return module

    def _fill(self, module: Module) -> None:
        """Enter what a file defines and imports; no name may mean two of these."""
        places: dict[str, Span] = {}
        for item in module.file.items:
            if isinstance(item, tree.Import):
                other = self._import(module, item)
                if item.alias is not None and self._is_new(places, item.alias, item.span) and other is not None:
                    module.qualified[item.alias] = other
            elif isinstance(item, (tree.Definition, tree.Adapt)):
                if self._is_new(places, item.name, item.span):
                    module.definitions[item.name] = item
                self._check_distinct(item)

    def _is_new(self, places: dict[str, Span], name: str, span: Span) -> bool:
        first = places.setdefault(name, span)
        if first is not span:
            self.errors.append(errors.duplicate_definition(span, name, first))
        return first is span

    def _check_distinct(self, item: Named) -> None:
        """Parameters and ports have names of their own; a size may share the name of a parameter, which it then is."""
        places: dict[str, Span] = {}
        for parameter in item.parameters:
            self._is_new(places, parameter.name, parameter.span)
        ports = item.ports if isinstance(item, tree.Definition) else ()
        for dim in (dim for port in ports for dim in port.type.dims):
            if isinstance(dim, (tree.Name, tree.Rest)) and dim.name is not None:
                places.setdefault(dim.name, dim.span)
        for port in ports:
            self._is_new(places, port.name, port.span)

    def _import(self, module: Module, item: tree.Import) -> Module | None:
        """The file that an import names; without a name of its own, what it defines is entered."""
        other = self._imported(item)
        if other is None or item.alias is not None:
            return other
        for name, home in {**other.imported, **dict.fromkeys(other.definitions, other)}.items():
            known = module.imported.get(name)
            if known is not None and known is not home:
                self.errors.append(errors.ambiguous_import(item.span, name, known.source.name, home.source.name))
            module.imported[name] = home
        return other

    def _imported(self, item: tree.Import) -> Module | None:
        try:
            source = self.library.find(item)
        except Failure as failure:
            self.errors.extend(failure.diagnostics)
            return None
        if source is None:
            self.errors.append(errors.unknown_import(item.span, item.path, self.library.names()))
        elif source.name in self.open:
            chain = [*self.open[self.open.index(source.name) :], source.name]
            self.errors.append(errors.import_cycle(item.span, chain))
        elif len(self.open) >= MAX_IMPORTS:
            self.errors.append(errors.imports_too_deep(item.span, MAX_IMPORTS))
        else:
            return self.load(source)
        return None
