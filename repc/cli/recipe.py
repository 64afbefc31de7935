"""What a command is asked to do with a model, in the words of the command line, so that it can be done again."""

from __future__ import annotations

import os
from argparse import Namespace
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repc.cli import errors
from repc.cli.arguments import bindings, settings, sizes
from repc.cli.inputs import NAMES, Kind, examples, kind_of
from repc.diagnostics import Failure
from repc.ir.codec import to_plain
from repc.semantics import FileLibrary, bind, elaborate, load, open_spec

if TYPE_CHECKING:
    from repc.driver import Model
    from repc.ir.graph import Graph


LISTS = ("set", "size", "bind", "example")
OPTIONS: dict[Kind, tuple[str, ...]] = {
    "spec": ("--set", "--size", "--adapter"),
    "onnx": ("--size",),
    "program": (),
    "factory": ("--set", "--size", "--input"),
}


@dataclass(frozen=True, eq=False)
class Recipe:
    """What was asked for, as on the command line; paths are relative to the folder that holds the recipe."""

    input: str
    set: tuple[str, ...] = ()
    size: tuple[str, ...] = ()
    bind: tuple[str, ...] = ()
    example: tuple[str, ...] = ()
    weights: str | None = None
    container: str | None = None
    adapter: str | None = None
    target: str | None = None
    dtype: str | None = None
    opset: int | None = None

    @staticmethod
    def of(args: Namespace) -> Recipe:
        """What the arguments say; those that a command does not have are as by default."""
        known = {field.name for field in fields(Recipe)}
        given: dict[str, Any] = {name: value for name, value in vars(args).items() if name in known}
        given.update({name: tuple(given[name]) for name in LISTS})
        return Recipe(**given)

    @property
    def label(self) -> str:
        """What the model of another tool's file is called: as the file is."""
        return Path(self.input).stem if kind_of(self.input) in ("onnx", "program") else ""

    def graph(self) -> Graph:
        """The training graph; of a spec without torch."""
        if kind_of(self.input) != "spec":
            return self.model().graph
        opened = open_spec(self.input)
        module = load(opened.source, FileLibrary())
        graph = elaborate(module, opened.choose(module), settings(self.set), sizes(self.size))
        return bind(graph, bindings(self.bind))

    def model(self) -> Model:
        """The model, with its adapter."""
        self._check_options()
        return self._opened().bound(bindings(self.bind))

    def _opened(self) -> Model:
        from repc.driver import open_model

        pinned = sizes(self.size)
        if kind_of(self.input) != "factory":
            return open_model(self.input, None, settings(self.set), pinned, self.adapter)
        from repc.cli.factory import open_factory

        return open_factory(self.input, settings(self.set), examples(self.example, pinned))

    def _check_options(self) -> None:
        """Only a spec has parameters and adapters, only a factory arguments; an exported program is as it is."""
        kind = kind_of(self.input)
        given = {"--set": self.set, "--adapter": self.adapter, "--size": self.size, "--input": self.example}
        wrong = [option for option, value in given.items() if value and option not in OPTIONS[kind]]
        if wrong:
            raise Failure([errors.not_for(option, self.input, NAMES[kind]) for option in wrong])

    def elaboration(self) -> dict[str, Any]:
        """How the spec becomes a graph, as plain data."""
        return {
            "set": {name: to_plain(value) for name, value in settings(self.set).items()},
            "size": sizes(self.size),
            "bind": {name: to_plain(value) for name, value in bindings(self.bind).items()},
        }

    def moved(self, start: Path, end: Path) -> Recipe:
        """The same recipe with its paths relative to `end` instead of `start`; Python finds code by its name."""
        spec, mark, model = self.input.partition(".rep")
        named = self.input.startswith("repc:") or kind_of(self.input) == "factory"
        return replace(
            self,
            input=self.input if named else f"{_moved(spec, start, end)}{mark}{model}",
            weights=self.weights and _moved(self.weights, start, end),
            adapter=self.adapter and _moved(self.adapter, start, end),
        )


def _moved(path: str, start: Path, end: Path) -> str:
    absolute = os.path.abspath(start / path)
    try:
        return os.path.relpath(absolute, end)
    except ValueError:  # another drive
        return absolute
