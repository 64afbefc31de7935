"""Files and their imports: which names a file can see.

Reading is the caller's: a `Library` turns the text of an import into a source.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from repc.diagnostics import Diagnostic, Failure, Source, Span
from repc.semantics import errors
from repc.syntax import parse, tree

Named = tree.Definition | tree.Adapt


class Library(Protocol):
    """Finds the sources that imports name."""

    def find(self, statement: tree.Import) -> Source | None:
        """The source that an import names, or None where there is none."""
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
            module = Module(source, parse(source))
        except Failure as failure:
            self.errors.extend(failure.diagnostics)
            module = None
        if module is not None:
            self._define(module)
            for item in module.file.items:
                if isinstance(item, tree.Import):
                    self._import(module, item)
        self.open.pop()
        self.done[source.name] = module
        return module

    def _define(self, module: Module) -> None:
        places: dict[str, Span] = {}
        for item in module.file.items:
            if isinstance(item, (tree.Definition, tree.Adapt)):
                if item.name in module.definitions:
                    self.errors.append(errors.duplicate_definition(item.span, item.name, places[item.name]))
                    continue
                module.definitions[item.name] = item
                places[item.name] = item.span

    def _import(self, module: Module, item: tree.Import) -> None:
        source = self.library.find(item)
        if source is None:
            self.errors.append(errors.unknown_import(item.span, item.path, self.library.names()))
            return
        if source.name in self.open:
            chain = [*self.open[self.open.index(source.name) :], source.name]
            self.errors.append(errors.import_cycle(item.span, chain))
            return
        other = self.load(source)
        if other is None:
            return
        if item.alias is not None:
            module.qualified[item.alias] = other
            return
        for name, home in {**other.imported, **dict.fromkeys(other.definitions, other)}.items():
            known = module.imported.get(name)
            if known is not None and known is not home:
                self.errors.append(errors.ambiguous_import(item.span, name, known.source.name, home.source.name))
            module.imported[name] = home
