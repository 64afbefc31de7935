"""What a command is asked to do with a model, in the words of the command line, so that it can be done again."""

from __future__ import annotations

import os
from argparse import Namespace
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repc.cli.arguments import bindings, refuse_other_kinds, settings, sizes
from repc.ir.codec import to_plain
from repc.semantics import FileLibrary, bind, elaborate, load, open_spec

if TYPE_CHECKING:
    from repc.driver import Model
    from repc.ir.graph import Graph


@dataclass(frozen=True, eq=False)
class Recipe:
    """What was asked for, as on the command line; paths are relative to the folder that holds the recipe."""

    input: str
    set: tuple[str, ...] = ()
    size: tuple[str, ...] = ()
    bind: tuple[str, ...] = ()
    weights: str | None = None
    container: str | None = None
    adapter: str | None = None
    target: str | None = None
    dtype: str = "f32"
    opset: int | None = None

    @staticmethod
    def of(args: Namespace) -> Recipe:
        """What the arguments say; those that a command does not have are as by default."""
        known = {field.name for field in fields(Recipe)}
        given: dict[str, Any] = {name: value for name, value in vars(args).items() if name in known}
        given.update(set=tuple(args.set), size=tuple(args.size), bind=tuple(args.bind))
        return Recipe(**given)

    def graph(self) -> Graph:
        """The training graph, without torch."""
        refuse_other_kinds(self.input)
        opened = open_spec(self.input)
        module = load(opened.source, FileLibrary())
        graph = elaborate(module, opened.choose(module), settings(self.set), sizes(self.size))
        return bind(graph, bindings(self.bind))

    def model(self) -> Model:
        """The model, with its adapter."""
        from repc.driver import open_model

        refuse_other_kinds(self.input)
        model = open_model(self.input, None, settings(self.set), sizes(self.size), self.adapter)
        return model.bound(bindings(self.bind))

    def elaboration(self) -> dict[str, Any]:
        """How the spec becomes a graph, as plain data."""
        return {
            "set": {name: to_plain(value) for name, value in settings(self.set).items()},
            "size": sizes(self.size),
            "bind": {name: to_plain(value) for name, value in bindings(self.bind).items()},
        }

    def moved(self, start: Path, end: Path) -> Recipe:
        """The same recipe with its paths relative to `end` instead of `start`."""
        spec, mark, model = self.input.partition(".rep")
        return replace(
            self,
            input=self.input if self.input.startswith("repc:") else f"{_moved(spec, start, end)}{mark}{model}",
            weights=self.weights and _moved(self.weights, start, end),
            adapter=self.adapter and _moved(self.adapter, start, end),
        )


def _moved(path: str, start: Path, end: Path) -> str:
    absolute = os.path.abspath(start / path)
    try:
        return os.path.relpath(absolute, end)
    except ValueError:  # another drive
        return absolute
